"""BLEU, METEOR, ROUGE-L, CIDEr and SPICE behind one door: pycocoevalcap, made safe to call."""

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pycocoevalcap
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

from updown_lab.metrics.java import JavaFailed, find_java, java_environment, missing_java_message, run_java
from updown_lab.text import tokenise

METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr", "SPICE")
FEW_IMAGES = 50
_PACKAGE = Path(pycocoevalcap.__path__[0])
_SPICE_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")

Captions = dict[int, list[str]]  # image_id -> captions; for candidates one each


@dataclass(frozen=True)
class CaptionScores:
    """What the official metrics say.

    Attributes:
        corpus: {"BLEU-1": ..., "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE"}, NaN where a metric could not run.
            CIDEr runs from 0 to 10, the others from 0 to 1; papers print all of them times 100.
        per_image: DataFrame with the same columns, indexed by image_id. The corpus BLEU and METEOR are
            not the means of their columns: they pool counts over all images first.
        notes: what a reader must know before comparing these numbers; print them under the table.
    """

    corpus: dict[str, float]
    per_image: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def score_captions(
    candidates: Mapping[int, str], references: Mapping[int, Sequence[str]], metrics: Sequence[str] = METRICS
) -> CaptionScores:
    """Score captions with the metrics of the COCO evaluation.

    BLEU asks whether the words are right, METEOR forgives synonyms, ROUGE-L
    wants them in order, CIDEr pays for what is special to this image, SPICE
    compares who-does-what-to-what.

    Args:
        candidates: {image_id: caption}, raw text.
        references: {image_id: captions people wrote}, raw text. Images without a candidate are left out,
            with a note: CIDEr counts its document frequencies on the images that are scored.
        metrics: any of ``METRICS``.

    Returns:
        CaptionScores. Without Java METEOR and SPICE are NaN and ``text.tokenise`` splits the words; ``notes`` says so.

    Raises:
        ValueError: an unknown metric, no candidate, or a candidate without references.
        JavaFailed: Java was found, but one of its programs broke.

    >>> scores = score_captions({1: "a cat", 2: "two dogs"}, {1: ["a cat"], 2: ["two dogs"]}, metrics=["ROUGE-L"])
    >>> scores.corpus
    {'ROUGE-L': 1.0}
    """
    _check(candidates, references, metrics)
    java = find_java()
    notes = []
    if left_out := len(references.keys() - candidates.keys()):
        notes.append(f"{left_out} images have references but no caption: left out")
    if len(candidates) < FEW_IMAGES and "CIDEr" in metrics:
        notes.append(
            f"CIDEr on few images ({len(candidates)}, fewer than {FEW_IMAGES}): its document frequencies come from "
            "these references, so it is noisy, and 0 on a single image"
        )
    if java is None:
        notes.append(f"tokenizer: approximate; {missing_java_message()}")
    raw = ({image: [caption] for image, caption in candidates.items()}, {i: list(references[i]) for i in candidates})
    # METEOR's program reads its tables while the words are split, and works while Python counts the other metrics.
    with ThreadPoolExecutor(1) as beside, _meteor_started(java and "METEOR" in metrics) as meteor:
        tokenised = _ptb_both(*raw) if java else [_approximate(part) for part in raw]
        waiting = beside.submit(_meteor, meteor, *tokenised) if meteor else None
        answers = {metric: _SCORERS[metric](*tokenised) if metric in _PURE_PYTHON else _run_spice(tokenised, java)
                   for metric in metrics if metric != "METEOR"}  # fmt: skip
        if "METEOR" in metrics:
            answers["METEOR"] = waiting.result() if waiting else f"METEOR: NaN, {missing_java_message()}"

    corpus, columns = {}, {}
    for metric in (name for name in METRICS if name in metrics):
        answer = answers[metric]
        if isinstance(answer, str):
            notes.append(answer)
            answer = {metric: (math.nan, [math.nan] * len(candidates))}
        for name, (value, each) in answer.items():
            corpus[name], columns[name] = float(value), [float(score) for score in each]
    return CaptionScores(corpus, pd.DataFrame(columns, index=pd.Index(list(candidates), name="image_id")), notes)


def _ptb_both(*parts: Captions) -> list[Captions]:
    """Candidates and references split by one run of the program."""
    split = ptb_tokenise({(number, image): texts for number, part in enumerate(parts) for image, texts in part.items()})
    return [{image: split[number, image] for image in part} for number, part in enumerate(parts)]


def ptb_tokenise(captions: Mapping[int, Sequence[str]]) -> Captions:
    """Split captions into words as the official evaluation does (Stanford PTBTokenizer, then punctuation goes).

    This starts Java itself, with the same jar and flags as pycocoevalcap, which writes into its own package
    folder and loses its place when a caption holds an odd line break.

    Args:
        captions: {image_id: captions}, raw text.

    Returns:
        {image_id: the same captions, lower case, words split by blanks}.

    Raises:
        DataMissing: there is no Java.
        JavaFailed: the tokeniser broke.
    """
    lines = [" ".join(caption.split()) for group in captions.values() for caption in group]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        jar = _PACKAGE / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
        flags = ["-preserveLines", "-lowerCase", str(path)]
        output = run_java("edu.stanford.nlp.process.PTBTokenizer", [jar], flags)
    split = output.split("\n")[:-1]
    if len(split) != len(lines):
        raise JavaFailed(f"the PTB tokeniser gave {len(split)} lines for {len(lines)} captions")
    words = iter(" ".join(word for word in line.split() if word not in PUNCTUATIONS) for line in split)
    return {image: [next(words) for _ in group] for image, group in captions.items()}


def _approximate(captions: Captions) -> Captions:
    return {image: [" ".join(tokenise(caption)) for caption in group] for image, group in captions.items()}


def _check(candidates, references, metrics) -> None:
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or isinstance(metrics, str):
        raise ValueError(f"unknown metrics {unknown or metrics!r}; choose a list from {', '.join(METRICS)}")
    if not candidates:
        raise ValueError("no captions to score: candidates is empty")
    alone = [image for image in candidates if not any(text.strip() for text in references.get(image, ()))]
    if alone:
        raise ValueError(f"{len(alone)} captions have no references, first: image {alone[0]}; score the same split")


# Each scorer takes {image: [caption]} and {image: references}, tokenised, and gives {name: (corpus, per image)}.


def _bleu(candidates: Captions, references: Captions) -> dict:
    corpus, each = Bleu(4).compute_score(references, candidates, verbose=0)
    return {f"BLEU-{order}": pair for order, pair in enumerate(zip(corpus, each, strict=False), 1)}


def _rouge(candidates: Captions, references: Captions) -> dict:
    return {"ROUGE-L": Rouge().compute_score(references, candidates)}


def _cider(candidates: Captions, references: Captions) -> dict:
    return {"CIDEr": Cider().compute_score(references, candidates)}


@contextmanager
def _meteor_started(wanted) -> Iterator[Meteor | None]:
    """METEOR's program, which ends with the block whatever happens."""
    if not wanted:
        yield None
        return
    with java_environment():
        scorer = Meteor()
    try:
        yield scorer
    finally:
        scorer.meteor_p.kill()
        if scorer.lock.locked():  # an error leaves it locked, and the scorer's own end would wait for it for ever
            scorer.lock.release()


def _meteor(scorer: Meteor, candidates: Captions, references: Captions) -> dict:
    try:
        return {"METEOR": scorer.compute_score(references, candidates)}
    except (ValueError, OSError) as error:
        scorer.meteor_p.kill()
        said = scorer.meteor_p.stderr.read().decode(errors="replace")
        raise JavaFailed(f"METEOR broke ({error}); Java said: {said[-500:].strip() or 'nothing'}") from error


def _spice(candidates: Captions, references: Captions) -> dict | str:
    """SPICE's own program, because pycocoevalcap's class downloads from the network and writes into its folder."""
    jars = spice_jars()
    if jars is None:
        return "SPICE: NaN, " + missing_spice_message()
    items = [{"image_id": int(image), "test": candidates[image][0], "refs": references[image]} for image in candidates]
    jars = [_PACKAGE / "spice" / "spice-1.0.jar", _PACKAGE / "spice" / "lib" / "*", *jars]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "captions.json", Path(folder) / "scores.json"
        source.write_text(json.dumps(items), encoding="utf-8")
        arguments = [str(source), "-out", str(target), "-subset", "-silent"]
        run_java("edu.anu.spice.SpiceScorer", jars, arguments, memory="8G")
        results = json.loads(target.read_text(encoding="utf-8"))
    scores = {item["image_id"]: item["scores"]["All"]["f"] for item in results}  # by id: the order is SPICE's own
    each = [math.nan if scores[image] is None else float(scores[image]) for image in candidates]
    return {"SPICE": (sum(each) / len(each), each)}


_SCORERS = {"BLEU": _bleu, "ROUGE-L": _rouge, "CIDEr": _cider}
_PURE_PYTHON = tuple(_SCORERS)


def spice_jars() -> list[Path] | None:
    """The two CoreNLP jars that SPICE needs, from ``$UPDOWN_SPICE_DIR`` or pycocoevalcap's folder, or None."""
    named = os.environ.get("UPDOWN_SPICE_DIR")
    for folder in [*([Path(named)] if named else []), _PACKAGE / "spice" / "lib"]:
        jars = [folder / name for name in _SPICE_JARS]
        if all(jar.is_file() for jar in jars):
            return jars
    return None


def missing_spice_message() -> str:
    """One line for the reader: which files SPICE lacks, and where to put them.

    >>> "UPDOWN_SPICE_DIR" in missing_spice_message()
    True
    """
    return f"it needs {' and '.join(_SPICE_JARS)} (CoreNLP 3.6.0); set UPDOWN_SPICE_DIR to the folder that holds them"


def _run_spice(tokenised: Sequence[Captions], java: Path | None) -> dict | str:
    if java is None:
        return f"SPICE: NaN, {missing_java_message()}"
    with java_environment():
        return _spice(*tokenised)
