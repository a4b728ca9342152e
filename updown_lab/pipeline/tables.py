"""Gathering what the stages found into tables, with intervals."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from updown_lab.config import Config
from updown_lab.files import read_json
from updown_lab.metrics.bootstrap import interval, paired_difference
from updown_lab.pipeline.plans import OBJECTIVES
from updown_lab.pipeline.work import scored_answers
from updown_lab.training.answering import answer_prior

ANSWER_TYPES = ("yes/no", "number", "other")
CAPTION_METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE")


class Findings:
    """The results of a finished run, read from its stage folders."""

    def __init__(self, run: Path, config: Config, source):
        self.stages, self.config, self.source = Path(run) / "stages", config, source

    def per_image(self, kind: str, objective: str) -> pd.DataFrame:
        """Scores of each test picture, indexed by image id."""
        path = self.stages / f"judge-{kind}" / f"{objective}.csv"
        table = pd.read_csv(path, index_col="image_id", keep_default_na=False)  # a caption may be empty, or "none"
        numbers = table.columns.drop("caption")
        return table.assign(**table[numbers].apply(pd.to_numeric, errors="coerce"))

    def judged(self, kind: str, objective: str) -> dict:
        """Corpus metrics, grounding and notes."""
        return read_json(self.stages / f"judge-{kind}" / f"{objective}.json")

    def captions(self) -> pd.DataFrame:
        """Features x objective: the caption metrics, times 100, and the interval of CIDEr."""
        rows = []
        for kind in self.config.encoders:
            for objective in OBJECTIVES:
                corpus = self.judged(kind, objective)["metrics"]
                middle = interval(100 * self.per_image(kind, objective)["CIDEr"])
                scores = {name: 100 * corpus[name] for name in CAPTION_METRICS}
                rows.append({"features": kind, "objective": objective, **scores,
                             "CIDEr low": middle.low, "CIDEr high": middle.high})  # fmt: skip
        return pd.DataFrame(rows)

    def intervals(self, kind: str, objective: str) -> dict[str, dict[str, float]]:
        """Mean over the test pictures of each metric (times 100) with its 95 % interval.

        For BLEU and METEOR this mean is not the corpus value, which pools counts over all pictures.
        """
        table = 100 * self.per_image(kind, objective)[list(CAPTION_METRICS)]
        return {name: interval(table[name])._asdict() for name in table if table[name].notna().all()}

    def grounding(self) -> pd.DataFrame:
        """Features x objective: does attention point at what is said, and is what is said there?"""
        return pd.DataFrame(
            {"features": kind, "objective": objective, **self.judged(kind, objective)["grounding"]}
            for kind in self.config.encoders for objective in OBJECTIVES
        )  # fmt: skip

    def speech(self) -> pd.DataFrame:
        """Features x objective: how does it speak, and are colours on the right things?"""
        return pd.DataFrame(
            {"features": kind, "objective": objective, **self.judged(kind, objective)["speech"]}
            for kind in self.config.encoders for objective in OBJECTIVES
        )  # fmt: skip

    def answers(self, kind: str) -> pd.DataFrame:
        """Every test question with the model's answer and its official score."""
        return pd.read_csv(self.stages / f"vqa-{kind}" / "answers.csv", keep_default_na=False)

    def prior_answers(self) -> pd.DataFrame:
        """What a parrot scores: the most common training answer to every test question."""
        word, records = answer_prior(self.source.questions("train")), self.source.questions("test")
        return scored_answers(records, {record.question_id: word for record in records}, "test")

    def vqa_kinds(self) -> list[str]:
        """The rows of the VQA table, from blind to all-seeing."""
        sighted = [kind for kind in ("symbolic",) if (self.stages / f"vqa-{kind}").exists()]
        return ["answer prior", "question-only", *reversed(self.config.encoders), *sighted]

    def vqa_rows(self, kind: str) -> pd.DataFrame:
        """Test questions of one row of the VQA table."""
        return self.prior_answers() if kind == "answer prior" else self.answers(kind)

    def vqa(self) -> pd.DataFrame:
        """VQA accuracy in percent by answer type, with the interval of the overall figure; questions that need two
        objects ("hard") apart."""
        rows = []
        for kind in self.vqa_kinds():
            table = self.vqa_rows(kind)
            test, hard = table[table["split"] == "test"], table[table["split"] == "hard"]
            middle = interval(test["score"], groups=test["image_id"])
            means = test.groupby("answer_type")["score"].mean()
            rows.append({"features": kind, **{name: means.get(name, float("nan")) for name in ANSWER_TYPES},
                         "overall": middle.mean, "low": middle.low, "high": middle.high,
                         "hard": hard["score"].mean() if len(hard) else float("nan")})  # fmt: skip
        return pd.DataFrame(rows)

    def comparisons(self) -> pd.DataFrame:
        """The paper's findings as paired differences on the same test items, each with a 95 % interval."""
        ours, *others = self.config.encoders
        rows = []
        for other in others:
            for objective in OBJECTIVES:
                pair = [100 * self.per_image(kind, objective)["CIDEr"] for kind in (ours, other)]
                rows.append(_row(f"{ours} beat {other} on CIDEr ({objective})", paired_difference(*pair)))
            first, second = (self._test_scores(kind) for kind in (ours, other))
            rows.append(_row(f"{ours} beat {other} on VQA overall",
                             paired_difference(first["score"], second["score"], groups=first["image_id"])))  # fmt: skip
        for kind in self.config.encoders:
            pair = [100 * self.per_image(kind, objective)["CIDEr"] for objective in reversed(OBJECTIVES)]
            rows.append(_row(f"SCST beats cross-entropy on CIDEr ({kind})", paired_difference(*pair)))
        return pd.DataFrame(rows)

    def _test_scores(self, kind: str) -> pd.DataFrame:
        table = self.answers(kind)
        return table[table["split"] == "test"].set_index("question_id")

    def costs(self, names: Sequence[str]) -> pd.DataFrame:
        """Seconds and peak memory of the stages."""
        rows = []
        for name in names:
            marker = read_json(self.stages / name / "stage.json")
            rows.append({"stage": name, **{key: marker[key] for key in ("seconds", "cpu_seconds", "peak_memory_mb")}})
        return pd.DataFrame(rows)


def _row(finding: str, difference) -> dict:
    return {"finding": finding, "estimate": difference.mean, "low": difference.low, "high": difference.high,
            "holds": difference.low > 0}  # fmt: skip
