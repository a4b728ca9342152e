"""One picture: what is in it, describe it, ask about it."""

import sys
from pathlib import Path

from updown_lab.commands.parsing import command, eyes_of, eyes_options, finished_options
from updown_lab.errors import ConfigError, DataMissing


def add(commands) -> None:
    """look, describe, ask."""
    added = command(commands, "look", look, "draw what the detector sees in a picture: boxes, objects, attributes")
    added.add_argument("image")
    added.add_argument("--picture", default="regions.png", help="where to save it (default %(default)s)")
    added.add_argument("--top", type=int, default=10, help="so many of the surest regions (default %(default)s)")
    eyes_options(added)
    added = command(commands, "describe", describe, "caption a picture")
    added.add_argument("image")
    added.add_argument("--picture", help="save where the model looked as a picture")
    added.add_argument("--captioner", metavar="CHECKPOINT", help="a captioner that was trained elsewhere: ruotianluo's "
                       "model.pth, updown-baseline's checkpoint, the authors' Caffe HDF5")  # fmt: skip
    added.add_argument("--words", metavar="FILE", help="its vocabulary, if that is not beside it")
    eyes_options(added)
    added = command(commands, "ask", ask, "ask about a picture")
    added.add_argument("image")
    added.add_argument("question")
    added.add_argument("--picture", help="save where the model looked as a picture")
    finished_options(added)


def look(options) -> None:
    """Draw the regions of one picture, and list them."""
    from updown_lab.analysis.plots import draw_regions, region_label

    image = _load(options.image)
    eyes = eyes_of(options)
    regions = eyes.encoder.encode([image])[0]
    names = [eyes.about.get(kind) for kind in ("objects", "attributes")]
    best = range(regions.count) if regions.scores is None else regions.scores.argsort(descending=True).tolist()
    for number in list(best)[: options.top]:
        left, top, right, bottom = regions.boxes[number].round().int().tolist()
        print(f"{region_label(regions, number, *names):<32} {left:>5} {top:>5} {right:>5} {bottom:>5}")
    draw_regions(image, regions, *names, top=options.top).savefig(options.picture, dpi=130)
    print(f"saved {options.picture}: the surest of {regions.count} regions")


def describe(options) -> None:
    """Caption one picture, with a run's captioner or with an imported one."""
    if options.captioner:
        image, words, caption, regions = _describe_imported(options)
    else:
        image, run, regions = _look(options)
        words, caption = run.describe(regions)
    print(" ".join(words))
    _picture(options, image, regions, words, caption.weights)


def _describe_imported(options):
    from updown_lab.config import DecodeConfig
    from updown_lab.decode import beam_search
    from updown_lab.models.imports import import_captioner
    from updown_lab.regions import collate_regions

    image = _load(options.image)
    model, vocabulary, facts = import_captioner(options.captioner, options.words)
    eyes = eyes_of(options)
    if eyes.encoder.feature_dim != facts["feature_dim"]:
        raise ConfigError(f"{options.captioner} reads {facts['feature_dim']} numbers a region, but these eyes give "
                          f"{eyes.encoder.feature_dim}; choose others with --features and --weights")  # fmt: skip
    regions = eyes.encoder.encode([image])[0]
    caption = beam_search(model, collate_regions([regions]), DecodeConfig())[0][0]
    return image, vocabulary.decode(caption.words).split(), caption, regions


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

    if getattr(options, "weights", None) or getattr(options, "changes", None) or getattr(options, "device", None):
        raise ConfigError("--weights, --set and --device go with --captioner; a run's captioner knows its own eyes")
    folder = options.run_folder or "runs/quickstart"
    image, run = _load(options.image), FinishedRun(folder, options.features)
    return image, run, run.see(image)


def _load(path: str):
    from updown_lab.vision.images import load_image

    if not Path(path).exists():
        raise DataMissing(f"no picture {path}")
    return load_image(path)


def _picture(options, image, regions, words, weights) -> None:
    if options.picture:
        from updown_lab.analysis.plots import attention_strip

        attention_strip(image, regions, words, weights.float()).savefig(options.picture, dpi=130)
        print(f"saved {options.picture}")
