"""A results file is refused for every reason that the server has."""

import json

import pytest

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.metrics.vqa_results import read_results, write_results


def test_what_is_written_is_what_the_server_wants(tmp_path):
    write_results(tmp_path / "results.json", {7: "yes", 9: "2"})

    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"question_id": 7, "answer": "yes"},
        {"question_id": 9, "answer": "2"},
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"7": "yes"}, "list of objects, got dict"),
        ([{"question_id": 7, "answer": "yes"}], r"1 of 2 questions have no answer, first: \[9\]"),
        ([{"question_id": n, "answer": "yes"} for n in (7, 9, 11)], "question 11 is not in this split"),
        ([{"question_id": n, "answer": "yes"} for n in (7, 9, 7)], "question 7 is answered twice"),
        ([{"question_id": 7, "answer": 2}, {"question_id": 9, "answer": "x"}], "entry 0: wants"),
        ([{"question_id": "7", "answer": "a"}, {"question_id": 9, "answer": "x"}], "entry 0: wants"),
        ([{"question_id": True, "answer": "a"}, {"question_id": 9, "answer": "x"}], "entry 0: wants"),
    ],
)
def test_what_the_server_would_refuse_is_refused(tmp_path, entries, message):
    (tmp_path / "results.json").write_text(json.dumps(entries))

    with pytest.raises(DataInvalid, match=message):
        read_results(tmp_path / "results.json", [7, 9])


def test_a_folder_is_no_results_file(tmp_path):
    with pytest.raises(DataMissing, match="no file"):
        read_results(tmp_path, [1])
