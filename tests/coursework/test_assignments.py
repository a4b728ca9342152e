"""Each assignment: full points for the reference, none for a blank, and a mistake costs what it should.

nbgrader takes minutes for all of this, because it starts a process for every notebook. Here the cells run one after the
other in this process, and a cell with points earns them if it does not stop with an error. ``test_course.py`` checks
with nbgrader itself that this gives the same points.
"""

import re

import pytest
from seeded import POINTS, SOURCES, WRONG, blank, full, marked, reference

from updown_lab.coursework.hints import Hint
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
        assert isinstance(told, Hint) and wrong.hint in str(told)


@pytest.mark.parametrize("assignment", POINTS)
def test_instant_checks_come_from_the_package_and_cannot_be_shadowed(assignment):
    for part in reference(assignment):
        if part.purpose == "check":
            for name in re.findall(r"\bcheck_\w+", part.text):
                assert re.search(rf"^from updown_lab.coursework import .*\b{name}\b", part.text, re.MULTILINE)
