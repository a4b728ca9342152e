"""torchvision's detector as an encoder: its own boxes, and features that belong to them."""

from types import SimpleNamespace

import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.ops import box_iou, roi_align

from updown_lab.config import SelectionConfig, preset
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.vision import fpn
from updown_lab.vision.encoders import build_encoder
from updown_lab.vision.fpn import COCO_CLASSES, CocoEncoder, load_coco_detector

SMALL = {"min_size": 96, "max_size": 160, "rpn_post_nms_top_n_test": 30}


@pytest.fixture(scope="module")
def model():
    """The second version, untrained, but with opinions: random weights alone find every class equally likely."""
    torch.manual_seed(3)
    model = load_coco_detector(None, **SMALL)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.1)
    torch.nn.init.normal_(model.roi_heads.box_predictor.bbox_pred.weight, std=0.05)
    return model


@pytest.fixture(scope="module")
def picture():
    return torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(1))


def everything(**changes):
    return SelectionConfig(**{"confidence": 0.0, "minimum": 1, "maximum": 100, **changes})


def test_boxes_names_and_scores_are_torchvisions_own(model, picture):
    (regions,) = CocoEncoder(model, everything()).encode([picture])

    with torch.no_grad():
        (expected,) = model([picture])
    assert regions.count > 5 and regions.image_size == (80, 60)
    torch.testing.assert_close(regions.boxes, expected["boxes"])
    torch.testing.assert_close(regions.scores, expected["scores"])
    assert (regions.classes + 1).tolist() == expected["labels"].tolist()


def test_each_feature_is_the_box_heads_of_its_own_box(model, picture):
    """Pooled again by hand: the level of a box by its size, RoIAlign 7 x 7, the box head."""
    (regions,) = CocoEncoder(model, everything()).encode([picture])

    with torch.no_grad():
        batch, _ = model.transform([picture])
        maps = model.backbone(batch.tensors)
        (high, wide), expected = batch.image_sizes[0], []
        for box in regions.boxes * torch.tensor([wide / 80, high / 60] * 2):
            side = ((box[2] - box[0]) * (box[3] - box[1])).sqrt()
            level = int((4 + torch.log2(side / 224 + 1e-6)).floor().clamp(2, 5)) - 2  # Lin et al. 2017, eq. 1
            crop = roi_align(maps[str(level)], [box[None]], 7, 1 / 2 ** (level + 2), sampling_ratio=2)
            expected.append(model.roi_heads.box_head(crop)[0])

    torch.testing.assert_close(regions.features, torch.stack(expected), rtol=1e-3, atol=1e-4)


def test_the_number_of_regions_obeys_the_three_limits(model, picture):
    (every,) = CocoEncoder(model, everything()).encode([picture])
    middle = float(every.scores[5])

    def count(**limits):
        return CocoEncoder(model, everything(**limits)).encode([picture])[0].count

    assert count(confidence=middle) == 6 == int((every.scores >= middle).sum())
    assert count(confidence=1.0, minimum=3) == 3
    assert count(maximum=4) == 4


def test_an_image_without_any_detection_is_one_region_with_a_name(model, picture):
    before = model.roi_heads.score_thresh
    model.roi_heads.score_thresh = 2.0

    try:
        (regions,) = CocoEncoder(model, everything()).encode([picture])
    finally:
        model.roi_heads.score_thresh = before

    assert regions.boxes.tolist() == [[0, 0, 80, 60]]
    assert 0 <= regions.classes[0] < 90 and 0 < regions.scores[0] < 1


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_the_smallest_and_the_thinnest_images_are_seen(model, size):
    (regions,) = CocoEncoder(model, everything()).encode([torch.rand(3, *size)])

    assert regions.count and regions.image_size == (size[1], size[0])
    assert (regions.boxes[:, 2] <= size[1]).all() and (regions.boxes[:, 3] <= size[0]).all()
    assert torch.isfinite(regions.features).all()


def test_images_of_many_sizes_are_seen_as_if_alone(model):
    random = torch.Generator().manual_seed(5)
    sizes = [(60, 80), (80, 60), (60, 80), (33, 47), (96, 96), (60, 80)]
    images = [torch.rand(3, *size, generator=random) for size in sizes]
    encoder = CocoEncoder(model, everything(maximum=8))

    together, alone = encoder.encode(images), [encoder.encode([image])[0] for image in images]

    for got, expected in zip(together, alone):
        torch.testing.assert_close(got.boxes, expected.boxes, rtol=1e-3, atol=1e-2)
        torch.testing.assert_close(got.features, expected.features, rtol=1e-3, atol=1e-3)


def test_training_mode_is_given_back(model, picture):
    model.train()

    CocoEncoder(model, everything()).encode([picture])

    assert model.training
    model.eval()


def test_the_door_of_all_encoders_leads_here(model, picture):
    encoder = build_encoder("regions-coco", preset("tiny"), detector=model)

    (regions,) = encoder.encode([picture])

    assert encoder.feature_dim == regions.features.shape[1] == 1024 and regions.source == "regions-coco"
    assert regions.attributes is None


def test_class_ids_are_coco_categories_less_one():
    names = {"person": 1, "cat": 17, "dog": 18, "dining table": 67, "toothbrush": 90}  # from COCO's own list

    assert {name: COCO_CLASSES.index(name) + 1 for name in names} == names
    assert len(set(COCO_CLASSES) - {"N/A"}) == 80


def test_a_file_of_weights_tells_its_own_version(tmp_path, model):
    first = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    torch.save(first.state_dict(), tmp_path / "first.pth")
    torch.save(model.state_dict(), tmp_path / "second.pth")

    loaded = {name: load_coco_detector(tmp_path / f"{name}.pth") for name in ("first", "second")}

    for name, expected in (("first", first), ("second", model)):
        assert not loaded[name].training
        for key, value in expected.state_dict().items():
            assert torch.equal(loaded[name].state_dict()[key], value), key


def test_weights_that_cannot_be_downloaded_say_what_to_put_where(monkeypatch):
    def offline(**_):
        raise OSError("Name or service not known")

    source = SimpleNamespace(url="https://download.example/coco.pth", get_state_dict=offline)
    monkeypatch.setitem(fpn.MODELS, fpn.DEFAULT, (fpn.MODELS[fpn.DEFAULT][0], source))

    with pytest.raises(DataMissing, match=r"fetch https://download.example/coco.pth and put it into .*checkpoints/"):
        load_coco_detector()


def test_files_with_other_weights_are_refused_by_name(tmp_path, model):
    state = model.state_dict()
    state["extra.weight"] = torch.zeros(2)
    del state["roi_heads.box_predictor.cls_score.bias"]
    torch.save(state, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("not weights")
    torch.save([1, 2], tmp_path / "list.pth")

    with pytest.raises(DataInvalid) as refused:
        load_coco_detector(tmp_path / "other.pth")
    assert "extra.weight: the file has (2,), the network nothing" in str(refused.value)
    assert "cls_score.bias: the file has nothing, the network (91,)" in str(refused.value)
    for name, error in (("text", DataInvalid), ("list", DataInvalid), ("absent", DataMissing)):
        with pytest.raises(error, match=rf"{name}\.pth"):
            load_coco_detector(tmp_path / f"{name}.pth")


def test_pooling_at_the_proposal_would_be_noticed(model, picture):
    """The boxes did move: else the test of the features could not tell proposal from box."""
    with torch.no_grad():
        batch, _ = model.transform([picture])
        proposals, _ = model.rpn(batch, model.backbone(batch.tensors))
    (regions,) = CocoEncoder(model, everything()).encode([picture])

    (high, wide) = batch.image_sizes[0]
    overlap = box_iou(regions.boxes * torch.tensor([wide / 80, high / 60] * 2), proposals[0]).amax(1)
    assert overlap.median() < 0.98
