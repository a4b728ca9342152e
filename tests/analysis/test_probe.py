"""The linear reader: what it finds is in the features, and what is not in them it does not find."""

import numpy as np
import pytest
import torch

from updown_lab.analysis.probe import framed, probe
from updown_lab.errors import DataMissing
from updown_lab.regions import Regions
from updown_lab.store.feature_store import FeatureStore, write_features

HALVES = torch.tensor([[0.0, 0.0, 50.0, 100.0], [50.0, 0.0, 100.0, 100.0]])
LEFT, RIGHT = [5.0, 10.0, 45.0, 90.0], [52.0, 10.0, 99.0, 90.0]
NAMES = ("cat", "cup", "hat")


def store_of(folder, features: dict[int, torch.Tensor]) -> FeatureStore:
    """Pictures of two regions, left and right, with these (2, D) features."""

    def see(rows):
        return [Regions(row, HALVES, (100, 100), "toy") for row in rows]

    items = [(image, lambda image=image: features[image]) for image in features]
    width = next(iter(features.values())).shape[1]
    write_features(see, items, folder, width, dtype="float32", source="toy", progress=False)
    return FeatureStore.open(folder)


def world(pictures: int, seed: int = 0):
    """Two named things a picture, and features that say of each which it is, with some noise."""
    random = np.random.default_rng(seed)
    truth, features = {}, {}
    for image in range(pictures):
        kinds = random.integers(3, size=2)
        truth[image] = [({NAMES[kinds[0]]}, LEFT), ({NAMES[kinds[1]]}, torch.tensor(RIGHT))]
        noise = random.normal(0, 0.1, (2, 5))
        features[image] = torch.tensor(np.eye(5)[kinds] + noise, dtype=torch.float32)
    return truth, features


def split(truth: dict, learned: int):
    return {n: truth[n] for n in truth if n < learned}, {n: truth[n] for n in truth if n >= learned}


def test_a_name_that_is_in_the_features_is_read(tmp_path):
    truth, features = world(60)

    table = probe(store_of(tmp_path, features), *split(truth, 40))

    assert len(table) == 2 * 20 and table["score"].eq(100).all()
    assert table["name"].tolist()[:2] == [min(names) for names, _ in truth[40]]
    assert table["image_id"].tolist()[:4] == [40, 40, 41, 41]


def test_each_thing_is_read_from_the_region_that_lies_on_it(tmp_path):
    truth, features = world(60)
    swapped = {image: rows.flip(0) for image, rows in features.items()}  # the left region knows the right thing

    table = probe(store_of(tmp_path, swapped), *split(truth, 40))

    assert table["score"].mean() < 70, "one of three names by chance"


def test_features_that_say_nothing_are_read_by_chance(tmp_path):
    truth, features = world(300)
    generator = torch.Generator().manual_seed(1)
    empty = {image: torch.randn(2, 5, generator=generator) for image in features}

    table = probe(store_of(tmp_path, empty), *split(truth, 100))

    assert 100 / 3 - 10 < table["score"].mean() < 100 / 3 + 10  # 400 things: the standard error is 2.4


def test_the_reader_is_ridge_regression(tmp_path):
    truth, features = world(30)
    noisy = {
        image: rows + torch.randn(2, 5, generator=torch.Generator().manual_seed(image))
        for image, rows in features.items()
    }
    train, test = split(truth, 20)

    table = probe(store_of(tmp_path, noisy), train, test, strength=4.0)

    # the slower way: least squares with four more "pictures" a number, each saying that its weight is 0 (times 2)
    learned, asked = (np.concatenate([noisy[image].double().numpy() for image in part]) for part in (train, test))
    middle, deviation = learned.mean(0), learned.std(0)
    one = [np.c_[(part - middle) / deviation, np.ones(len(part))] for part in (learned, asked)]
    wanted = np.eye(3)[[NAMES.index(min(names)) for image in train for names, _ in train[image]]]
    weights = np.linalg.lstsq(np.r_[one[0], 2 * np.eye(6)], np.r_[wanted, np.zeros((6, 3))], rcond=None)[0]
    assert table["said"].tolist() == [NAMES[n] for n in (one[1] @ weights).argmax(1)]


def test_names_that_were_never_learned_are_not_asked(tmp_path):
    truth, features = world(30)
    train, test = split(truth, 20)
    test[25] = [({"whale"}, LEFT), *test[25][1:]]

    table = probe(store_of(tmp_path, features), train, test)

    assert len(table) == 19 and "whale" not in set(table["name"])


def test_nothing_to_learn_from_is_said(tmp_path):
    truth, features = world(4)

    with pytest.raises(DataMissing, match="0 things to learn from"):
        probe(store_of(tmp_path, features), {}, truth)


def test_a_thing_is_framed_as_well_as_its_best_region_frames_it():
    assert framed(HALVES, [({"cat"}, [0.0, 0.0, 50.0, 50.0]), ({"cup"}, [50.0, 0.0, 100.0, 100.0])]) == [0.5, 1.0]
