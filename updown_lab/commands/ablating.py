"""Ablations: the paper's tables over several seeds, or factors of one's own."""

from updown_lab.commands.parsing import command, config_of, run_options
from updown_lab.errors import ConfigError


def add(commands) -> None:
    """ablate."""
    parser = run_options(command(commands, "ablate", ablation, "the paper's tables over several seeds, or any factors"))
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="table1, table2, table4 or teney")
    parser.add_argument("--factor", action="append", default=[], metavar="NAME=A,B",
                        help="instead: a setting and its values, for instance vqa.activation=gated_tanh,relu; features "
                        "and objective are factors too; several make a grid")  # fmt: skip
    parser.add_argument("--measure", default="answers", help="of --factor: captions or answers (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 1 (default %(default)s)")
    parser.set_defaults(out="runs/ablation")


def ablation(options) -> None:
    """Run, print the tables, say which findings hold."""
    config, seeds = config_of(options), range(1, options.seeds + 1)
    if bool(options.factor) == bool(options.studies):
        raise ConfigError("ablate wants studies (table1, table2, table4, teney) or --factor NAME=A,B")
    if options.factor:
        _own(options, config, seeds)
        return
    from updown_lab.pipeline.studies import study

    lines, findings = study(options.studies, seeds, config, options.out, options.workers)
    print("\n".join(lines))
    for row in findings:
        holds = "holds" if row["holds"] else "does not"
        print(f"{holds:<9} {row['finding']:<52} {row['estimate']:6.2f} [{row['low']:.2f}, {row['high']:.2f}]")
    print(f"\ntables, pictures and findings.json are in {options.out}")


def _own(options, config, seeds) -> None:
    from updown_lab.analysis.tables import markdown
    from updown_lab.pipeline.ablation import ablate

    pairs = [text.partition("=") for text in options.factor]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise ConfigError(f"--factor wants NAME=A,B, got {wrong[0]!r}")
    factors = {name: values.split(",") for name, _, values in pairs}
    done = ablate(factors, seeds, config, options.out, options.measure, options.workers)
    print(markdown(done.table().reset_index().set_index("level"), ()))
    print()
    print(markdown(done.compare(done.metrics()[0] if options.measure == "answers" else "CIDEr"), (), 2))
