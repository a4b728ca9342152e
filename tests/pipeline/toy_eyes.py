"""Eyes that see little and at once, and folders of noise for them."""

import csv
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from updown_lab.pipeline.eyes import Eyes
from updown_lab.regions import Regions

BROKEN = b"\xff\xd8\xff\xe0 and no more"


class Mean:
    """Sees the mean colour and the size; remembers how many pictures came at a time."""

    feature_dim, source = 5, "mean"

    def __init__(self, fails=lambda images, call: None):
        self.calls, self.fails = [], fails

    def encode(self, images, records=None):
        self.calls.append(len(images))
        self.fails(images, len(self.calls))
        size = [(image.shape[2], image.shape[1]) for image in images]
        return [Regions(torch.cat([image.mean((1, 2)), torch.tensor(wide).float()])[None],
                        torch.tensor([[0.0, 0, *wide]]), wide, "mean")
                for image, wide in zip(images, size)]  # fmt: skip


def simple(encoder, fingerprint="1"):
    return Eyes(encoder, fingerprint, {})


def photos(folder, sizes):
    """Noise of those sizes (width, height), named 00.png, 01.png, …"""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    for number, (width, height) in enumerate(sizes):
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    return folder


def listed(report):
    with open(report, newline="", encoding="utf-8") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@contextmanager
def interrupted():
    """The block must be cut by Ctrl-C."""
    with pytest.raises(KeyboardInterrupt):
        yield
