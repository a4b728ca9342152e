"""Whole files of questions: answer them for the challenge."""

from pathlib import Path

from updown_lab.commands.parsing import command, open_run
from updown_lab.errors import ConfigError

RUN = "runs/quickstart"


def add(commands) -> None:
    """answer."""
    added = command(commands, "answer", answer, "answer a VQA v2 questions file, as the challenge's server takes it")
    added.add_argument("questions", help="questions file of VQA v2 (test2015 and test-dev too), plain or gzipped")
    added.add_argument("--store", metavar="FOLDER", help="features of the photos; by default those of the run")
    added.add_argument("--run-folder", nargs="+", action="extend", metavar="RUN",
                       help=f"a finished run (default {RUN}); several answer together")  # fmt: skip
    added.add_argument("--features", default="regions", metavar="KIND",
                       help="which of a run's models: regions, question-only, …; default %(default)s")  # fmt: skip
    answerer_options(added)
    added.add_argument("--out", default="results.json", help="where the answers go (default %(default)s)")


def answerer_options(parser) -> None:
    """Models that lie outside a run."""
    parser.add_argument("--answerer", "--model", nargs="+", action="extend", metavar="CHECKPOINT",
                        help="a VQA model that was trained elsewhere (hengyuan-hu's model.pth), or the folder of "
                        "one of ours; several answer together")  # fmt: skip
    parser.add_argument("--words", metavar="FILE", help="its dictionary.pkl, if that is not beside it")
    parser.add_argument("--answers", metavar="FILE", help="its trainval_label2ans.pkl, if that is not beside it")


def answer(options) -> None:
    """Answer a file of questions."""
    from updown_lab.pipeline.answering import answer_file, open_text_vqa

    folders = options.run_folder or ([] if options.answerer else [RUN])
    runs = [open_run(folder, options.features) for folder in folders]
    members = [run.text_vqa() for run in runs]
    members += [open_text_vqa(path, options.words, options.answers) for path in options.answerer or ()]
    store = options.store
    if store is None and not all(member.blind for member in members):
        if not runs:
            raise ConfigError("a model.pth does not know where features lie; name them with --store FOLDER")
        store = runs[0].stage(f"features-{options.features}") / "store"
    count, sure = answer_file(options.questions, members, store, options.out)
    together = f" by {len(members)} models together" if len(members) > 1 else ""
    print(f"{count:,} questions answered{together}, mean probability {sure:.2f}: {Path(options.out)}")
