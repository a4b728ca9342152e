"""Judging captions: the official metrics and where the model looked while it spoke."""

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


def judge_captions(work: Work) -> None:
    """Score one kind of features under both objectives: ``scores.json`` and ``per_image.csv`` of each."""
    source, kind = open_source(work.config, work.need("world")), work.argument
    references = {record.image_id: list(record.captions) for record in source.captions("test")}
    store = FeatureStore.open(work.need(f"features-{kind}") / "store")
    for objective in OBJECTIVES:
        folder = work.need(f"captions-{kind}-{objective}")
        said = {row["image_id"]: row["caption"] for row in read_json(folder / "captions.json")}
        scores = score_captions(said, references)
        looked = grounding(_looks(folder, said, store, source), source.nouns)
        words = {image: caption.split() for image, caption in said.items()}
        described = ((words[image], source.described(image)) for image in words)
        spoken = speech(list(words.values())) | binding(described, source.nouns, source.colours)
        write_json(work.folder / f"{objective}.json",
                   {"metrics": scores.corpus, "grounding": looked, "speech": spoken, "notes": scores.notes},
                   indent=1)  # fmt: skip
        with atomic_path(work.folder / f"{objective}.csv") as draft:
            scores.per_image.assign(caption=[said[image] for image in scores.per_image.index]).to_csv(draft)


def _looks(folder, said: dict[int, str], store: FeatureStore, source):
    """What each caption said, and where the model looked word by word."""
    weights = np.load(folder / "attention.npz")
    for image, caption in said.items():
        table = torch.from_numpy(weights[str(image)]).float()
        yield GroundedCaption(table, store[image].boxes, caption.split(), source.objects(image))
