"""The stages of a run and what each needs: the order in which the paper is walked through.

Imports nothing heavy: the process that only starts others stays small.
"""

from dataclasses import replace
from pathlib import Path

from updown_lab.config import Config
from updown_lab.errors import ConfigError
from updown_lab.pipeline.contents import content
from updown_lab.pipeline.stages import Plan, Stage

_WORK = "updown_lab.pipeline.work:"
BLIND = "question-only"
OBJECTIVES = ("cross-entropy", "scst")
JUDGED = ("metrics", "grounding", "speech", "items")  # what judging writes of captions
CAFFE_FOLDER = "bu_features_demo"


def make_plan(config: Config, folder: Path | str) -> Plan:
    """All stages for a configuration, the most urgent first.

    Args:
        config: numbers; ``config.data`` set means real data, and no world is drawn.
        folder: where the run lives.

    Raises:
        ConfigError: a trunk that would have nothing to learn from.

    >>> from updown_lab.config import preset
    >>> [stage.name for stage in make_plan(preset("tiny"), "runs/demo").stages][:3]
    ['world', 'trunk', 'detector']
    """
    world = () if config.data else ("world",)
    stages = [*_eyes(config, world)]
    for kind in config.encoders:
        stages += _language(config, kind, world)
    stages += _answers(config, BLIND, world)
    if not config.data and "symbolic" not in config.encoders:
        stages += [_features(config, "symbolic", world), *_answers(config, "symbolic", (*world, "features-symbolic"))]
    if has_caffe_features(config):
        stages.append(Stage("caffe-features", "updown_lab.pipeline.caffe:import_caffe", (), _data(config)))
    everything = tuple(stage.name for stage in stages)
    stages.append(Stage("report", "updown_lab.pipeline.telling:tell", everything, (config,)))
    return Plan(Path(folder), tuple(stages), config)


def has_caffe_features(config: Config) -> bool:
    """Whether the folder of real data holds a bottom-up TSV.

    >>> has_caffe_features(Config())
    False
    """
    return bool(config.data) and any(Path(config.data, CAFFE_FOLDER).glob("*.tsv"))


def _data(config: Config, *parts: str) -> tuple:
    """What identifies real data: the content of its annotation files, wherever they lie."""
    if not config.data:
        return ()
    folders = [Path(config.data, part) for part in parts or ("vg_core", "vg_vocab", "coco_core")]
    files = sorted(path for folder in folders for path in folder.glob("*.*") if path.is_file())
    return ([[f"{path.parent.name}/{path.name}", content(path)] for path in files],)


def _vqa(config: Config):
    """The VQA model's settings, with the content of the files that they name instead of their place.

    Raises:
        ConfigError: questions that nobody asked.
    """
    if config.vqa.genome_questions and not config.data:
        raise ConfigError("vqa.genome_questions=true adds Visual Genome's questions to those of real data, and the "
                          "generated world has no others; take it out, or give --data")  # fmt: skip
    files = {name: getattr(config.vqa, name) for name in ("word_vectors", "answers")}
    return replace(config.vqa, **{name: content(file) for name, file in files.items() if file not in ("", "pypi")})


def _eyes(config: Config, world: tuple[str, ...]) -> list[Stage]:
    stages, seed, given = [], config.eyes_seed or config.seed, given_stores(config)
    unseen = [kind for kind in config.encoders if kind not in given and kind != "symbolic"]
    if world:
        stages.append(Stage("world", _WORK + "draw_world", (), (config.world, seed), threads=2))
    trunk = world
    if config.trunk.weights == "pretrained" and (unseen or not given):
        if world and not config.world.crops:
            raise ConfigError(
                f"the trunk learns from pictures of single things, and the world of preset {config.name!r} has none "
                "(world.crops = 0); lessons look with perfect eyes. For a whole run take --preset tiny, or add "
                "--set world.crops=7200"
            )
        stages.append(Stage("trunk", _WORK + "train_trunk", world, (config.trunk, config.pretraining, seed)))
        trunk = (*world, "trunk")
    settings = (config.trunk, config.detector, config.detector_training, seed, config.minimum_boxes, *_data(config))
    if not given or any(not kind.startswith("grid-pretrained") for kind in unseen):
        stages.append(Stage("detector", _WORK + "train_eyes", trunk, settings))
    return stages


def given_stores(config: Config) -> dict[str, str]:
    """Kinds of features that come from a store that is there already, and its folder.

    Raises:
        ConfigError: not KIND=FOLDER, or a kind that this run does not have.

    >>> from updown_lab.config import override, preset
    >>> given_stores(override(preset("paper"), stores="regions=data/prepared/features"))
    {'regions': 'data/prepared/features'}
    """
    given = {}
    for pair in config.stores:
        kind, _, folder = pair.partition("=")
        if not folder or kind not in config.encoders:
            raise ConfigError(f"stores wants KIND=FOLDER with a kind of this run ({', '.join(config.encoders)}), for "
                              f"instance stores={config.encoders[0]}=data/prepared/features; got {pair!r}")  # fmt: skip
        given[kind] = folder
    return given


def _features(config: Config, kind: str, world: tuple[str, ...]) -> Stage:
    if folder := given_stores(config).get(kind):
        manifest = Path(folder, "manifest.json")  # changes with the encoder's settings, weights and pictures
        known = manifest.read_text(encoding="utf-8") if manifest.exists() else ""
        return Stage(f"features-{kind}", _WORK + "adopt_store", world, (folder, known), kind)
    eyes = {"symbolic": ()}.get(kind, ("detector",))
    if kind.startswith("grid-pretrained"):
        eyes = ("trunk",) if config.trunk.weights == "pretrained" else ()
    settings = (
        config.trunk,
        config.detector,
        config.selection,
        config.feature_dtype,
        config.minimum_boxes,
        *_data(config),
    )
    return Stage(f"features-{kind}", _WORK + "extract", (*world, *eyes), settings, kind)


def _language(config: Config, kind: str, world: tuple[str, ...]) -> list[Stage]:
    features = (*world, f"features-{kind}")
    names = [f"captions-{kind}-{objective}" for objective in OBJECTIVES]
    base = (config.captioner, config.decode, config.seed, *_data(config))
    return [
        _features(config, kind, world),
        Stage(names[0], _WORK + "learn_captions", features, (*base, config.cross_entropy, config.teaching), kind),
        Stage(names[1], _WORK + "improve_captions", (*features, names[0]), (*base, config.scst), kind),
        *_answers(config, kind, features),
        Stage(f"judge-{kind}", "updown_lab.pipeline.judging:judge_captions", (*features, *names), JUDGED, kind),
    ]


def _answers(config: Config, kind: str, needs: tuple[str, ...]) -> list[Stage]:
    settings = (_vqa(config), config.vqa_training, config.seed, *_data(config), *_data(config, "vqa2"))
    return [Stage(f"vqa-{kind}", _WORK + "learn_answers", needs, settings, kind)]
