"""Sources of assignments: what is well formed, what leaks, what stands in every notebook and every graded cell."""

import re

import pytest
from seeded import marked

from updown_lab.coursework.sources import HOME, Part, leaks, read_source, source_notebook
from updown_lab.errors import DataInvalid

pytest.importorskip("nbformat", reason="needs the extra teach: pip install -e .[teach]")
pytest.importorskip("jupytext", reason="needs the extra teach: pip install -e .[teach]")


def test_leaks_are_seen_in_metadata_and_outputs_too():
    part = Part("solution", "f", 0, "code", "### BEGIN SOLUTION\nreturn 6 * 7\n### END SOLUTION")

    assert leaks([part], '{"cells": [{"metadata": {"tags": ["return 6 * 7"]}}]}') == ["return 6 * 7"]
    assert leaks([part], '{"cells": [{"outputs": [{"text": ["a\\n", "return 6 * 7\\n"]}]}]}') == ["return 6 * 7"]
    assert leaks([part], '{"cells": [{"metadata": {"return 6 * 7": 1}}]}') == ["return 6 * 7"]
    assert leaks([part], '{"cells": [{"source": ["return 42"]}]}') == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('# %% solution="f"\nreturn 1', "BEGIN SOLUTION"),
        ("# %%\n### BEGIN SOLUTION\n### END SOLUTION", "only there"),
        ('# %% locked="f"\n### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS', "check cells only"),
        ('# %% check="f"\nassert True', "have points"),
        ('# %% solution="f" points=3\n### BEGIN SOLUTION\n### END SOLUTION', "others have none"),
        ('# %% locked="f"\n1\n# %% locked="f"\n2', "two cells are called 'f'"),
        ('# %% locked="f" check="g" points=1\n1', "one purpose"),
    ],
)
def test_a_source_that_is_not_well_formed_is_refused(tmp_path, text, words):
    (tmp_path / "A9.py").write_text(text)

    with pytest.raises(DataInvalid, match=words):
        read_source(tmp_path / "A9.py")


def test_a_graded_cell_asks_the_package_on_disk_not_the_one_that_a_student_changed(tmp_path):
    (tmp_path / "A9.py").write_text("""\
# %%
import updown_lab.coursework as changed
changed.check_iou = print

# %% check="f" points=2
from updown_lab.coursework import check_iou
check_iou("not a function")
""")

    earned, errors = marked(read_source(tmp_path / "A9.py"))

    assert earned == {"f": 0}
    assert "hand over the function itself" in str(errors["f"])


def test_only_cells_with_points_carry_what_reads_the_package_again(tmp_path):
    (tmp_path / "A9.py").write_text('# %% locked="f"\n1\n\n# %% check="g" points=2\n2\n')

    locked, check = read_source(tmp_path / "A9.py")

    assert locked.text == "1"
    assert re.fullmatch(r"### BEGIN HIDDEN TESTS\n[^#]*### END HIDDEN TESTS\n2", check.text)


def test_badge_and_setup_of_a_notebook_name_one_address():
    notebook = source_notebook([Part("", "", 0, "markdown", "# A title")], "A9")

    said = "\n".join(cell.source for cell in notebook.cells)

    assert re.findall(r"github(?:\.com)?/(\w+/\w+)", said) == [HOME, HOME]
