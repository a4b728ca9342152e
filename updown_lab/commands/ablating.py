"""Ablations: the paper's tables over several seeds, or factors of one's own."""

import re

from updown_lab.commands.parsing import command, config_of, run_options
from updown_lab.errors import ConfigError

WANTED = 'ablate wants one of: studies (table1, table2, table4, teney), --factor NAME=A,B, --level "ROW: NAME=A,NAME=B"'


def add(commands) -> None:
    """ablate."""
    parser = run_options(command(commands, "ablate", ablation, "the paper's tables over several seeds, or any factors"))
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="table1, table2, table4 or teney")
    parser.add_argument("--factor", action="append", default=[], metavar="NAME=A,B",
                        help="instead: a setting and its values, for instance vqa.activation=gated_tanh,relu; features "
                        "and objective are factors too; several make a grid")  # fmt: skip
    parser.add_argument("--level", action="append", default=[], metavar='"ROW: NAME=A,NAME=B"',
                        help="instead: a row of one's own and its settings, for instance "
                        '"36: selection.minimum=36,selection.maximum=36"; two or more')  # fmt: skip
    parser.add_argument("--measure", default="answers",
                        help="of --factor and --level: captions or answers (default %(default)s)")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 1 (default %(default)s)")
    parser.set_defaults(out="runs/ablation")


def ablation(options) -> None:
    """Run, print the tables, say which findings hold."""
    config, seeds = config_of(options), range(1, options.seeds + 1)
    if sum(map(bool, (options.factor, options.level, options.studies))) != 1:
        raise ConfigError(WANTED)
    if not options.studies:
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
    from updown_lab.pipeline.ablation import ablate, levels_of

    levels = levels_of(factors_in(options.factor) or levels_in(options.level))
    if len(levels) < 2:
        raise ConfigError(f"an ablation compares: give two rows or more; there is only {', '.join(levels)}")
    done = ablate(levels, seeds, config, options.out, options.measure, options.workers)
    table = done.table()
    print(markdown(table, [name for name in done.metrics() if name in table]))
    print()
    print(markdown(done.compare("overall" if options.measure == "answers" else "CIDEr"), ["mean"], 2))


def factors_in(texts: list[str]) -> dict[str, list[str]]:
    """What ``--factor`` says.

    Raises:
        ConfigError: one without "=", or the same setting twice.

    >>> factors_in(["vqa.activation=gated_tanh,relu"])
    {'vqa.activation': ['gated_tanh', 'relu']}
    """
    factors: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or name in factors:
            raise ConfigError(f"--factor wants NAME=A,B, each setting once; got {text!r}")
        factors[name] = values.split(",")
    return factors


def levels_in(texts: list[str]) -> dict[str, dict[str, str]]:
    """What ``--level`` says; a row may have no settings, and a value may have commas.

    Raises:
        ConfigError: one without ":", a setting without "=", or the same row twice.

    >>> levels_in(["as it is:", "two: trunk.layers=2,2,vqa.reader=lstm"])
    {'as it is': {}, 'two': {'trunk.layers': '2,2', 'vqa.reader': 'lstm'}}
    """
    levels: dict[str, dict[str, str]] = {}
    for text in texts:
        row, colon, rest = text.partition(":")
        parts = re.split(r",(?=\s*[\w.]+=)", rest.strip()) if rest.strip() else []
        pairs = [part.strip().partition("=") for part in parts]
        if not colon or row.strip() in levels or not all(equals for _, equals, _ in pairs):
            raise ConfigError(f'--level wants "ROW: NAME=A,NAME=B", each row once; got {text!r}')
        levels[row.strip()] = {name: value for name, _, value in pairs}
    return levels
