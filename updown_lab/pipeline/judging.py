"""Judging captions: the official metrics, where the model looked while it spoke, and how it spoke."""

import numpy as np
import torch

from updown_lab.files import atomic_path, read_json, write_json
from updown_lab.metrics.captions import score_captions
from updown_lab.metrics.grounding import GroundedCaption, grounding
from updown_lab.metrics.saying import binding, speech
from updown_lab.pipeline.plans import OBJECTIVES
from updown_lab.pipeline.sources import open_source
from updown_lab.pipeline.stages import Work
from updown_lab.store.feature_store import FeatureStore

#: What ``per_image`` has of each caption beside the official metrics: shares, NaN where there is nothing to judge.
ITEMS = ("pointing", "iou50", "mass", "hallucination", "hallucinated captions",
         "bad endings", "distinct captions", "distinct pairs", "binding")  # fmt: skip
NO_ATTRIBUTES = (
    "binding: NaN, nobody knows the colours of these photos' objects: none is in vg_core with its number in COCO (the "
    "coco_id of image_data.json)"
)


def judge_captions(work: Work) -> None:
    """Score one kind of features under both objectives: OBJECTIVE.json and, image by image, OBJECTIVE.csv.

    The csv can be compared run against run with paired tests. Its means are not always the figures of the json: BLEU,
    METEOR, pointing, iou50, mass, hallucination, distinct pairs and binding pool the counts of all images there.
    """
    source, kind = open_source(work.config, work.need("world")), work.argument
    references = {record.image_id: list(record.captions) for record in source.captions("test")}
    store = FeatureStore.open(work.need(f"features-{kind}") / "store")
    for objective in OBJECTIVES:
        folder = work.need(f"captions-{kind}-{objective}")
        said = {row["image_id"]: row["caption"] for row in read_json(folder / "captions.json")}
        scores = score_captions(said, references)
        looked = grounding(_looks(folder, said, store, source), source.nouns)
        described = {image: source.described(image) for image in said}
        words = [caption.split() for caption in said.values()]
        spoken = speech(words) | binding(zip(words, described.values()), source.nouns, source.colours)
        notes = [*scores.notes, *([] if any(described.values()) else [NO_ATTRIBUTES])]
        write_json(work.folder / f"{objective}.json",
                   {"metrics": scores.corpus, "grounding": _corpus(looked), "speech": _corpus(spoken), "notes": notes},
                   indent=1)  # fmt: skip
        items = {name: each for name, (_, each) in {**looked, **spoken}.items() if name in ITEMS}
        with atomic_path(work.folder / f"{objective}.csv") as draft:
            scores.per_image.assign(**items, caption=list(said.values())).to_csv(draft)


def _corpus(scores) -> dict[str, float | int]:
    """The figure of all captions; counts as whole numbers."""
    counts = ("words", "words known", "attributes said")
    return {name: int(value) if name in counts else value for name, (value, _) in scores.items()}


def _looks(folder, said: dict[int, str], store: FeatureStore, source):
    """What each caption said, and where the model looked word by word."""
    weights = np.load(folder / "attention.npz")
    for image, caption in said.items():
        table = torch.from_numpy(weights[str(image)]).float()
        there = source.objects(image), source.mentioned(image)
        yield GroundedCaption(table, store[image].boxes, caption.split(), *there)
