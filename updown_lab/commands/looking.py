"""One picture: what is in it, describe it, ask about it."""

import sys
from pathlib import Path

from updown_lab.commands.answering import RUN, answerer_options
from updown_lab.commands.parsing import command, eyes_of, eyes_options, open_run
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
    added.add_argument("--demo", action="store_true", help="with the models that travel with the package")
    eyes_options(added)
    added = command(commands, "ask", ask, "ask about a picture")
    added.add_argument("image")
    added.add_argument("question")
    added.add_argument("--picture", help="save where the model looked as a picture")
    added.add_argument("--demo", action="store_true", help="with the models that travel with the package")
    answerer_options(added)
    eyes_options(added, several=True)


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
    _check_eyes(options.captioner, facts["feature_dim"], eyes)
    regions = eyes.encoder.encode([image])[0]
    caption = beam_search(model, collate_regions([regions]), DecodeConfig())[0][0]
    return image, vocabulary.decode(caption.words).split(), caption, regions


def ask(options) -> None:
    """Answer one question about one picture, with the models of runs or with imported ones."""
    image = _load(options.image)
    told, model = _asked_imported(options, image) if options.answerer else _asked_runs(options, image)
    for answer, probability in told.answers:
        print(f"{answer:<16} {100 * probability:5.1f} %")
    for note in _notes(model, options.question, told.unknown_words):
        print(f"({note})", file=sys.stderr)
    _picture(options, image, told.regions, [told.answers[0][0]], told.weights[None])


def _asked_runs(options, image):
    from updown_lab.pipeline.speaking_models import Answerer, ask_together

    _refuse_eyes(options, "--answerer; a run's VQA model knows its own eyes")
    folders = [*(options.run_folder or ()), *([str(_bundle())] if options.demo else ())] or [RUN]
    asked = [Answerer.of(open_run(folder, options.features), options.features) for folder in folders]
    return ask_together(asked, image, options.question), asked[0].model


def _asked_imported(options, image):
    from updown_lab.models.ensemble import VqaEnsemble
    from updown_lab.pipeline.answering import open_text_vqa
    from updown_lab.pipeline.speaking_models import Answerer

    if options.demo or len(options.run_folder or ()) > 1:
        raise ConfigError("--answerer looks with the eyes of one run (--run-folder RUN) or of published --weights")
    options.run_folder = options.run_folder[0] if options.run_folder else None
    models = [open_text_vqa(path, options.words, options.answers) for path in options.answerer]
    eyes = eyes_of(options)
    for path, model in zip(options.answerer, models, strict=True):
        _check_eyes(path, model.feature_dim or eyes.encoder.feature_dim, eyes)
    names = [eyes.about.get(kind) for kind in ("objects", "attributes")]
    asked = Answerer(eyes.encoder, VqaEnsemble(models), "the model", *names)
    return asked.ask(asked.see(image), options.question), models[0]


def _notes(model, question: str, unknown: list[str]) -> list[str]:
    """What a person should know about how their question was read."""
    limit, words = model.model.cfg.maximum_words, model.vocabulary.split(question)
    notes = [] if words else ["there is no word in the question: picture and habit answer alone"]
    notes += [f"only the first {limit} of {len(words)} words are read"] if len(words) > limit else []
    return notes + ([f"the model has never read: {', '.join(unknown)}"] if unknown else [])


def _look(options):
    _refuse_eyes(options, "--captioner; a run's captioner knows its own eyes")
    if options.demo and options.run_folder:
        raise ConfigError("give --demo or --run-folder, not both")
    folder = _bundle() if options.demo else options.run_folder or RUN
    image, run = _load(options.image), open_run(folder, options.features)
    return image, run, run.see(image)


def _bundle() -> Path:
    from updown_lab.demo import BUNDLE

    return BUNDLE


def _refuse_eyes(options, why: str) -> None:
    if options.weights or options.changes or options.device:
        raise ConfigError(f"--weights, --set and --device go with {why}")


def _check_eyes(path, wanted: int, eyes) -> None:
    if eyes.encoder.feature_dim != wanted:
        raise ConfigError(f"{path} reads {wanted} numbers a region, but these eyes give {eyes.encoder.feature_dim}; "
                          "choose others with --features and --weights")  # fmt: skip


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
