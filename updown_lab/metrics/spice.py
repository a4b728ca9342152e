"""SPICE: its own program, because pycocoevalcap's class downloads over plain http and writes into its own folder."""

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pycocoevalcap

from updown_lab.datasets.catalogue import CATALOGUE
from updown_lab.metrics.java import JavaFailed, run_java

_PACKAGE = Path(pycocoevalcap.__path__[0])
_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")

#: The program's name of a part, and ours.
PARTS = {
    "Object": "SPICE object", "Attribute": "SPICE attribute", "Relation": "SPICE relation", "Color": "SPICE colour",
    "Cardinality": "SPICE count", "Size": "SPICE size",
}  # fmt: skip


def spice_jars() -> list[Path] | None:
    """The two CoreNLP jars that SPICE needs, or None.

    From ``$UPDOWN_SPICE_DIR`` if that is set; else where ``updown-lab download spice`` puts them, in ``data/spice``
    here or above (a notebook runs one folder down); else from pycocoevalcap's folder.
    """
    for folder in _folders():
        jars = [folder / name for name in _JARS]
        if all(jar.is_file() for jar in jars):
            return [jar.resolve() for jar in jars]
    return None


def _folders() -> list[Path]:
    if named := os.environ.get("UPDOWN_SPICE_DIR"):
        return [Path(named)]
    here = Path.cwd()
    downloaded = [folder / "data" / CATALOGUE["spice"].folder for folder in (here, *here.parents)]
    return [*downloaded, _PACKAGE / "spice" / "lib"]


def missing_spice_message() -> str:
    """One line for the reader: which files SPICE lacks, and the command that fetches them.

    >>> "updown-lab download spice" in missing_spice_message()
    True
    """
    needed = f"it needs {' and '.join(_JARS)}"
    if named := os.environ.get("UPDOWN_SPICE_DIR"):
        return f"{needed}, and UPDOWN_SPICE_DIR={named} lacks them; unset it, then: updown-lab download spice"
    return f"{needed}; get them with: updown-lab download spice, or set UPDOWN_SPICE_DIR to the folder that holds them"


def spice(
    candidates: Mapping[int, Sequence[str]], references: Mapping[int, Sequence[str]], jars: Sequence[Path]
) -> dict[str, tuple[float, list[float]]]:
    """Does the caption say who does what to whom?

    Both sides become sets of facts, (dog), (dog, brown), (dog, on, sofa), and the
    score is the F1 between the sets (Anderson et al. 2016). Its parts count facts of one kind only.

    Args:
        candidates: {image_id: [caption]}, split into words.
        references: {image_id: captions people wrote}.
        jars: of ``spice_jars``.

    Returns:
        "SPICE" and its parts ("SPICE colour", ...), each (corpus, scores in the order of the candidates). NaN where an
        image has no fact of a kind; the corpus score of a part is the mean over the images that have one.

    Raises:
        DataMissing: there is no Java.
        JavaFailed: the program broke, or left images out.
    """
    items = [
        {"image_id": image, "test": said[0], "refs": list(references[image])} for image, said in candidates.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "captions.json", Path(folder) / "scores.json"
        source.write_text(json.dumps(items), encoding="utf-8")
        run_java(
            "edu.anu.spice.SpiceScorer",
            [_PACKAGE / "spice" / "spice-1.0.jar", _PACKAGE / "spice" / "lib" / "*", *jars],
            [str(source), "-out", str(target), "-subset", "-silent"],
            memory="8G",
        )
        scores = _read(target, candidates)
    whole = [_number(scores[image]["All"]) for image in candidates]
    answer = {"SPICE": (sum(whole) / len(whole), whole)}
    for theirs, ours in PARTS.items():
        each = [_number(scores[image].get(theirs)) for image in candidates]
        known = [score for score in each if not math.isnan(score)]
        answer[ours] = (float(np.mean(known)) if known else math.nan, each)
    return answer


def _read(path: Path, wanted: Mapping) -> dict:
    """The program's scores of each image, by id: the order is its own."""
    try:
        scores = {item["image_id"]: item["scores"] for item in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JavaFailed(f"SPICE wrote no scores ({type(error).__name__}: {error})") from error
    if missing := [image for image in wanted if image not in scores]:
        raise JavaFailed(f"SPICE left {len(missing)} images out, first: {missing[0]!r}")
    return scores


def _number(part: Mapping | None) -> float:
    """F1 of one part; the program writes null or "NaN" where there is no such fact."""
    try:
        return float(part["f"])
    except (TypeError, KeyError, ValueError):
        return math.nan
