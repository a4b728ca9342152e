"""The command line under a real torchrun: two processes, one of which is interrupted, against one."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from updown_lab.files import read_json

pytestmark = pytest.mark.slow
NUMBERS = ("world.train_images=12", "world.validation_images=4", "world.test_images=4", "world.crops=64",
           "world.questions_per_image=1", "pretraining.steps=2", "pretraining.batch_size=8",
           "detector_training.batch_size=4", "detector_training.steps=12", "detector_training.evaluate_every=5",
           "trunk.frozen_norm=true")  # fmt: skip
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


def train(folder, stage, *changes, launcher=("-m",)):
    """The command that trains a stage, started."""
    sets = [word for number in (*NUMBERS, *changes) for word in ("--set", number)]
    command = [sys.executable, *launcher, "updown_lab", "train", stage, "--out", str(folder), "--preset", "tiny", *sets]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def finished(process) -> str:
    text = process.communicate(timeout=600)[0]
    assert process.returncode == 0, text
    return text


def weights_of(folder):
    return load_file(folder / "stages/detector/model.safetensors")


def test_torchrun_trains_the_detector_as_one_process_would_and_goes_on_after_an_interrupt(tmp_path):
    together, alone = tmp_path / "together", tmp_path / "alone"
    finished(train(together, "trunk"))  # by one process: BatchNorm, awake there, would see other batches in two
    shutil.copytree(together, alone)

    process = train(together, "detector", launcher=TORCHRUN)
    beaten = together / "stages/detector/history.csv"  # written after the fifth step
    for _ in range(3000):
        if beaten.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)  # to torchrun, which passes it on
    interrupted = process.communicate(timeout=600)[0]
    stopped = torch.load(together / "stages/detector/checkpoint.pt")["step"]
    text = finished(train(together, "detector", launcher=TORCHRUN))
    finished(train(alone, "detector", "detector_training.accumulate=2"))

    assert process.returncode != 0
    assert 5 <= stopped < 12, interrupted
    assert not (together / "stages/detector/log.txt").exists()  # no process of its own: torchrun's were used
    for name, value in weights_of(alone).items():
        torch.testing.assert_close(weights_of(together)[name], value, atol=1e-4, rtol=1e-3, msg=f"{name}\n{text}")
    scores = [read_json(folder / "stages/detector/scores.json") for folder in (together, alone)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02, nan_ok=True)

    assert "Warning" not in text
    again = finished(train(together, "detector"))  # without torchrun the run is as done as with it
    assert "0 stage(s) to do" in again
