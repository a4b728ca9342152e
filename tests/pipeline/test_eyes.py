"""Which networks look: what makes two of them different, and what is said when there are none."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from updown_lab.errors import ConfigError
from updown_lab.pipeline.eyes import choose_device, open_eyes

sys.path.insert(0, str(Path(__file__).parent))
from untrained_run import untrained_run


def test_other_weights_and_other_settings_are_other_eyes(tmp_path):
    run = untrained_run(tmp_path / "run")
    other = shutil.copytree(run, tmp_path / "other")
    weights = other / "stages/detector/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-4] ^= 1  # the last bit of the last number
    weights.write_bytes(content)

    def mark(folder, **changes):
        return open_eyes("regions", folder, device="cpu", changes=changes).fingerprint

    assert mark(run) == mark(run)
    assert len({mark(run), mark(other), mark(run, **{"selection.minimum": "3"})}) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": "regoins"}, "got 'regoins'"),
        ({"features": "grid-pretrained-0"}, "got 'grid-pretrained-0'"),
        ({"features": "oracle"}, "got 'oracle'"),
        ({"features": "regions", "run_folder": "a", "weights": "b"}, "not both"),
        ({"features": "regions-coco", "run_folder": "a"}, "no run has it"),
        ({"features": "grid-pretrained-7", "weights": "resnet9000"}, "torchvision or pypi"),
        ({"features": "regions", "device": "abacus"}, "no device 'abacus'"),
    ],
)
def test_eyes_that_do_not_exist_are_a_clear_error(arguments, message):
    with pytest.raises(ConfigError, match=message):
        open_eyes(**arguments)


def test_the_device_is_chosen_and_one_that_is_not_there_is_named():
    assert choose_device("cpu") == torch.device("cpu") and choose_device().type in ("cuda", "mps", "cpu")
    with pytest.raises(ConfigError, match=r"no device 'cuda:99' here .*best is"):
        choose_device("cuda:99")
