"""One picture: what is in it, describe it, ask about it."""

import sys
from pathlib import Path

from updown_lab.commands.parsing import command, eyes_of, eyes_options, finished_options
from updown_lab.errors import DataMissing


def add(commands) -> None:
    """look, describe, ask."""
    added = command(commands, "look", look, "draw what the detector sees in a picture: boxes, objects, attributes")
    added.add_argument("image")
    added.add_argument("--picture", default="regions.png", help="where to save it (default %(default)s)")
    added.add_argument("--top", type=int, default=10, help="so many of the surest regions (default %(default)s)")
    eyes_options(added)
    for name, run, text in (("describe", describe, "caption a picture"), ("ask", ask, "ask about a picture")):
        added = command(commands, name, run, text)
        added.add_argument("image")
        if name == "ask":
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

    image, run = _load(options.image), FinishedRun(options.run_folder, options.features)
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
