"""TSV reader: both layouts, and files as dead jobs leave them."""

import base64

import numpy as np
import pytest
import torch

from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.store.feature_store import FeatureStore, FeatureWriter
from updown_lab.store.tsv import coco_number, read_bottom_up_tsv


def encode(values, dtype="<f4") -> str:
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode()


def caffe_row(image_id, count=2, size=3, boxes=None, features=None) -> str:
    boxes = encode(np.arange(count * 4)) if boxes is None else boxes
    features = encode(np.arange(count * size) / 2) if features is None else features
    return f"{image_id}\t640\t480\t{count}\t{boxes}\t{features}\r\n"


def lxmert_row(image_id) -> str:
    labels = [encode([7, 0], "<i8"), encode([0.5, 0.25]), encode([3, 399], "<i8"), encode([0.75, 1])]
    return "\t".join([image_id, "480", "640", *labels, "2", encode(np.arange(8)), encode(np.arange(6) / 2)]) + "\r\n"


def read(path, text: str, problems=None, **options):
    path.write_bytes(text.encode())
    return list(read_bottom_up_tsv(path, problems, **options))


def test_six_columns_have_width_before_height(tmp_path):
    [(image_id, regions)] = read(tmp_path / "a.tsv", caffe_row(132417))

    assert image_id == 132417 and regions.image_size == (640, 480)
    assert regions.boxes.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert regions.features.tolist() == [[0, 0.5, 1], [1.5, 2, 2.5]]
    assert regions.classes is None


def test_ten_columns_have_height_before_width_and_carry_labels(tmp_path):
    [(image_id, regions)] = read(tmp_path / "a.tsv", lxmert_row("COCO_train2014_000000132417"))

    assert image_id == "COCO_train2014_000000132417" and coco_number(image_id) == 132417
    assert regions.image_size == (640, 480)
    assert regions.features.tolist() == [[0, 0.5, 1], [1.5, 2, 2.5]]
    assert (regions.classes.tolist(), regions.attributes.tolist()) == ([7, 0], [3, 399])
    assert (regions.scores.tolist(), regions.attribute_scores.tolist()) == ([0.5, 0.25], [0.75, 1])
    assert regions.classes.dtype == torch.int64


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.9, 0.97])
@pytest.mark.parametrize("row", [caffe_row(3), lxmert_row("3")])
def test_a_last_row_cut_off_is_noted_and_the_others_stay(tmp_path, share, row):
    torn = row[: max(1, int(len(row) * share))]
    problems = []

    images = read(tmp_path / "a.tsv", caffe_row(1) + caffe_row(2) + torn, problems)

    assert [image_id for image_id, _ in images] == [1, 2]
    assert [(problem.place, problem.image_id) for problem in problems] == [("line 3", 3)]
    assert str(problems[0]).startswith(f"{tmp_path / 'a.tsv'}, line 3, image 3: ")


@pytest.mark.parametrize(
    "row, reason",
    [
        (caffe_row(5, features="!!!!"), "features is not base64"),
        (caffe_row(5, boxes=""), "boxes has 0 bytes"),
        (caffe_row(5, boxes=encode(np.zeros(7))), r"boxes has 28 bytes, .* \(2, 4\)"),
        (caffe_row(5, features=encode(np.zeros(5))), r"features has 20 bytes, .* \(2, D\)"),
        (caffe_row(5, size=4), "features have size 4 instead of 3"),
        (caffe_row(5, count=0), "n should be a whole number above 0"),
        (caffe_row(5, features=encode([np.nan] * 6)), "not finite"),
        (caffe_row(1), "second time"),
        ("5\t640\t480\r\n", "3 columns"),
        ("just words\n", "1 columns"),
    ],
)
def test_a_bad_row_is_named_and_the_next_one_is_read(tmp_path, row, reason):
    problems = []

    images = read(tmp_path / "a.tsv", caffe_row(1) + row + "\r\n" + caffe_row(2), problems)

    assert [image_id for image_id, _ in images] == [1, 2]
    assert len(problems) == 1 and problems[0].place == "line 2"
    with pytest.raises(DataInvalid, match=rf"line 2, image .*{reason}"):
        read(tmp_path / "a.tsv", caffe_row(1) + row)


def test_a_first_row_without_features_does_not_set_the_size(tmp_path):
    problems = []

    images = read(tmp_path / "a.tsv", caffe_row(1, features="") + caffe_row(2), problems)

    assert [image_id for image_id, _ in images] == [2] and "0 bytes" in problems[0].reason


def test_the_feature_size_can_be_demanded(tmp_path):
    problems = []

    assert read(tmp_path / "a.tsv", caffe_row(1), problems, feature_dim=2048) == []
    assert "size 3 instead of 2048" in problems[0].reason


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataMissing, match=r"nothing\.tsv"):
        list(read_bottom_up_tsv(tmp_path / "nothing.tsv"))


def test_rows_go_straight_into_a_store(tmp_path):
    (tmp_path / "a.tsv").write_text(lxmert_row("COCO_val2014_000000000042"))

    with FeatureWriter(tmp_path / "store", 3, "float32", "tsv") as writer:
        for name, regions in read_bottom_up_tsv(tmp_path / "a.tsv"):
            writer.append(coco_number(name), regions)
        writer.finish([42])

    assert FeatureStore.open(tmp_path / "store")[42].classes.tolist() == [7, 0]
    with pytest.raises(ValueError, match="ends in its number"):
        coco_number("a_b")
