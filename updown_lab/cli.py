"""The command line: ``python -m updown_lab COMMAND``."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from updown_lab import __version__
from updown_lab.config import Config, load_config, override, preset
from updown_lab.errors import ConfigError, DataMissing, UpdownError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 if all went well, 1 if there was something to mend (said in one message), 130 after an interrupt.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except UpdownError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m updown_lab", description="Bottom-up and top-down attention: learn it, run it, take it apart.",
        epilog="Start with: python -m updown_lab quickstart",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, text):
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    _run_options(command("quickstart", quickstart, "the whole pipeline on the generated world, with a report"))
    real = _run_options(command("real", real_data, "the whole pipeline on real photographs, with a report"))
    real.add_argument("--data", required=True, help="folder with vg_core, vg_vocab and coco_core (see data/README.md)")
    real.set_defaults(out="runs/real", preset="photos")
    world = command("picturebook", picturebook, "draw the generated world in the official file formats")
    world.add_argument("--out", default="data/picturebook")
    world.add_argument("--images", type=int, default=600, help="training pictures; a sixth as many test pictures")
    world.add_argument("--seed", type=int, default=1)
    train = _run_options(command("train", train_stage, "run one stage of a run, and what it needs"))
    train.add_argument("stage", help="for instance detector, captions-regions-scst, vqa-regions")
    extract = command("extract", extract_folder, "encode a folder of pictures into a feature store")
    extract.add_argument("pictures", help="folder with jpg, png, webp, bmp")
    extract.add_argument("--store", required=True, help="folder to write the features to")
    _finished_options(extract)
    judge = command("evaluate", evaluate, "score a results file with the official metrics")
    judge.add_argument("results", help="captions [{image_id, caption}] or answers [{question_id, answer}]")
    judge.add_argument("--captions", help="COCO captions file with the references")
    judge.add_argument("--questions", help="VQA v2 questions file")
    judge.add_argument("--annotations", help="VQA v2 annotations file")
    for name, run, text in (("describe", describe, "caption a picture"), ("ask", ask, "ask about a picture")):
        added = command(name, run, text)
        added.add_argument("image")
        if name == "ask":
            added.add_argument("question")
        added.add_argument("--picture", help="save where the model looked as a picture")
        _finished_options(added)
    command("doctor", doctor, "what this machine has: device, memory, Java, data")
    return parser


def _run_options(parser):
    parser.add_argument("--out", default="runs/quickstart", help="folder of the run (default %(default)s)")
    parser.add_argument("--preset", default="tiny", help="tiny, photos or paper (default %(default)s)")
    parser.add_argument("--seed", type=int, help="the run's number")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
                        help="change one number, for instance captioner.hidden_size=64; may be repeated")  # fmt: skip
    parser.add_argument("--workers", type=int, default=2, help="stages side by side (default %(default)s)")
    return parser


def _finished_options(parser) -> None:
    parser.add_argument("--run-folder", default="runs/quickstart", help="a finished run (default %(default)s)")
    parser.add_argument("--features", default="regions", help="regions, grid-detector-7, … (default %(default)s)")


def _config(options) -> Config:
    pairs = [change.partition("=") for change in options.changes]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise ConfigError(f"--set wants NAME=VALUE, got {wrong[0]!r}")
    config = override(preset(options.preset), **{name: value for name, _, value in pairs})
    return replace(config, seed=options.seed) if options.seed is not None else config


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


def quickstart(options) -> None:
    """Everything, small."""
    _report(_run(_config(options), options.out, options.workers))


def _report(folder: Path) -> None:
    from updown_lab.pipeline.telling import printed

    print(printed(folder))
    print(f"\nopen {folder / 'report.html'}")


def real_data(options) -> None:
    """Everything, on real photographs."""
    config = replace(_config(options), data=str(Path(options.data).resolve()))
    folder = _run(config, options.out, options.workers)
    _report(folder)


def picturebook(options) -> None:
    """Draw the world only."""
    from updown_lab.config import WorldConfig
    from updown_lab.datasets.picturebook import make_picturebook

    part = max(1, options.images // 6)
    world = WorldConfig(train_images=options.images, validation_images=part, test_images=part, crops=options.images)
    paths = make_picturebook(options.out, world, options.seed)
    print(f"{options.images + 2 * part} pictures with captions, boxes and questions in {paths.root}")


def train_stage(options) -> None:
    """One stage and what it needs."""
    saved = Path(options.out) / "config.json"
    config = load_config(saved) if saved.exists() and not options.changes else _config(options)
    _run(config, options.out, options.workers, options.stage)


def extract_folder(options) -> int:
    """Encode every picture of a folder; the unreadable ones are listed."""
    from updown_lab.pipeline.extracting import extract_pictures

    kept, problems = extract_pictures(options.pictures, options.store, options.run_folder, options.features)
    print(f"{kept} pictures in {options.store}")
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return 1 if problems else 0


def evaluate(options) -> None:
    """Score a results file."""
    from updown_lab.pipeline.extracting import score_file

    if not options.captions and not (options.questions and options.annotations):
        raise ConfigError("evaluate wants --captions FILE, or --questions FILE and --annotations FILE")
    for line in score_file(options.results, options.captions, options.questions, options.annotations):
        print(line)


def describe(options) -> None:
    """Caption one picture."""
    image, run, regions = _look(options)
    words, caption = run.describe(regions)
    print(" ".join(words))
    _picture(options, image, regions, words, caption.weights)


def ask(options) -> None:
    """Answer one question about one picture."""
    image, run, regions = _look(options)
    answers, weights, unknown = run.answer(regions, options.question)
    for answer, probability in answers:
        print(f"{answer:<16} {100 * probability:5.1f} %")
    if unknown:
        print(f"(the model has never read: {', '.join(unknown)})", file=sys.stderr)
    _picture(options, image, regions, [answers[0][0]], weights[None])


def _look(options):
    from updown_lab.pipeline.finished import FinishedRun
    from updown_lab.vision.images import load_image

    if not Path(options.image).exists():
        raise DataMissing(f"no picture {options.image}")
    image, run = load_image(options.image), FinishedRun(options.run_folder, options.features)
    return image, run, run.see(image)


def _picture(options, image, regions, words, weights) -> None:
    if options.picture:
        from updown_lab.analysis.plots import attention_strip

        attention_strip(image, regions, words, weights.float()).savefig(options.picture, dpi=130)
        print(f"saved {options.picture}")


def doctor(options) -> None:
    """What this machine has."""
    from updown_lab.pipeline.doctor import findings

    for name, finding in findings():
        print(f"{name:<12} {finding}")
