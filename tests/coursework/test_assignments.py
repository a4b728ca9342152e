"""Each assignment: full points for the reference, none for a blank, and a mistake costs what it should.

nbgrader takes minutes for all of this, because it starts a process for every notebook. Here the cells run one after the
other in this process, and a cell with points earns them if it does not stop with an error. ``test_course.py`` checks
with nbgrader itself that this gives the same points.
"""

import re

import pytest
from seeded import POINTS, SOURCES, WRONG, blank, changed, full, marked, reference

from updown_lab.coursework.sources import assignments

pytest.importorskip("jupytext", reason="needs jupytext: pip install -e .[teach]")


def test_every_assignment_is_tested_here():
    assert assignments(SOURCES) == list(POINTS) == list(WRONG)
    assert all(len(wrong) >= 3 for wrong in WRONG.values())


@pytest.mark.parametrize("assignment", POINTS)
def test_the_reference_gets_all_points(assignment, capsys):
    parts = reference(assignment)

    earned, errors = marked(parts)

    assert errors == {}
    assert sum(part.points for part in parts) == POINTS[assignment]
    assert earned == full(parts)
    assert capsys.readouterr().err == ""  # nbgrader takes what is said on stderr for a failure


@pytest.mark.parametrize("assignment", POINTS)
def test_a_blank_gets_nothing(assignment):
    earned, errors = marked(blank(reference(assignment)))

    assert sum(earned.values()) == 0
    said = [str(error) for name, error in errors.items() if name.endswith("-seen")]
    assert said and all("still empty" in words for words in said)
    for part in blank(reference(assignment)):
        assert "SOLUTION" not in part.text


@pytest.mark.parametrize(
    ("assignment", "wrong"), [(name, wrong) for name in WRONG for wrong in WRONG[name]],
    ids=lambda value: getattr(value, "name", value),
)  # fmt: skip
def test_a_mistake_costs_what_it_should_and_gets_its_hint(assignment, wrong):
    parts = reference(assignment)

    earned, errors = marked(wrong.applied(parts))

    lost = {name: most - earned[name] for name, most in full(parts).items() if earned[name] != most}
    assert lost == wrong.loses, {name: repr(error) for name, error in errors.items()}
    if wrong.hint:
        told = next(error for name, error in errors.items() if name.endswith("-seen"))
        assert type(told).__name__ == "Hint" and wrong.hint in str(told)  # of the package as it was read again


#: Lines that make a check say yes to everything, if it is the check of the notebook or of the running package.
TRICKS = {
    "the notebook's name": "check_{0} = print",
    "the package's name": "import updown_lab.coursework as c; c.check_{0} = print",
    "the name where it is written": "import updown_lab.coursework as c, sys; "
    "sys.modules[c.check_{0}.__module__].check_{0} = print",
    "a module of one's own": "import updown_lab.coursework as c, sys, types; "
    "c.check_{0} = print; sys.modules[c.__name__] = types.SimpleNamespace(**vars(c))",
    "what the check calls": "import updown_lab.coursework as c, sys; "
    "sys.modules[c.check_{0}.__module__].try_out = sys.modules[c.check_{0}.__module__]._plan = print; "
    "sys.modules[c.check_{0}.__module__].call = lambda *asked: dict.fromkeys((1, 2, 3, 4), 'one seed')",
}


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
@pytest.mark.parametrize("assignment", POINTS)
def test_assigning_to_names_of_the_package_earns_nothing(assignment, trick):
    parts = blank(reference(assignment))
    checks = {name for part in parts for name in re.findall(r"\bcheck_(\w+)", part.text)}
    tricks = "\n".join(trick.format(name) for name in sorted(checks))

    earned, errors = marked([changed(part, f"{part.text}\n{tricks}") if part.name == "imports" else part
                             for part in parts])  # fmt: skip

    assert checks and "imports" not in errors
    assert sum(earned.values()) == 0


def test_a_plan_made_before_the_package_was_read_again_is_still_a_plan():
    parts = reference("A4")
    early = "PLAN = my_plan()\n\n\ndef my_plan():\n    return PLAN"

    earned, errors = marked([changed(part, f"{part.text}\n\n\n{early}") if part.name == "my_plan" else part
                             for part in parts])  # fmt: skip

    assert errors == {}
    assert earned == full(parts)
