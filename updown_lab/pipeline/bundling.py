"""A run made small enough to travel with the package, with its story beside it.

Weights are rounded, everything that only training needs is left behind, and what the rounded models are worth is
measured anew on the run's own test pictures, so that the figures beside the bundle are the bundle's.
"""

import hashlib
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from updown_lab import __version__
from updown_lab.checkpoints import pack
from updown_lab.config import Config, preset, save_config, to_dict
from updown_lab.decode import beam_search
from updown_lab.errors import DataInvalid
from updown_lab.files import read_json, write_json
from updown_lab.metrics.captions import score_captions
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.plans import OBJECTIVES
from updown_lab.pipeline.sources import open_source
from updown_lab.pipeline.speaking_models import Answerer, Speaker
from updown_lab.pipeline.work import scored_answers
from updown_lab.progress import progress
from updown_lab.regions import RegionBatch, Regions, collate_regions
from updown_lab.training.answering import answer_questions
from updown_lab.training.seeing import score_detector
from updown_lab.vision.images import load_image

FEATURES = ("regions", "grid-pretrained-7")
LARGEST = 10_000_000  # bytes of all files together
KEPT = ("model.json", "stage.json", "vocabulary.json", "answers.json", "scores.json")
SCORED = ("BLEU-4", "CIDEr")  # what needs no Java
STORY = "bundle.json"


def make_bundle(
    folder: Path | str,
    out: Path | str,
    command: str,
    features: Sequence[str] = FEATURES,
    commit: str = "",
    largest: int = LARGEST,
) -> dict:
    """Pack the finished models of a run.

    The eyes and the VQA models are kept in float16, the captioners in 8 bits (see ``checkpoints.pack``).

    Args:
        folder:   a finished run on the generated world; it is read only.
        out:      where the bundle goes; an older bundle there is replaced when the new one is complete.
        command:  what was typed, for the record.
        features: kinds of features whose captioners and VQA models are taken.
        commit:   of the library when the run was trained, if known.
        largest:  bytes.

    Returns:
        What ``bundle.json`` tells.

    Raises:
        DataMissing: the run is not finished.
        DataInvalid: the bundle would be too large, or something else lies where it should go.
    """
    run, out = FinishedRun(folder), Path(out)
    if out.exists() and any(out.iterdir()) and not (out / STORY).exists():
        raise DataInvalid(f"{out} holds something that is no bundle; choose another folder with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".bundle-") as name:
        draft = Path(name) / "bundle"
        _copy(run, draft, features)
        size = sum(file.stat().st_size for file in _files(draft))
        if size > largest:
            raise DataInvalid(f"the bundle of {folder} would have {size / 1e6:.1f} MB, more than {largest / 1e6:.1f}; "
                              "take fewer kinds of features or a smaller run")  # fmt: skip
        story = _story(run, draft, command, commit, features)
        write_json(draft / STORY, story, indent=1)
        (draft / "BUNDLE.md").write_text(_page(story), encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        draft.replace(out)
    return story


def told_path(path: Path | str) -> str:
    """A path for the record: as it was typed, or relative to the project; nobody's private folders are told.

    >>> told_path("runs/bundle"), told_path(Path(__file__).parents[2] / "runs" / "bundle"), told_path("/home/me/run")
    ('runs/bundle', 'runs/bundle', 'ELSEWHERE/run')
    """
    path, root = Path(path), Path(__file__).parents[2]
    if not path.is_absolute() and ".." not in path.parts:
        return path.as_posix()
    whole = path.resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else f"ELSEWHERE/{whole.name}"


def _copy(run: FinishedRun, draft: Path, features: Sequence[str]) -> None:
    """Config, and of each model its weights, facts, words and marker."""
    draft.mkdir()
    save_config(run.config, draft / "config.json")
    captioners = [f"captions-{kind}-{objective}" for kind in features for objective in OBJECTIVES]
    for stage in ("trunk", "detector", *captioners, *(f"vqa-{kind}" for kind in features)):
        source, target = run.stage(stage), draft / "stages" / stage
        target.mkdir(parents=True)
        for file in (source / name for name in KEPT):
            if file.exists():
                shutil.copyfile(file, target / file.name)
        packed = pack(load_file(source / "model.safetensors"), bits=8 if stage in captioners else 16)
        save_file(packed, target / "model.safetensors")
        (target / "model.safetensors").chmod(0o644)  # safetensors' own choice is the owner alone


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _story(run: FinishedRun, draft: Path, command: str, commit: str, features: Sequence[str]) -> dict:
    """Everything that somebody should know who did not train these models."""
    stages = {path.name: read_json(path / "stage.json") for path in sorted((draft / "stages").iterdir())}
    trained = datetime.fromtimestamp((run.stage("detector") / "stage.json").stat().st_mtime, UTC)
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
                "updown_lab": __version__}  # fmt: skip
    return {
        "what": "models of updown_lab's generated world, trained beforehand",
        "trained_with": _typed(run.config),
        "trained_on": trained.date().isoformat(),
        "trained_at_commit": commit or "not recorded",
        "bundled_with": command,
        "bundled_at_commit": _commit(),
        "made_anew_with": [f"{_typed(run.config)} --out runs/bundle",
                           "python -m updown_lab bundle --run runs/bundle --out updown_lab/bundle"],
        "seeds": {"world, weights and order of training": run.config.seed},
        "versions": versions,
        "seconds_of_training": {name: marker.get("seconds") for name, marker in stages.items()},
        "bits": {"trunk, detector, VQA": 16, "captioners": 8},
        "scores_of_the_run": _scores_of_run(run, features),
        "scores_of_the_bundle": _scores_of_bundle(run, FinishedRun(draft), features),
        "bytes": {file.relative_to(draft).as_posix(): file.stat().st_size for file in _files(draft)},
        "sha256": {file.relative_to(draft).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
                   for file in _files(draft) if file.suffix == ".safetensors"},
    }  # fmt: skip


def _typed(config: Config) -> str:
    """The command that trains such a run, with every number that differs from its preset.

    >>> from dataclasses import replace
    >>> _typed(replace(preset("tiny"), seed=3))
    'python -m updown_lab quickstart --preset tiny --seed 3'
    """
    usual, given = (dict(_flat(to_dict(one))) for one in (preset(config.name), config))
    changed = [f"--set={name}={_plain(value)}" for name, value in given.items() if usual[name] != value]
    start = ["python", "-m", "updown_lab", "quickstart", "--preset", config.name, "--seed", str(config.seed)]
    return shlex.join([*start, *(change for change in changed if not change.startswith("--set=seed="))])


def _plain(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _flat(values: dict, before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _commit() -> str:
    """Of this checkout, with "+" if the package's code differs from it."""
    root = Path(__file__).parents[2]
    ask = ["git", "-C", str(root)]
    try:
        head = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*ask, "status", "--porcelain", "--", "updown_lab/**.py"], capture_output=True,
                                 text=True, check=True).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "not in a checkout"
    return head + ("+" if changed else "")


def _scores_of_run(run: FinishedRun, features: Sequence[str]) -> dict:
    """What the run itself found, in float32."""
    scores = {"detector": _seen_well(read_json(run.stage("detector") / "scores.json"))}
    for kind in features:
        for objective in OBJECTIVES:
            metrics = read_json(run.stage(f"judge-{kind}") / f"{objective}.json")["metrics"]
            scores[f"captions-{kind}-{objective}"] = {name: round(metrics[name], 4) for name in SCORED}
        table = pd.read_csv(run.stage(f"vqa-{kind}") / "answers.csv", keep_default_na=False)
        test = table.loc[table["split"] == "test", "score"].mean()
        scores[f"vqa-{kind}"] = {"accuracy": round(float(test), 2)}
    return scores


def _seen_well(scores: dict) -> dict:
    return {name: round(float(scores[name]), 4) for name in ("map50", "class_accuracy", "colour_accuracy")}


def _scores_of_bundle(run: FinishedRun, bundle: FinishedRun, features: Sequence[str]) -> dict:
    """The same of the rounded models, from pixels to words on the run's test pictures."""
    source = open_source(run.config, run.stage("world"))
    records, colours = source.captions("test"), [name for name in source.colours if name in source.names.attributes]
    detector = bundle.encoder("regions").detector
    found = {"detector": _seen_well(score_detector(detector, source.detection("test"), source.names, colours))}
    references = {record.image_id: list(record.captions) for record in records}
    for kind in features:
        seen = _Seen({record.image_id: bundle.encoder(kind).encode([load_image(record.file)])[0]
                      for record in progress(records, title=f"seeing {kind}", unit="picture")})  # fmt: skip
        for objective in OBJECTIVES:
            speaker = Speaker.of(bundle, kind, objective)
            told = _describe(speaker, seen)
            scores = score_captions(told, references, ["BLEU", "CIDEr"]).corpus
            before = {row["image_id"]: row["caption"]
                      for row in read_json(run.stage(f"captions-{kind}-{objective}") / "captions.json")}  # fmt: skip
            same = np.mean([told[image] == before[image] for image in told])
            found[f"captions-{kind}-{objective}"] = {
                **{name: round(float(scores[name]), 4) for name in SCORED},
                "captions equal to the run's": round(float(same), 4),
            }
        found[f"vqa-{kind}"] = {"accuracy": _accuracy(Answerer.of(bundle, kind), seen, source.questions("test"))}
    return found


class _Seen:
    """Regions of the test pictures in memory, read as a feature store is."""

    def __init__(self, regions: dict[int, Regions]):
        self.regions = regions

    def __contains__(self, image_id) -> bool:
        return image_id in self.regions

    def batch(self, images: Sequence[int]) -> RegionBatch:
        """Regions of some images."""
        return collate_regions([self.regions[image] for image in images])


def _describe(speaker: Speaker, seen: _Seen, size: int = 50) -> dict[int, str]:
    images, told = list(seen.regions), {}
    for first in range(0, len(images), size):
        part = images[first : first + size]
        found = beam_search(speaker.model, seen.batch(part).to(speaker.device), speaker.decode)
        told |= {image: speaker.vocabulary.decode(captions[0].words) for image, captions in zip(part, found)}
    return told


def _accuracy(answerer: Answerer, seen: _Seen, records) -> float:
    told = answer_questions(answerer.model, records, seen)
    said = {record.question_id: answer for record, (answer, _) in zip(records, told, strict=True)}
    return round(float(scored_answers(records, said, "test")["score"].mean()), 2)


def _page(story: dict) -> str:
    """``BUNDLE.md``: the story for people."""
    size = sum(story["bytes"].values()) / 1e6
    lines = [
        "# Trained beforehand",
        "",
        f"These are {story['what']}: {size:.1f} MB. `updown_lab.demo()` loads them. Nothing here was made by hand.",
        "",
        "| | |",
        "|---|---|",
        f"| trained with | `{story['trained_with']}` ({story['trained_on']}, commit `{story['trained_at_commit']}`) |",
        f"| packed with | `{story['bundled_with']}` (commit `{story['bundled_at_commit']}`) |",
        f"| made anew, from a clean clone, with | {', then '.join(f'`{one}`' for one in story['made_anew_with'])} |",
        *(f"| mended | {story['mended']} |" for _ in range("mended" in story)),
        f"| seeds | {', '.join(f'{name}: {seed}' for name, seed in story['seeds'].items())} |",
        f"| versions | {', '.join(f'{name} {version}' for name, version in story['versions'].items())} |",
        f"| bits a weight | {', '.join(f'{name}: {bits}' for name, bits in story['bits'].items())} |",
        "",
        "On the run's test pictures (never trained on), from pixels to words:",
        "",
        "| stage | measure | run, 32 bits | this bundle |",
        "|---|---|---|---|",
    ]
    for stage, scores in story["scores_of_the_bundle"].items():
        before = story["scores_of_the_run"].get(stage, {})
        lines += [f"| {stage} | {name} | {before.get(name, '')} | {value} |" for name, value in scores.items()]
    return "\n".join([*lines, ""])
