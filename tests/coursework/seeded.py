"""Wrong answers, each with the points that it must cost and the hint that it must get."""

import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from updown_lab.coursework import Hint
from updown_lab.coursework.course import STUB
from updown_lab.coursework.sources import ANEW, Part, read_source

SOURCES = Path(__file__).parents[2] / "coursework" / "source"
POINTS = {"A1": 20, "A2": 20, "A3": 20, "A4": 20}


@dataclass(frozen=True)
class Wrong:
    """The reference with one thing changed.

    Attributes:
        name:   of the mistake.
        cell:   solution in which ``old`` (once there) becomes ``new``.
        loses:  points by cell with points; every other cell must keep its own.
        hint:   words that the check must say; "" where the visible check cannot see it.
    """

    name: str
    cell: str
    old: str
    new: str
    loses: dict[str, int]
    hint: str = ""

    def applied(self, parts: list[Part]) -> list[Part]:
        """The assignment as somebody would hand it in who made this mistake."""
        [part] = [part for part in parts if part.name == self.cell]
        assert part.text.count(self.old) == 1, f"{self.name}: {self.old!r} stands {part.text.count(self.old)} times"
        return [other if other is not part else changed(part, part.text.replace(self.old, self.new)) for other in parts]


def changed(part: Part, text: str) -> Part:
    """The same cell with another text."""
    return Part(part.purpose, part.name, part.points, part.kind, text)


def reference(assignment: str) -> list[Part]:
    """The source with its solutions."""
    return read_source(SOURCES / assignment / f"{assignment}.py")


def blank(parts: list[Part]) -> list[Part]:
    """The assignment as it is handed out, but with all tests."""
    region = re.compile(r"( *)### BEGIN SOLUTION.*### END SOLUTION", re.DOTALL)

    def stub(found: re.Match) -> str:
        return "\n".join(found[1] + line for line in STUB.splitlines())

    return [changed(part, region.sub(stub, part.text)) for part in parts]


def marked(parts: list[Part]) -> tuple[dict[str, int], dict[str, Exception]]:
    """Points by cell, as nbgrader would count them, and the errors of the cells that failed."""
    known, earned, errors = {"__name__": "__main__"}, {}, {}
    with own_package():
        for part in parts:
            if part.kind == "code":
                try:
                    exec(compile(part.text, part.name, "exec"), known)
                except Exception as error:
                    errors[part.name] = error
            if part.purpose == "check":
                earned[part.name] = 0 if part.name in errors else part.points
    return earned, errors


@contextmanager
def own_package():
    """A fresh import of the package, as in a kernel of its own; afterwards everybody has the former one again."""
    before = sys.modules.copy()
    exec(ANEW, {})
    try:
        yield
    finally:
        exec(ANEW, {})
        sys.modules.update({name: module for name, module in before.items() if name.split(".")[0] == "updown_lab"})


def told(check, function) -> str:
    """The hint that a check gives."""
    with pytest.raises(Hint) as caught:
        check(function)
    return str(caught.value)


def full(parts: list[Part]) -> dict[str, int]:
    """Points by cell, of those that a machine marks."""
    return {part.name: part.points for part in parts if part.purpose == "check"}


WRONG = {
    "A1": [
        Wrong("the last pixel counts", "iou", "sides = torch.minimum(boxes[:, None, 2:], others[:, 2:]) -",
              "sides = 1 + torch.minimum(boxes[:, None, 2:], others[:, 2:]) -", {"iou-seen": 3, "iou-hidden": 3}),
        Wrong("sides below zero", "iou", ".clamp(min=0)", "", {"iou-seen": 3, "iou-hidden": 3}, "both negative"),
        Wrong("nothing over nothing", "iou", "torch.where(union > 0, shared / union, torch.zeros_like(union))",
              "shared / union", {"iou-seen": 3}, "look for 0/0"),
        Wrong("the dropped drop others", "nms", "            dropped |= alike[row]", "        dropped |= alike[row]",
              {"nms-seen": 3, "nms-hidden": 3}, "still drops others"),
        Wrong("no empty picture", "nms", "return torch.tensor(kept, dtype=torch.long)",
              "return torch.stack([torch.tensor(row) for row in kept])", {"nms-hidden": 3}),
        Wrong("the minimum is forgotten", "select", "max(minimum, confident)", "confident",
              {"select-seen": 4, "select-hidden": 4}, "too few are confident"),
        Wrong("the last class decides", "select", "torch.maximum(best[rows], scores[rows])", "scores[rows]",
              {"select-seen": 4, "select-hidden": 4}, "the better one first"),
        Wrong("more than is asked for", "select", "best >= confidence", "best > confidence", {"select-seen": 4},
              "exactly `confidence` is enough"),
    ],
    "A2": [
        Wrong("an empty image is nan", "masked_softmax", "torch.finfo(scores.dtype).min)\n    return torch.softmax"
              "(filled, dim=-1).masked_fill(~mask, 0.0)", "-torch.inf)\n    return torch.softmax(filled, dim=-1)",
              {"masked_softmax-seen": 3, "masked_softmax-hidden": 3}, "0/0"),
        Wrong("always float32", "masked_softmax", "torch.softmax(filled, dim=-1)",
              "torch.softmax(filled.float(), dim=-1)", {"masked_softmax-hidden": 3}),
        Wrong("padding is summed", "attend", "(alpha[..., None] * clean)", "(alpha[..., None] * features)",
              {"attend-seen": 3, "attend-hidden": 3}, "0 * nan is nan"),
        Wrong("the query is forgotten", "attend", "keys + asked[:, None, :]", "keys",
              {"attend-seen": 3, "attend-hidden": 3}, "the query is not asked"),
        Wrong("the old h1 looks", "captioner_step", "    h1, c1 = lstm_update(captioner.word_gates(captioner.embedding"
              "(words)) + overview + hidden, c1)\n    v_hat, alpha = look(h1)", "    v_hat, alpha = look(h1)\n    h1, "
              "c1 = lstm_update(captioner.word_gates(captioner.embedding(words)) + overview + hidden, c1)",
              {"captioner_step-seen": 4, "captioner_step-hidden": 4}, "from before this word"),
        Wrong("scores for probabilities", "captioner_step", "torch.log_softmax(logits, dim=1)", "logits",
              {"captioner_step-seen": 4, "captioner_step-hidden": 4}, "a softmax and a logarithm are missing"),
        Wrong("only two images", "captioner_step", "    return torch.log_softmax(logits, dim=1)",
              "    c2 = c2.view(2, -1)\n    return torch.log_softmax(logits, dim=1)", {"captioner_step-hidden": 4}),
    ],
    "A3": [
        Wrong("no runs of four", "ngram_counts", "(1, 2, 3, 4)", "(1, 2, 3)",
              {"ngram_counts-seen": 2, "ngram_counts-hidden": 1}, "four words are missing"),
        Wrong("captions instead of images", "document_frequencies", "            mentioned |= set(ngram_counts(words))"
              "\n        frequencies.update(mentioned)", "            frequencies.update(set(ngram_counts(words)))",
              {"document_frequencies-seen": 2, "document_frequencies-hidden": 1}, "are one image"),
        Wrong("CIDEr without the D", "cider_d", "min(ours[gram], theirs[gram])", "ours[gram]",
              {"cider_d-seen": 4, "cider_d-hidden": 3}, "earns too much"),
        Wrong("every length is welcome", "cider_d", "damping * dot", "dot",
              {"cider_d-seen": 4, "cider_d-hidden": 3}, "not damped"),
        Wrong("one more image", "cider_d", "max(1, frequencies[gram])", "(1 + frequencies[gram])",
              {"cider_d-seen": 4, "cider_d-hidden": 3}, "not by 1 + frequency"),
        Wrong("the other direction", "self_critical_loss", "return -(", "return (",
              {"self_critical_loss-seen": 4, "self_critical_loss-hidden": 3}, "the sign"),
        Wrong("learning the judge", "self_critical_loss", "(rewards - baseline).detach()", "rewards - baseline",
              {"self_critical_loss-hidden": 3}),
    ],
    "A4": [
        Wrong("two things change", "my_plan", 'seed, {"captioner.attention": level}', 'seed, {"captioner.attention": '
              'level, "captioner.hidden_size": 64 if level == "soft" else 32}', {"one_factor-seen": 2}, "changes too"),
        Wrong("a single seed", "my_plan", "for seed in (1, 2, 3)", "for seed in (1,)", {"seeds-seen": 2}, "but luck"),
        Wrong("the test split chooses", "my_plan", 'choose_on="validation"', 'choose_on="test"', {"splits-seen": 2},
              "luck looks like skill"),
        Wrong("pairs are torn apart", "paired_interval", "gains[rows].mean(axis=1)", "ours[rows].mean(axis=1) - theirs["
              "draw.permuted(rows)].mean(axis=1)", {"paired_interval-seen": 2, "paired_interval-hidden": 2},
              "for both models"),
        Wrong("a bell", "paired_interval", "np.quantile(gains[rows].mean(axis=1), [0.025, 0.975])",
              "gains.mean() + np.array([-1.96, 1.96]) * gains[rows].mean(axis=1).std()", {"paired_interval-hidden": 2}),
        Wrong("nobody is trusted", "my_verdicts", '4: "nothing is wrong"', '4: "one seed"', {"verdict-4-hidden": 1}),
    ],
}  # fmt: skip
