"""The TSV reader against ten real images, read by another implementation."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from updown_lab.store.tsv import coco_number, read_bottom_up_tsv

REAL = Path(os.environ.get("UPDOWN_REAL_DATA", "../shared/data"))
TABLE = REAL / "bu_features_demo/train2014_obj36.tsv"
GOLDEN = REAL.parent / "golden/golden_tsv_airsplay.json"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (TABLE.exists() and GOLDEN.exists()),
        reason="needs real data: set UPDOWN_REAL_DATA to a folder like ../shared/data",
    ),
]


def test_real_rows_agree_with_the_golden_reading():
    golden = json.loads(GOLDEN.read_text())

    images = list(read_bottom_up_tsv(TABLE))

    assert [image_id for image_id, _ in images] == golden["img_ids"]
    for number, row in golden["rows"].items():
        image_id, regions = images[int(number)]
        assert coco_number(image_id) == int(row["img_id"][-12:])
        assert regions.image_size == (row["img_w"], row["img_h"])
        assert list(regions.features.shape) == row["features_shape"] and regions.count == row["num_boxes"]
        assert regions.boxes[:3].tolist() == row["boxes_first3"] and regions.boxes[-1].tolist() == row["boxes_last"]
        assert regions.features[0, :8].tolist() == row["features_row0_first8"]
        assert regions.features[-1, -4:].tolist() == row["features_last_row_last4"]
        np.testing.assert_allclose(regions.features.double().sum(), row["features_sum"], rtol=1e-9)
        np.testing.assert_allclose(regions.boxes.double().sum(), row["boxes_sum"], rtol=1e-9)
        assert regions.classes.tolist() == row["objects_id"] and regions.attributes.tolist() == row["attrs_id"]
        np.testing.assert_allclose(regions.scores, row["objects_conf"], rtol=1e-6)
        np.testing.assert_allclose(regions.attribute_scores, row["attrs_conf"], rtol=1e-6)


def test_a_real_table_cut_in_the_middle_loses_one_image(tmp_path):
    data = TABLE.read_bytes()
    (tmp_path / "cut.tsv").write_bytes(data[: len(data) * 55 // 100])
    problems = []

    images = list(read_bottom_up_tsv(tmp_path / "cut.tsv", problems))

    assert [image_id for image_id, _ in images] == json.loads(GOLDEN.read_text())["img_ids"][: len(images)]
    assert len(images) == 5 and [problem.place for problem in problems] == ["line 6"]
