"""BLEU, METEOR, ROUGE-L, CIDEr and SPICE behind one door: pycocoevalcap, made safe to call."""

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pycocoevalcap
from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

from updown_lab.metrics.java import JavaFailed, find_java, missing_java_message, run_java
from updown_lab.metrics.meteor import meteor_started
from updown_lab.metrics.overlap import bleu, cider, rouge_l
from updown_lab.metrics.spice import missing_spice_message, spice, spice_jars
from updown_lab.text import tokenise

METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr", "SPICE")
FEW_IMAGES = 50
_PACKAGE = Path(pycocoevalcap.__path__[0])
_WITHOUT_JAVA = {"BLEU": bleu, "ROUGE-L": rouge_l, "CIDEr": cider}

Captions = dict[int, list[str]]  # image_id -> captions; for candidates one each


@dataclass(frozen=True)
class CaptionScores:
    """What the official metrics say.

    Attributes:
        corpus: {"BLEU-1": ..., "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE"}, NaN where a metric could not run.
            "CIDEr" is CIDEr-D (clipped counts, other lengths damped), as in the COCO evaluation and in papers that say
            CIDEr; it runs from 0 to 10, the others from 0 to 1; papers print all of them times 100. Where SPICE runs,
            its parts follow, "SPICE object" and so on, see ``spice.PARTS``.
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
        CaptionScores. Without Java METEOR and SPICE are NaN and ``text.tokenise`` splits the words; where one of their
        programs breaks, that metric alone is NaN. ``notes`` says so.

    Raises:
        ValueError: an unknown metric, no candidate, a caption or reference that is no text, or a candidate without
            references.
        JavaFailed: Java was found, but the tokeniser broke.

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
    with ThreadPoolExecutor(1) as beside, meteor_started(java and "METEOR" in metrics) as meteor:
        tokenised = _ptb_both(*raw) if java else [_approximate(part) for part in raw]
        waiting = beside.submit(meteor.score, *tokenised) if meteor else None
        answers = {name: score(*tokenised) for name, score in _WITHOUT_JAVA.items() if name in metrics}
        if "SPICE" in metrics:
            answers["SPICE"] = _or_why_not("SPICE", lambda: _spice(tokenised, java))
        if "METEOR" in metrics:
            missing = f"METEOR: NaN, {missing_java_message()}"
            answers["METEOR"] = _or_why_not("METEOR", waiting.result) if waiting else missing

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
    for image, caption in candidates.items():
        people = references.get(image, [])
        if not isinstance(caption, str):
            raise ValueError(f"the caption of image {image!r} must be a text, got {caption!r:.60}")
        several = isinstance(people, Iterable) and not isinstance(people, str)
        if not several or not all(isinstance(text, str) for text in people):
            raise ValueError(f"the references of image {image!r} must be a list of texts, got {people!r:.60}")
    alone = [image for image in candidates if not any(text.strip() for text in references.get(image, ()))]
    if alone:
        known = f"; references are for images like {next(iter(references))!r}" if references else ""
        raise ValueError(
            f"{len(alone)} captions have no references, first: image {alone[0]!r}{known}; score the same split"
        )


def _or_why_not(metric: str, score: Callable[[], dict | str]) -> dict | str:
    """What a metric says; one line if its program broke."""
    try:
        return score()
    except JavaFailed as error:
        return f"{metric}: NaN, {' '.join(str(error).split())}"


def _spice(tokenised: Sequence[Captions], java: Path | None) -> dict | str:
    if java is None:
        return f"SPICE: NaN, {missing_java_message()}"
    jars = spice_jars()
    return spice(*tokenised, jars) if jars else f"SPICE: NaN, {missing_spice_message()}"
