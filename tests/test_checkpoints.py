"""Weights go to disk and come back; a file that does not fit says where."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from updown_lab.checkpoints import load_weights, pack, read_facts, save_model, unpack
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


@pytest.mark.parametrize(("bits", "share"), [(16, 0.5), (8, 0.25)])
def test_packed_weights_need_a_share_of_the_bytes_and_are_off_by_half_a_step(bits, share):
    weights = {"w": torch.randn(40, 300, generator=torch.Generator().manual_seed(0)) * 3, "b": torch.randn(40)}

    packed = pack(weights, bits)

    assert packed["w"].element_size() * packed["w"].numel() == share * 4 * weights["w"].numel()
    back = unpack(packed)
    assert back.keys() == weights.keys() and {value.dtype for value in back.values()} == {torch.float32}
    torch.testing.assert_close(back["b"], weights["b"], atol=0, rtol=0)
    # half a step: of 127 in the largest number of the row, or of the 11 bits that float16 keeps of each number
    most = weights["w"].abs().amax(1, keepdim=True) / 254 if bits == 8 else weights["w"].abs() * 2**-11 + 2**-25
    assert ((back["w"] - weights["w"]).abs() <= most * 1.0001).all()


def test_what_cannot_be_halved_is_kept():
    weights = {"huge": torch.full((2, 2), 1e6), "zero": torch.zeros(2, 3), "count": torch.tensor(7)}

    assert all(torch.equal(unpack(pack(weights, 16))[name], value) for name, value in weights.items())
    assert torch.equal(unpack(pack(weights, 8))["zero"], weights["zero"])
    assert unpack(pack({"kernel": torch.randn(4, 3, 2, 2)}, 8))["kernel"].shape == (4, 3, 2, 2)
    with pytest.raises(ValueError, match="16 or 8 bits, got 4"):
        pack(weights, 4)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_model_is_filled_from_packed_weights_and_wrong_ones_are_named(tmp_path, bits):
    torch.manual_seed(0)
    model = network()
    save_model(tmp_path, model, width=3)
    save_file(pack(model.state_dict(), bits), tmp_path / "model.safetensors")

    other = load_weights(tmp_path, network())

    torch.testing.assert_close(other[0].weight, model[0].weight, atol=0.01, rtol=0)
    assert other[0].weight.dtype == torch.float32 and torch.equal(other[0].bias, model[0].bias)
    with pytest.raises(DataInvalid, match=r"0.weight: the file has \(3, 2\), the model \(4, 2\)"):
        load_weights(tmp_path, network(4))
