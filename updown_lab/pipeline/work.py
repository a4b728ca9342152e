"""What each stage does: thin functions between the recipes and the folders.

Each takes a ``Work`` (its folder, the folders of the stages it needs, the numbers) and
leaves files that the next stage reads.
"""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from updown_lab.checkpoints import load_weights, read_facts, save_model
from updown_lab.config import Config, VqaConfig, from_dict
from updown_lab.datasets.picturebook import Paths, make_picturebook
from updown_lab.datasets.vqa import write_vqa
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.files import atomic_path, write_json
from updown_lab.metrics.vqa import vqa_accuracy
from updown_lab.metrics.vqa_results import write_results
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.models.ensemble import TextVqa
from updown_lab.models.vqa import UpDownVqa
from updown_lab.pipeline.answer_lists import answers_to_learn, with_more
from updown_lab.pipeline.plans import BLIND, given_stores
from updown_lab.pipeline.sources import open_source, sentences
from updown_lab.pipeline.stages import Work, by_several
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.writer import write_features
from updown_lab.text import AnswerVocabulary, Vocabulary
from updown_lab.training.answering import Questions, answer_all, new_vqa, train_vqa
from updown_lab.training.distributed import is_first
from updown_lab.training.seeing import pretrain_trunk, score_detector, train_detector
from updown_lab.training.self_critical import train_self_critical
from updown_lab.training.speaking import (
    CaptionImages,
    describe_images,
    new_captioner,
    train_captioner,
)  # fmt: skip
from updown_lab.vision.detector import BottomUpDetector
from updown_lab.vision.encoders import build_encoder
from updown_lab.vision.images import load_image
from updown_lab.vision.trunk import Classifier, Trunk, build_trunk

QUESTIONS, ANNOTATIONS = "questions.json", "annotations.json"  # beside results that no official file goes with
ATTENTION_EXAMPLES = 60  # questions whose attention is kept for the report


def best_device() -> torch.device:
    """CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _source(work: Work):
    return open_source(work.config, work.need("world"))


def _of_the_eyes(work: Work) -> Config:
    """The numbers of world, trunk and detector, which have a seed of their own."""
    return replace(work.config, seed=work.config.eyes_seed or work.config.seed)


def draw_world(work: Work) -> None:
    """Draw the generated world and a contact sheet of it."""
    from updown_lab.analysis.plots import contact_sheet

    paths = make_picturebook(work.folder, work.config.world, _of_the_eyes(work).seed)
    files = sorted(paths.images.iterdir())[:48]
    contact_sheet([load_image(file) for file in files], columns=8).savefig(work.folder / "contact_sheet.png", dpi=110)


@by_several
def train_trunk(work: Work) -> None:
    """Pre-train the trunk on single things."""
    paths, cfg = Paths(work.need("world")), _of_the_eyes(work)
    crops, labels = np.load(paths.crops("crops.npy")), np.load(paths.crops("labels.npy"))
    order = np.random.default_rng(cfg.seed).permutation(len(crops))
    classifier = pretrain_trunk(crops[order], labels[order], cfg, work.folder, best_device())
    if is_first():
        save_model(work.folder, classifier, classes=int(labels.max()) + 1)


def load_trunk(folder: Path, cfg: Config) -> Trunk:
    """The pre-trained trunk: ours if that stage ran, else ImageNet's as configured."""
    trunk = build_trunk(cfg.trunk)
    if cfg.trunk.weights == "pretrained":
        trunk = load_weights(folder, Classifier(trunk, read_facts(folder)["classes"])).trunk
    return trunk.eval()


@by_several
def train_eyes(work: Work) -> None:
    """Train the detector and score it on test pictures."""
    source, cfg = _source(work), _of_the_eyes(work)
    data = {split: source.detection(split) for split in ("train", "val")}
    if is_first():
        write_json(work.folder / "cleaning.json", asdict(source.cleaning), indent=1)
        print("annotations:", ", ".join(f"{count:,} {name}" for name, count in source.cleaning.in_words().items()))
    detector = train_detector(load_trunk(work.need("trunk"), cfg), data, source.names, cfg, work.folder, best_device())
    names = {"objects": source.names.objects, "attributes": source.names.attributes}
    if is_first():
        save_model(work.folder, detector, **names)
    colours = [colour for colour in source.colours if colour in source.names.attributes]
    scores = score_detector(detector, source.detection("test"), source.names, colours)
    sizes = {"classes": len(names["objects"]), "attributes": len(names["attributes"])}
    facts = {**scores, **sizes, "pictures": len(source.detection("test"))}
    if is_first():
        write_json(work.folder / "scores.json", facts, indent=1)


def load_detector(folder: Path, cfg: Config) -> BottomUpDetector:
    """A trained detector from its folder."""
    facts = read_facts(folder)
    trunk = build_trunk(_without_weights(cfg))
    return load_weights(folder, BottomUpDetector(trunk, cfg.detector, len(facts["objects"]), len(facts["attributes"])))


def _without_weights(cfg: Config):
    return replace(cfg.trunk, weights="none")


def make_encoder(work: Work, kind: str):
    """The encoder of a kind, with the networks of this run."""
    device, parts = best_device(), {}
    if kind.startswith("grid-pretrained"):
        parts["trunk"] = load_trunk(work.need("trunk"), work.config).to(device)
    elif kind == "symbolic":
        names = _source(work).names
        parts |= {"classes": len(names.objects), "attributes": len(names.attributes)}
    else:
        parts["detector"] = load_detector(work.need("detector"), work.config).to(device)
    return build_encoder(kind, work.config, **parts)


def extract(work: Work) -> None:
    """Encode all pictures of the source into a feature store; goes on where it was interrupted."""
    source, kind = _source(work), work.argument
    encoder = make_encoder(work, kind)

    def encode(records):
        return encoder.encode([load_image(record.file) for record in records], records)

    items = [(record.image_id, lambda record=record: record) for record in source.pictures()]
    write_features(encode, items, work.folder / "store", encoder.feature_dim, dtype=work.config.feature_dtype,
                   source=kind, training_ids=source.training_ids(), batch_size=16,
                   command=f"python -m updown_lab train features-{kind} --out {work.run}")  # fmt: skip


def adopt_store(work: Work) -> None:
    """Let features that are there already be those of this run: a link to their store."""
    found = FeatureStore.open(given_stores(work.config)[work.argument])
    (work.folder / "store").unlink(missing_ok=True)
    (work.folder / "store").symlink_to(found.path.absolute(), target_is_directory=True)
    print(f"features of {len(found):,} pictures from {found.path} ({found.source})")


def _open_store(work: Work, kind: str, wanted: dict[str, list]) -> FeatureStore:
    """The features of a kind, with a picture for every record.

    Raises:
        DataMissing: some records' pictures are not in the store; before anything is trained.
    """
    store = FeatureStore.open(work.need(f"features-{kind}") / "store")
    absent = {split: sorted({record.image_id for record in records if record.image_id not in store})
              for split, records in wanted.items()}  # fmt: skip
    if any(absent.values()):
        counts = ", ".join(f"{len(ids):,} of {split}" for split, ids in absent.items() if ids)
        first = next(ids[0] for ids in absent.values() if ids)
        raise DataMissing(f"{store.path.resolve()} holds {len(store):,} pictures, the first {store.image_ids[0]!r}, "
                          f"but not all that are needed: {counts} are missing, for instance {first!r}. Extract those "
                          "too, and under the same ids (updown-lab extract --coco-ids)")  # fmt: skip
    return store


def _caption_images(work: Work, kind: str, vocabulary: Vocabulary | None = None):
    source, cfg = _source(work), work.config
    if vocabulary is None:
        vocabulary = Vocabulary.build(sentences(source.captions("train")), cfg.captioner.minimum_count)
    records = {split: source.captions(split) for split in ("train", "val", "test")}
    store = _open_store(work, kind, records)
    images = {split: CaptionImages(own, store, vocabulary, cfg.captioner.maximum_words, best_device())
              for split, own in records.items()}  # fmt: skip
    return store, vocabulary, images


@by_several
def learn_captions(work: Work) -> None:
    """Cross-entropy training of the captioner on one kind of features, and its captions of the test pictures."""
    store, vocabulary, images = _caption_images(work, work.argument)
    model = new_captioner(store, vocabulary, work.config).to(best_device())
    train_captioner(model, images["train"], images["val"], work.config, work.folder)
    if is_first():
        _finish_captions(work, model, vocabulary, images["test"])


@by_several
def improve_captions(work: Work) -> None:
    """Self-critical training from the cross-entropy weights."""
    start = work.need(f"captions-{work.argument}-cross-entropy")
    _, vocabulary, images = _caption_images(work, work.argument, Vocabulary.load(start / "vocabulary.json"))
    model = load_captioner(start, work.config).to(best_device())
    train_self_critical(model, images["train"], images["val"], work.config, work.folder)
    if is_first():
        _finish_captions(work, model, vocabulary, images["test"])


def load_captioner(folder: Path, cfg: Config) -> UpDownCaptioner:
    """A trained captioner from its folder."""
    facts = read_facts(folder)
    return load_weights(folder, UpDownCaptioner(cfg.captioner, facts["vocabulary_size"], facts["feature_dim"]))


def _finish_captions(work: Work, model, vocabulary: Vocabulary, test: CaptionImages) -> None:
    save_model(work.folder, model, vocabulary_size=len(vocabulary), feature_dim=test.store.feature_dim,
               features=work.argument)  # fmt: skip
    vocabulary.save(work.folder / "vocabulary.json")
    captions = describe_images(model, test, work.config)
    rows = [{"image_id": image, "caption": vocabulary.decode(caption.words), "log_prob": caption.log_prob}
            for image, caption in zip(test.image_ids, captions, strict=False)]  # fmt: skip
    write_json(work.folder / "captions.json", rows, indent=0)
    weights = {
        str(image): caption.weights.cpu().half().numpy()
        for image, caption in zip(test.image_ids, captions, strict=False)
    }
    _save_arrays(work.folder / "attention.npz", weights)


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with atomic_path(path) as draft, open(draft, "wb") as stream:
        np.savez(stream, **arrays)


@by_several
def learn_answers(work: Work) -> None:
    """Train the VQA model on one kind of features ("question-only" sees nothing) and answer the test questions."""
    source, cfg, kind = _source(work), work.config, work.argument
    records = {split: source.questions(split) for split in source.question_splits}
    answers = answers_to_learn(records["train"], cfg.vqa)
    if cfg.vqa.genome_questions:
        more, asked = source.genome_questions(), len(records["train"])
        records["train"] = with_more(records["train"], more, answers)
        print(f"Visual Genome: {len(records['train']) - asked:,} of {len(more):,} questions have an answer to learn")
    store = None if kind == BLIND else _open_store(work, kind, records)
    vocabulary = Vocabulary.build((record.question for record in records["train"]), cfg.vqa.minimum_count)
    sets = {split: Questions(rows, store, vocabulary, answers, cfg.vqa.maximum_words, best_device(), cfg.vqa.targets)
            for split, rows in records.items()}  # fmt: skip
    model = new_vqa(sets["train"], vocabulary, cfg).to(best_device())
    train_vqa(model, sets["train"], sets["val"], cfg, work.folder)
    if not is_first():
        return
    save_text_vqa(work.folder, model, vocabulary, answers, features=kind)
    tables = [_answered(model, sets[split], split) for split in source.question_splits if split not in ("train", "val")]
    with atomic_path(work.folder / "answers.csv") as draft:
        pd.concat(tables).to_csv(draft, index=False)
    write_results(work.folder / "results.json", dict(zip(tables[0]["question_id"], tables[0]["answer"], strict=True)))
    if source.question_files("test") is None:
        write_vqa(records["test"], work.folder / QUESTIONS, work.folder / ANNOTATIONS)
    if store:
        _keep_attention(work, model, sets["test"])


def load_vqa(folder: Path, cfg: Config | None = None) -> UpDownVqa:
    """A trained VQA model from its folder, built with the settings that were saved with it.

    Args:
        folder: of a stage, or anything that ``save_model`` filled.
        cfg:    the run's numbers, for a folder without settings of its own.

    Raises:
        DataInvalid: settings neither in the folder nor given.
    """
    facts = read_facts(folder)
    if "vqa" not in facts and cfg is None:
        raise DataInvalid(f"{folder} does not say how its model is built; save it with vqa=asdict(settings), or ask "
                          "for it by its run: --run-folder RUN")  # fmt: skip
    settings = from_dict(facts["vqa"], VqaConfig) if "vqa" in facts else cfg.vqa
    sizes = (facts["vocabulary_size"], facts["answers"], facts["feature_dim"])
    return load_weights(folder, UpDownVqa(settings, *sizes))


def load_text_vqa(folder: Path, cfg: Config | None = None) -> TextVqa:
    """A trained VQA model with its words and answers, on the best device; see ``load_vqa``."""
    folder = Path(folder)
    words, answers = Vocabulary.load(folder / "vocabulary.json"), AnswerVocabulary.load(folder / "answers.json")
    model = load_vqa(folder, cfg).to(best_device())
    return TextVqa(model, words, answers, read_facts(folder).get("features") == BLIND)


def save_text_vqa(folder: Path, model: UpDownVqa, words: Vocabulary, answers: AnswerVocabulary, **facts) -> None:
    """Write what ``load_text_vqa`` reads: weights, settings, words and answers."""
    sizes = {"vocabulary_size": len(words), "answers": len(answers), "feature_dim": model.feature_dim}
    save_model(folder, model, **facts | sizes | {"vqa": asdict(model.cfg)})
    words.save(folder / "vocabulary.json")
    answers.save(folder / "answers.json")


def _answered(model, questions: Questions, split: str) -> pd.DataFrame:
    """The answers of a split beside the truth, scored as the official evaluation does."""
    chosen, sure = answer_all(model, questions)
    said = {
        record.question_id: questions.answers.answers[answer]
        for record, answer in zip(questions.records, chosen, strict=False)
    }
    return scored_answers(questions.records, said, split).assign(probability=np.round(sure, 4))


def scored_answers(records, said: dict[int, str], split: str) -> pd.DataFrame:
    """One row a question with the official score of what was said."""
    scores = vqa_accuracy(said, records).per_question["score"].tolist()
    rows = [
        {"split": split, "question_id": record.question_id, "image_id": record.image_id,
         "answer_type": record.answer_type, "question_type": record.question_type, "question": record.question,
         "answer": said[record.question_id], "truth": record.answer, "score": score}
        for record, score in zip(records, scores, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _keep_attention(work: Work, model, questions: Questions) -> None:
    rows = list(range(min(ATTENTION_EXAMPLES, len(questions))))
    regions, ids, owners, _ = questions.batch(rows)
    with torch.inference_mode():
        weights = model(regions, ids, owners)[1]
    counts = regions.mask.sum(1)[owners].tolist()
    names = [str(questions.records[row].question_id) for row in rows]
    kept = {name: look[:count].cpu().numpy() for name, look, count in zip(names, weights, counts, strict=True)}
    _save_arrays(work.folder / "attention.npz", kept)
