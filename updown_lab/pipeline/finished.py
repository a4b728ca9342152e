"""Using what a run has learned: describe any picture, answer any question about it."""

from pathlib import Path

import torch

from updown_lab.checkpoints import read_facts
from updown_lab.config import load_config
from updown_lab.decode import Caption, beam_search
from updown_lab.errors import DataMissing
from updown_lab.models.ensemble import TextVqa
from updown_lab.pipeline.plans import given_stores, make_plan
from updown_lab.pipeline.stages import Work
from updown_lab.pipeline.work import best_device, load_captioner, load_text_vqa, make_encoder
from updown_lab.regions import Regions, collate_regions
from updown_lab.store.feature_store import FeatureStore
from updown_lab.text import Vocabulary
from updown_lab.vision.encoders import Encoder


class FinishedRun:
    """The models of a run's folder, loaded when they are needed.

    Args:
        folder:   where ``quickstart`` or ``real`` worked.
        features: one of the run's kinds of features, for instance "regions".

    Raises:
        DataMissing: there is no such run, or a stage is not done; the message names the command.
    """

    def __init__(self, folder: Path | str, features: str = "regions"):
        self.folder, self.features = Path(folder), features
        if not (self.folder / "config.json").exists():
            raise DataMissing(f"no run in {folder}; make one with: python -m updown_lab quickstart --out {folder}")
        self.config = load_config(self.folder / "config.json")
        self.plan = make_plan(self.config, self.folder)
        self._encoders: dict[str, Encoder] = {}
        self._text_vqa: dict[str, TextVqa] = {}

    def stage(self, name: str) -> Path:
        """Folder of a stage that is done."""
        known = [stage.name for stage in self.plan.stages]
        if name not in known or not self.plan.is_done(self.plan.find(name)):
            raise DataMissing(f"stage {name!r} of {self.folder} is not done; its stages: {', '.join(known)}. "
                              f"Finish it with: python -m updown_lab train {name} --out {self.folder}")  # fmt: skip
        return self.plan.path(name)

    def encoder(self, features: str = "") -> Encoder:
        """The eyes for a kind of features, by default the run's own; loaded once and kept."""
        kind = features or self.features
        if kind not in self._encoders and kind in given_stores(self.config):
            self._encoders[kind] = self._eyes_of_store(kind).encoder
        if kind not in self._encoders:
            if not kind.startswith("grid-pretrained"):
                self.stage("detector")
            elif self.config.trunk.weights == "pretrained":
                self.stage("trunk")
            self._encoders[kind] = make_encoder(Work(self.folder, self.folder, self.config, kind), kind)
        return self._encoders[kind]

    def _eyes_of_store(self, kind: str):
        """The eyes that filled the store which this run was given."""
        from updown_lab.pipeline.eyes import eyes_of_store  # which opens finished runs, too

        return eyes_of_store(given_stores(self.config)[kind])

    def names(self, features: str = "") -> tuple[list[str] | None, list[str] | None]:
        """What the class and attribute numbers of a kind of features mean, if anybody knows."""
        if folder := given_stores(self.config).get(features or self.features):
            facts = FeatureStore.open(folder).manifest.get("about") or {}
        else:
            facts = read_facts(self.stage("detector"))
        return facts.get("objects"), facts.get("attributes")

    def text_vqa(self, features: str = "") -> TextVqa:
        """The VQA model for a kind of features, by default the run's own; loaded once and kept."""
        kind = features or self.features
        if kind not in self._text_vqa:
            self._text_vqa[kind] = load_text_vqa(self.stage(f"vqa-{kind}"), self.config)
        return self._text_vqa[kind]

    def see(self, image: torch.Tensor) -> Regions:
        """Regions of one picture (3, H, W) in [0, 1]."""
        return self.encoder().encode([image])[0]

    def describe(self, regions: Regions, objective: str = "scst") -> tuple[list[str], Caption]:
        """The best caption of one picture: its words, and the caption with attention."""
        folder = self.stage(f"captions-{self.features}-{objective}")
        model = load_captioner(folder, self.config).to(best_device())
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
        batch = collate_regions([regions]).to(best_device())
        caption = beam_search(model, batch, self.config.decode)[0][0]
        return vocabulary.decode(caption.words).split(), caption

    def answer(self, regions: Regions, question: str) -> tuple[list[tuple[str, float]], torch.Tensor, list[str]]:
        """The five likeliest answers with their probabilities, the attention (K,), and the words the model does
        not know."""
        model = self.text_vqa()
        probabilities, weights = model(collate_regions([regions]), [question], torch.zeros(1, dtype=torch.long))
        scores, best = probabilities[0].topk(min(5, len(model.answers)))
        answers = [(model.answers.answers[n], score) for n, score in zip(best.tolist(), scores.tolist(), strict=True)]
        return answers, weights[0].cpu(), model.unknown(question)
