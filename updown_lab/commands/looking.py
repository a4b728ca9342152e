"""One picture and a finished run: describe it, ask about it."""

import sys
from pathlib import Path

from updown_lab.commands.parsing import command, finished_options
from updown_lab.errors import DataMissing


def add(commands) -> None:
    """describe, ask."""
    for name, run, text in (("describe", describe, "caption a picture"), ("ask", ask, "ask about a picture")):
        added = command(commands, name, run, text)
        added.add_argument("image")
        if name == "ask":
            added.add_argument("question")
        added.add_argument("--picture", help="save where the model looked as a picture")
        finished_options(added)


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
