"""Whole runs: quickstart, real, train; and the world they start from."""

import time
from dataclasses import replace
from pathlib import Path

from updown_lab.commands.parsing import command, config_of, run_options
from updown_lab.config import Config, WorldConfig, load_config


def add(commands) -> None:
    """quickstart, real, picturebook, train."""
    run_options(command(commands, "quickstart", quickstart, "the whole pipeline on the generated world, with a report"))
    real = run_options(command(commands, "real", real_data, "the whole pipeline on real photographs, with a report"))
    real.add_argument("--data", required=True, help="folder with vg_core, vg_vocab and coco_core (see data/README.md)")
    real.set_defaults(out="runs/real", preset="photos")
    world = command(commands, "picturebook", picturebook, "draw the generated world in the official file formats")
    world.add_argument("--out", default="data/picturebook")
    world.add_argument("--images", type=int, default=600, help="training pictures; a sixth as many test pictures")
    world.add_argument("--seed", type=int, default=1)
    train = run_options(command(commands, "train", train_stage, "run one stage of a run, and what it needs"))
    train.add_argument("stage", help="for instance detector, captions-regions-scst, vqa-regions; or vqa, "
                       "captions: all whose name begins so")  # fmt: skip


def _run(config: Config, out: str, workers: int, target: str = "report") -> Path:
    from updown_lab.pipeline.plans import make_plan
    from updown_lab.pipeline.stages import run_plan

    plan = make_plan(config, out)
    began = time.monotonic()
    left = sum(not plan.is_done(stage) for stage in plan.upto(target).stages)
    print(f"{plan.folder}: {left} stage(s) to do", flush=True)
    run_plan(plan.upto(target), workers)
    print(f"{time.monotonic() - began:.0f} s in all\n", flush=True)
    return plan.folder


def _report(folder: Path) -> None:
    from updown_lab.pipeline.telling import printed

    print(printed(folder))
    print(f"\nopen {folder / 'report.html'}")


def quickstart(options) -> None:
    """Everything, small."""
    _report(_run(config_of(options), options.out, options.workers))


def real_data(options) -> None:
    """Everything, on real photographs."""
    config = replace(config_of(options), data=str(Path(options.data).resolve()))
    _report(_run(config, options.out, options.workers))


def picturebook(options) -> None:
    """Draw the world only."""
    from updown_lab.datasets.picturebook import make_picturebook

    part = max(1, options.images // 6)
    world = WorldConfig(train_images=options.images, validation_images=part, test_images=part, crops=options.images)
    paths = make_picturebook(options.out, world, options.seed)
    print(f"{options.images + 2 * part} pictures with captions, boxes and questions in {paths.root}")


def train_stage(options) -> None:
    """One stage and what it needs; an existing run keeps its numbers, but for what ``--set`` changes."""
    saved = Path(options.out) / "config.json"
    config = config_of(options, load_config(saved) if saved.exists() else None)
    _run(config, options.out, options.workers, options.stage)
