"""Packing a run so that it can travel: the demo's bundle is made here."""

import shlex

from updown_lab.commands.parsing import command


def add(commands) -> None:
    """bundle."""
    added = command(commands, "bundle", bundle, "pack a finished run's models into a few megabytes, with their story")
    added.add_argument("--run", required=True, metavar="RUN", dest="run_folder", help="a finished run of quickstart")
    added.add_argument("--out", required=True, help="folder of the bundle; an older one there is replaced")
    added.add_argument("--commit", default="", help="the library's commit when the run was trained, for the record")


def bundle(options) -> None:
    """Pack, measure, tell."""
    from updown_lab.pipeline.bundling import make_bundle, told_path

    typed = ["python", "-m", "updown_lab", "bundle", "--run", told_path(options.run_folder)]
    typed += ["--out", told_path(options.out)]
    typed += ["--commit", options.commit] if options.commit else []
    story = make_bundle(options.run_folder, options.out, shlex.join(typed), commit=options.commit)
    print(f"{sum(story['bytes'].values()) / 1e6:.2f} MB in {options.out}")
    for stage, scores in story["scores_of_the_bundle"].items():
        print(f"  {stage:<42} " + "  ".join(f"{name} {value}" for name, value in scores.items()))
