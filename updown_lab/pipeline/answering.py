"""Answering a whole file of questions, in the format of the challenge."""

from collections.abc import Sequence
from pathlib import Path

from updown_lab.datasets.vqa import read_vqa
from updown_lab.errors import ConfigError, DataMissing
from updown_lab.metrics.vqa_results import read_results, write_results
from updown_lab.models.ensemble import TextVqa, VqaEnsemble
from updown_lab.models.imports import import_vqa
from updown_lab.pipeline.finished import FinishedRun
from updown_lab.pipeline.scoring import score_file
from updown_lab.pipeline.sources import open_source
from updown_lab.pipeline.work import ANNOTATIONS, QUESTIONS, best_device, load_text_vqa
from updown_lab.store.feature_store import FeatureStore
from updown_lab.training.answering import answer_questions


def open_text_vqa(path: Path | str, words: str | None = None, answers: str | None = None) -> TextVqa:
    """A VQA model from wherever it lies, on the best device.

    Args:
        path:    hengyuan-hu's ``model.pth``, or a folder with a model of ours (a run's ``stages/vqa-regions``).
        words, answers: of a ``model.pth``, as for ``import_vqa``; None looks beside it.

    Raises:
        DataMissing: nothing there, or the words or answers are not there.
        DataInvalid: it is no VQA model known here.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "model.json").is_file():
            raise DataMissing(f"{path} is no folder of a VQA model: it has no model.json; a run is named by "
                              "--run-folder RUN")  # fmt: skip
        return load_text_vqa(path)
    model, vocabulary, said, _ = import_vqa(path, words, answers)
    return TextVqa(model.float().to(best_device()), vocabulary, said)


def answer_file(
    questions: Path | str, members: Sequence[TextVqa], store: Path | str | None, out: Path | str
) -> tuple[int, float]:
    """Answer every question of a file, alone or together, and write what the challenge's server takes.

    Args:
        questions: VQA v2 questions file; test-dev and test-standard have no annotations and need none.
        members:   one model, or several whose probabilities are averaged.
        store:     folder with the features of the photos; None if nobody looks.
        out:       where ``[{"question_id": 1, "answer": "yes"}, ...]`` goes.

    Returns:
        How many questions were answered, and the mean probability of what was said.

    Raises:
        DataMissing: no such file, or photos that are not in the store.
        DataInvalid: the file is no questions file, or the server would refuse the results.
    """
    records = read_vqa(questions)
    if not records:
        raise ConfigError(f"{questions} asks nothing")
    model = members[0] if len(members) == 1 else VqaEnsemble(members)
    told = answer_questions(model, records, FeatureStore.open(store) if store else None)
    write_results(out, {record.question_id: answer for record, (answer, _) in zip(records, told, strict=True)})
    read_results(out, [record.question_id for record in records])
    return len(records), sum(sure for _, sure in told) / len(told)


def score_run(folder: Path | str) -> list[str]:
    """Lines with the official scores of all VQA models of a run on its own test questions.

    Raises:
        DataMissing: no such run, or none of its VQA stages is done.
        DataInvalid: results that the server would refuse.
    """
    run = FinishedRun(folder)
    plan = run.plan
    done = [stage.name for stage in plan.stages if stage.name.startswith("vqa-") and plan.is_done(stage)]
    if not done:
        raise DataMissing(f"no VQA stage of {folder} is done; train them with: updown-lab train vqa --out {folder}")
    files = open_source(run.config, plan.path("world")).question_files("test")
    lines = []
    for name in done:
        place = plan.path(name)
        questions, annotations = files or (place / QUESTIONS, place / ANNOTATIONS)
        scored = score_file(place / "results.json", None, str(questions), str(annotations))
        lines += [f"{name} ({place / 'results.json'})", *(f"  {line}" for line in scored)]
    return lines
