"""Models to play with at once: trained beforehand on the drawn world, small enough to travel with the package.

    import updown_lab as ul
    demo = ul.demo()                                  # offline, on any CPU
    picture = demo.scene(seed=7)                      # drawn now, never trained on
    print(demo.speaker().describe(demo.see(picture)))
    demo.explore(picture)

Where the models come from, and what they are worth, stands in ``bundle/BUNDLE.md`` and in ``demo.about``.
"""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from updown_lab.datasets.picturebook.captions import write_captions
from updown_lab.datasets.picturebook.questions import HARD_KINDS, KINDS, Question, annotate, facts, hard_facts, phrase
from updown_lab.datasets.picturebook.scenes import Thing, compose_scene
from updown_lab.errors import ConfigError, DataMissing
from updown_lab.files import read_json
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.speaking_models import Answerer, Speaker, checked_picture
from updown_lab.regions import Regions

BUNDLE = Path(__file__).with_name("bundle")
#: Scenes of the demo come from numbers (1, 3, seed); a world's come from (its seed, 0 to 2 and 7 to 9, number).
FRESH = (1, 3)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A fresh scene with the whole truth about it.

    Attributes:
        seed:      draws it again.
        image:     (3, 128, 128) float in [0, 1].
        place:     "meadow", "beach", "lake" or "room".
        things:    what is in it: category, colour, pattern, parts, size, box.
        captions:  what five people say.
        questions: one of each kind that can be asked here, with the true ``answer`` and what ten people said
                   (``answers``); the kinds of ``HARD_KINDS`` need two things at once.
    """

    seed: int
    image: Tensor
    place: str
    things: tuple[Thing, ...]
    captions: list[str]
    questions: list[Question]


class BundledRun(FinishedRun):
    """A run of which only the models are left; they are as they were when it was packed, so nothing is checked."""

    def stage(self, name: str) -> Path:
        """Folder of a stage whose model was packed."""
        folder = self.plan.path(name)
        if not (folder / "model.safetensors").exists():
            held = sorted(path.name for path in (self.folder / "stages").glob("*"))
            raise DataMissing(f"the bundle in {self.folder} holds no {name!r}, only {', '.join(held)}. A run of your "
                              "own has all: python -m updown_lab quickstart")  # fmt: skip
        return folder


class Demo:
    """Models that were trained beforehand, and a painter of pictures that they have never seen.

    Args:
        folder: a bundle, see ``python -m updown_lab bundle``; by default the one that travels with the package.

    Attributes:
        about: how the models were made (commands, seeds, commits, versions) and what they score.
        run:   the ``FinishedRun`` inside.

    Raises:
        DataMissing: there is no bundle in the folder.

    >>> demo = Demo()
    >>> regions = demo.see(demo.scene(seed=7))
    >>> len(demo.speaker().describe(regions).words) > 2
    True
    """

    def __init__(self, folder: Path | str = BUNDLE):
        self.folder = Path(folder)
        self.about = read_json(self.folder / "bundle.json", "make it with: python -m updown_lab bundle --run RUN --out "
                               f"{self.folder}")  # fmt: skip
        self.run = BundledRun(self.folder)
        self._models: dict[tuple, Speaker | Answerer] = {}

    def scene(self, seed: int | None = None) -> Tensor:
        """A freshly drawn picture, (3, 128, 128) float in [0, 1]; without a seed a new one each time."""
        return self.scene_truth(seed).image

    def scene_truth(self, seed: int | None = None) -> Drawn:
        """The same picture with everything that is true of it: things, captions, questions with their answers.

        Args:
            seed: a whole number from 0 on; None draws a new one, which ``Drawn.seed`` tells.

        Raises:
            ConfigError: a seed that is none.
        """
        if seed is None:
            seed = int(np.random.default_rng().integers(2**31))
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise ConfigError(f"a scene's seed is a whole number from 0 on, got {seed!r}")
        random = np.random.default_rng([*FRESH, int(seed)])
        scene = compose_scene(random)
        image = torch.from_numpy(np.asarray(scene.image).copy()).permute(2, 0, 1).float().div(255).contiguous()
        captions = write_captions(scene, random)
        return Drawn(int(seed), image, scene.place, scene.things, captions, _questions(scene, random))

    def see(self, image: Tensor | Path | str, features: str = "regions") -> Regions:
        """What a pair of eyes finds in a picture.

        Args:
            image:    (3, H, W) float in [0, 1] RGB, or a file.
            features: "regions" (bottom-up attention) or "grid-pretrained-7" (7 x 7 cells, what came before it).

        Raises:
            ConfigError: other features than the bundle has.
        """
        return self.speaker(features).see(image)

    def speaker(self, features: str = "regions", objective: str = "scst") -> Speaker:
        """The captioner of one kind of features, loaded once.

        Args:
            features:  "regions" or "grid-pretrained-7".
            objective: "scst", after self-critical training, or "cross-entropy", before it.

        Raises:
            ConfigError: the bundle has no such model; the message names those that it has.
        """
        return self._model(f"captions-{features}-{objective}", lambda: Speaker.of(self.run, features, objective))

    def answerer(self, features: str = "regions") -> Answerer:
        """The VQA model of one kind of features, loaded once; see ``speaker``."""
        return self._model(f"vqa-{features}", lambda: Answerer.of(self.run, features))

    def explore(self, image: Tensor | Path | str | None = None):
        """Open the attention explorer on a picture, by default a fresh scene.

        Returns:
            The widget; as the last line of a notebook's cell it shows itself.

        Raises:
            DataMissing: this installation has no widgets.
        """
        try:  # by name: widgets stand one floor above, and only who explores should pay for loading them
            widgets = importlib.import_module("updown_lab.widgets")
        except ModuleNotFoundError as error:
            raise DataMissing(f"the explorer needs {error.name}, which is not installed: pip install --upgrade "
                              "updown_lab anywidget; without it, demo.speaker().describe(demo.see(picture)) tells the "
                              "same in numbers") from error  # fmt: skip
        speaker = self.speaker()
        picture = self.scene() if image is None else checked_picture(image)
        return widgets.AttentionExplorer(picture, speaker)

    def _model(self, stage: str, load):
        if stage not in self._models:
            has = sorted(path.name for path in (self.folder / "stages").iterdir() if "-" in path.name)
            if stage not in has:
                raise ConfigError(f"the demo has no {stage!r}; it has {', '.join(has)}")
            self._models[stage] = load()
        return self._models[stage]

    def __repr__(self) -> str:
        about, lines = self.about, []
        for name, scores in about["scores_of_the_bundle"].items():
            lines.append(f"  {name:<42} " + ", ".join(f"{what} {value}" for what, value in scores.items()))
        return (
            f"Demo: {about['what']}\n  {about['trained_with']}\n  on {about['trained_on']}, commit "
            f"{about['trained_at_commit'][:12]}, seed {', '.join(map(str, about['seeds'].values()))}; "
            "on test pictures:\n" + "\n".join(lines)
        )


def _questions(scene, random: np.random.Generator) -> list[Question]:
    """One question of each kind that this scene can answer."""
    asked = []
    for kinds, source in ((KINDS, facts), (HARD_KINDS, hard_facts)):
        known = sorted(source(scene))
        for kind, (answer_type, _) in kinds.items():
            possible = [(key, answer) for key, answer in known if key[0] == kind]
            if possible:
                key, answer = possible[random.integers(len(possible))]
                said = annotate(answer, answer_type, random)
                asked.append(Question(0, kind, phrase(key, random), answer, answer_type, said))
    return asked


def demo(folder: Path | str = BUNDLE) -> Demo:
    """Open the models that travel with the package. They were trained beforehand; nothing trains here.

    >>> print(demo())  # doctest: +ELLIPSIS
    Demo: models of updown_lab's generated world, trained beforehand
      python -m updown_lab quickstart --preset tiny --seed 1
    ...
    """
    return Demo(folder)


class _Door(ModuleType):
    """This module can be called, so that ``ul.demo()`` works whatever has been imported before it."""

    def __call__(self, folder: Path | str = BUNDLE) -> Demo:
        return demo(folder)


sys.modules[__name__].__class__ = _Door
