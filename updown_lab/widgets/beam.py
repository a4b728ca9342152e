"""Beam search as a tree: which half-sentences lived, which died, and where."""

import torch
import traitlets

from updown_lab.config import DecodeConfig
from updown_lab.decode.captions import Speaker
from updown_lab.decode.rules import rules_of
from updown_lab.decode.search import begin, extend, retell, settle
from updown_lab.regions import Regions, collate_regions
from updown_lab.text import END, PAD, Vocabulary
from updown_lab.widgets.base import Shown, script

STOP = "■"  # END, which is no word


class BeamTree(Shown):
    """The beam's search as a tree that grows to the right; hover a word to read the half-sentence up to it.

    Thick lines are likely words, the marked path is the caption that won, faint words were given up.

    Args:
        speaker: a ``Speaker``: what has ``model``, ``vocabulary`` and ``decode`` (its settings).
        regions: of one image, or the image (3, H, W) itself.
        decode:  other settings, for instance another ``beam_size``.

    Attributes:
        nodes: what ``search_tree`` found.
    """

    scripts = ("shared", "roving", "drawing", "beam")
    _esm = script(*scripts)

    nodes = traitlets.List().tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)

    def __init__(self, speaker, regions, decode: DecodeConfig | None = None):
        decode = decode or speaker.decode
        if not isinstance(regions, Regions):
            regions = speaker.see(regions)
        nodes = search_tree(speaker.model, regions, decode, speaker.vocabulary)
        given_up = sum(node["fate"] == "dropped" for node in nodes)
        title = f"{decode.beam_size} beams, {len(nodes) - 1} words tried, {given_up} half-sentences given up"
        super().__init__(nodes=nodes, title=title)


@torch.no_grad()
def search_tree(model: Speaker, regions: Regions, cfg: DecodeConfig, vocabulary: Vocabulary) -> list[dict]:
    """Everything that a beam search kept at any time.

    Args:
        model:      a captioner.
        regions:    of one image.
        cfg:        settings of the search.
        vocabulary: its words.

    Returns:
        The root and one node for each word of each half-sentence that had a place: ``id``, ``parent`` (-1 for the
        root), ``place``, ``word``, ``log_prob`` (of this word), ``total`` (up to here), ``fate`` ("lived", "dropped",
        "ended") and ``best`` (on the way of the caption that won).

    >>> from updown_lab.config import preset
    >>> from updown_lab.models.captioner import UpDownCaptioner
    >>> words = Vocabulary(["cat", "dog", "red"])
    >>> captioner = UpDownCaptioner(preset("tiny").captioner, vocabulary_size=len(words), feature_dim=5)
    >>> seen = Regions(torch.randn(2, 5), torch.rand(2, 4), (9, 9), "demo")
    >>> nodes = search_tree(captioner, seen, DecodeConfig(beam_size=2, maximum_words=3), words)
    >>> nodes[0]["parent"], sum(node["place"] == 1 for node in nodes)
    (-1, 2)
    """
    device = next(model.parameters()).device
    beams = begin(model, collate_regions([regions]).to(device), cfg)
    mask, rules = beams.state.mask, rules_of(cfg, False, vocabulary, device)
    nodes = [_node(0, -1, 0, "", 0.0, 0.0)]
    owner = [0] * len(beams.words)
    turns, found = [], [[]]
    while len(beams.speaking) and len(turns) < cfg.maximum_words:
        beams, turn = extend(model, beams, cfg, rules, ())
        turns.append(turn)
        owner = _grow(nodes, owner, turn, beams.log_probs, vocabulary)
        beams = settle(beams, turn, cfg, found)
    captions = retell(beams, turns, found, mask, cfg)[0]
    _judge(nodes, captions[0].tokens if captions else [], vocabulary)
    return nodes


def _node(number: int, parent: int, place: int, word: str, log_prob: float, total: float) -> dict:
    return {"id": number, "parent": parent, "place": place, "word": word, "log_prob": log_prob, "total": total,
            "fate": "ended" if word == STOP else "lived", "best": False}  # fmt: skip


def _grow(nodes: list[dict], owner: list[int], turn, log_probs, vocabulary: Vocabulary) -> list[int]:
    """Add the words of one step; gives the node at which each row stands now."""
    after = []
    for row, (parent, word, total) in enumerate(zip(turn.parents.tolist(), turn.words.tolist(), log_probs.tolist())):
        before = owner[parent]
        if word == PAD or total == float("-inf"):
            after.append(before)
            continue
        text = STOP if word == END else vocabulary.words[word]
        nodes.append(_node(len(nodes), before, nodes[before]["place"] + 1, text, float(turn.gains[row]), total))
        after.append(len(nodes) - 1)
    return after


def _judge(nodes: list[dict], best: list[int], vocabulary: Vocabulary) -> None:
    """Mark the way of the winner, and leaves without an end as given up."""
    at = 0
    nodes[0]["best"] = True
    for number in best:
        text = STOP if number == END else vocabulary.words[number]
        step = [node["id"] for node in nodes if node["parent"] == at and node["word"] == text]
        if not step:
            break
        at = step[0]
        nodes[at]["best"] = True
    parents = {node["parent"] for node in nodes}
    for node in nodes:
        if node["fate"] == "lived" and node["id"] not in parents and not node["best"]:
            node["fate"] = "dropped"
