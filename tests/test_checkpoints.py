"""Weights go to disk and come back; a file that does not fit says where."""

import pytest
import torch
from torch import nn

from updown_lab.checkpoints import load_weights, read_facts, save_model
from updown_lab.errors import DataInvalid, DataMissing


def network(width: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


def test_weights_and_buffers_come_back_exactly(tmp_path):
    torch.manual_seed(0)
    model = network()
    model(torch.randn(8, 2))  # moves the BatchNorm's statistics, which are buffers
    save_model(tmp_path / "run" / "model", model, width=3)

    other = load_weights(tmp_path / "run" / "model", network())

    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert other[1].num_batches_tracked == 1


def test_a_loaded_model_is_set_to_evaluation(tmp_path):
    save_model(tmp_path, network())

    model = network().train()

    assert load_weights(tmp_path, model) is model
    assert not model.training and not model[1].training


def test_columns_that_are_a_view_are_saved_too(tmp_path):
    model = nn.Linear(3, 2)
    model.weight = nn.Parameter(torch.arange(6.0).reshape(3, 2).t())  # not contiguous

    save_model(tmp_path, model)

    assert load_weights(tmp_path, nn.Linear(3, 2)).weight.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_saving_does_not_touch_the_model(tmp_path):
    model = network().train()

    save_model(tmp_path, model)

    assert model.training and all(value.requires_grad for value in model.parameters())


def test_all_that_does_not_fit_is_listed(tmp_path):
    save_model(tmp_path, network(3))
    wanted = nn.Sequential(nn.Linear(2, 5), nn.Identity(), nn.Linear(5, 1))

    with pytest.raises(DataInvalid) as caught:
        load_weights(tmp_path, wanted)

    message = str(caught.value)
    assert "0.weight: the file has (3, 2), the model (5, 2)" in message
    assert "1.running_mean: the file has (3,), the model nothing" in message
    assert "2.bias: the file has nothing, the model (1,)" in message


def test_a_model_that_does_not_fit_is_left_as_it_was(tmp_path):
    save_model(tmp_path, network(3))
    model = network(4)
    before = model[0].weight.clone()

    with pytest.raises(DataInvalid):
        load_weights(tmp_path, model)

    assert torch.equal(model[0].weight, before)


def test_missing_weights_and_facts_say_what_to_do(tmp_path):
    with pytest.raises(DataMissing, match=r"model\.safetensors; train the model first"):
        load_weights(tmp_path, network())
    with pytest.raises(DataMissing, match=r"model\.json; train the model first"):
        read_facts(tmp_path)


def test_facts_come_back(tmp_path):
    facts = {"width": 3, "names": ["cat", "ä"], "nested": {"rate": 0.5}}

    save_model(tmp_path, network(), **facts)

    assert read_facts(tmp_path) == facts
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
