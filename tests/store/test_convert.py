"""Conversion: into a store and out of it, through accidents and interruptions."""

import argparse
import csv
import json
import multiprocessing
import os

import h5py
import numpy as np
import pytest
import torch

from updown_lab.commands import convert as command
from updown_lab.errors import ConfigError, DataInvalid, UpdownError
from updown_lab.regions import Regions, collate_regions
from updown_lab.store.convert import convert_features
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.formats import FORMATS, read_features, write_features_as
from updown_lab.store.hdf5 import export_hdf5
from updown_lab.store.writer import FeatureWriter, encoder_fingerprint


def make_regions(seed: int, count: int = 3, scale: float = 1.0) -> Regions:
    noise = torch.Generator().manual_seed(seed)
    boxes = torch.rand(count, 4, generator=noise) * 99
    return Regions(torch.randn(count, 4, generator=noise) * scale, boxes, (100, 100), "demo")


def table(path, numbers, **options):
    write_features_as("bottom-up-tsv", [(number, make_regions(number, **options)) for number in numbers], path)
    return path


def run(*words) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers(required=True))
    options = parser.parse_args([str(word) for word in words])
    return options.run(options) or 0


def damaged(tmp_path):
    """Four rows: good, not base64, a second time, cut off."""
    rows = table(tmp_path / "good.tsv", [1, 2, 3]).read_bytes().splitlines(keepends=True)
    torn = rows[1][:-10] + b"!" + rows[1][-9:]
    (tmp_path / "a.tsv").write_bytes(rows[0] + torn + rows[0] + rows[2] + rows[1][:40])
    return tmp_path / "a.tsv"


def test_the_command_knows_every_format():
    assert list(command.FORMATS) == list(FORMATS)


def test_damaged_rows_are_listed_beside_the_target_and_the_rest_is_kept(tmp_path, capsys):
    code = run("convert", damaged(tmp_path), "--out", tmp_path / "store")

    said = capsys.readouterr()
    rows = list(csv.DictReader((tmp_path / "store.problems.csv").read_text().splitlines()))
    assert code == 1 and FeatureStore.open(tmp_path / "store").image_ids == [1, 3]
    assert [(row["place"], row["image_id"]) for row in rows] == [("line 2", "2"), ("line 3", "1"), ("line 5", "2")]
    assert rows[0]["file"] == str(tmp_path / "a.tsv") and "not base64" in rows[0]["reason"]
    assert f"2 images in {tmp_path / 'store'}" in said.out
    assert "line 2, image 2: features is not base64" in said.err and "3 left out; listed in" in said.err


def test_a_clean_conversion_is_silent_and_forgets_the_old_list(tmp_path, capsys):
    (tmp_path / "store.problems.csv").write_text("old")

    assert run("convert", table(tmp_path / "a.tsv", [1, 2]), "--out", tmp_path / "store", "--training-ids", "all") == 0

    assert not (tmp_path / "store.problems.csv").exists() and capsys.readouterr().err == ""
    assert run("verify", tmp_path / "store") == 0
    assert "2 images with 6 regions of 4 numbers (float32): all as written" in capsys.readouterr().out
    assert FeatureStore.open(tmp_path / "store").mean.shape == (4,)


def test_several_files_go_into_one_store_and_the_first_of_a_pair_is_kept(tmp_path):
    one, two = table(tmp_path / "a.tsv.0", [1, 2]), table(tmp_path / "a.tsv.1", [2, 3])

    done = convert_features([one, two], tmp_path / "store")

    assert done.images == 3 and FeatureStore.open(tmp_path / "store").image_ids == [1, 2, 3]
    assert [(problem.file, problem.place) for problem in done.problems] == [(two, "line 1")]


class Interrupted(Exception):
    """Someone pressed Ctrl-C."""


@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_conversion_goes_on_to_the_same_store(tmp_path, monkeypatch, after):
    source = damaged(tmp_path) if after == 1 else table(tmp_path / "a.tsv", range(5))
    whole = convert_features([source], tmp_path / "whole", training_ids=None)
    append, calls = FeatureWriter.append, []

    def interrupted(self, *arguments):
        calls.append(arguments[0])
        if len(calls) > after:
            raise Interrupted
        append(self, *arguments)

    monkeypatch.setattr(FeatureWriter, "append", interrupted)
    with pytest.raises(Interrupted):
        convert_features([source], tmp_path / "torn", training_ids=None)
    monkeypatch.undo()

    done = convert_features([source], tmp_path / "torn", training_ids=None)

    assert done.problems == whole.problems and done.images == whole.images
    for name in ("features.bin", "boxes.bin", "statistics.npy"):
        assert (tmp_path / "torn" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_another_source_is_not_mixed_into_a_store(tmp_path):
    convert_features([table(tmp_path / "a.tsv", [1])], tmp_path / "store")

    with pytest.raises(DataInvalid, match="fingerprint"):
        convert_features([table(tmp_path / "b.tsv", [2])], tmp_path / "store")
    assert FeatureStore.open(tmp_path / "store").image_ids == [1]


def test_an_existing_target_is_not_overwritten_but_a_dead_draft_is_swept_away(tmp_path):
    source = table(tmp_path / "a.tsv", [1])
    dead = multiprocessing.get_context("fork").Process(target=int)
    dead.start()
    dead.join()
    (tmp_path / f".b_att.{dead.pid}.part").mkdir()
    living = tmp_path / f".b_fc.{os.getppid()}.part"
    living.mkdir()

    convert_features([source], tmp_path / "b", target_format="ruotianluo-npz")

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, "a.tsv", "b_att", "b_box", "b_fc"])
    with pytest.raises(DataInvalid, match="b_att is there already"):
        convert_features([source], tmp_path / "b", target_format="ruotianluo-npz")
    with pytest.raises(DataInvalid, match=r"a\.tsv is there already"):
        convert_features([source], source)


def test_a_number_too_large_for_float16_is_a_problem_of_its_image(tmp_path):
    rows = [(1, make_regions(1)), (2, make_regions(2, scale=1e6)), (3, make_regions(3))]
    write_features_as("bottom-up-tsv", rows, tmp_path / "a.tsv")

    done = convert_features([tmp_path / "a.tsv"], tmp_path / "store", dtype="float16")

    assert done.images == 2 and "not finite in float16" in done.problems[0].reason
    assert convert_features([tmp_path / "store"], tmp_path / "copy").images == 2
    assert FeatureStore.open(tmp_path / "copy").manifest["dtype"] == "float16"


def test_a_store_keeps_who_made_it_when_it_is_copied(tmp_path):
    with FeatureWriter(tmp_path / "one", 4, "float32", "regions", "abc", about={"boxes": 36}) as writer:
        writer.append(1, make_regions(1))
        writer.finish()

    convert_features([tmp_path / "one"], tmp_path / "two")

    two = FeatureStore.open(tmp_path / "two")
    assert (two.source, two.fingerprint, two.manifest["about"]) == ("regions", "abc", {"boxes": 36})


def test_what_a_target_cannot_hold_is_said(tmp_path):
    labels = {name: torch.zeros(3) for name in ("scores", "attribute_scores")}
    labels |= {name: torch.zeros(3, dtype=torch.long) for name in ("classes", "attributes")}
    one = make_regions(1)
    full = Regions(one.features, one.boxes, one.image_size, "demo", **labels)
    write_features_as("lxmert-tsv", [("COCO_val2014_000000000042", full), ("x", full)], tmp_path / "a.tsv")

    done = convert_features([tmp_path / "a.tsv"], tmp_path / "a.h5", target_format="updown-baseline-hdf5")

    assert done.notes == [
        "updown-baseline-hdf5 does not hold attribute_scores, attributes, classes: they were left out"
    ]
    assert "may lack image sizes" in convert_features([tmp_path / "a.h5"], tmp_path / "s").notes[0]


def test_coco_stems_become_numbers(tmp_path, capsys):
    write_features_as("bottom-up-tsv", [("COCO_val2014_000000000042", make_regions(1)), ("x", make_regions(2)),
                                        (42, make_regions(3))], tmp_path / "a.tsv")  # fmt: skip

    assert run("convert", tmp_path / "a.tsv", "--out", tmp_path / "store", "--coco-ids") == 1

    assert FeatureStore.open(tmp_path / "store").image_ids == [42]
    said = capsys.readouterr().err
    assert "line 2, image x: a COCO file stem ends" in said and "line 3, image 42: the image comes a second" in said


def test_training_ids_come_from_a_file_and_absent_ones_are_said(tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("2\n77\n\n")

    run(
        "convert",
        table(tmp_path / "a.tsv", [1, 2]),
        "--out",
        tmp_path / "store",
        "--training-ids",
        tmp_path / "ids.txt",
    )

    torch.testing.assert_close(FeatureStore.open(tmp_path / "store").mean, make_regions(2).features.mean(0))
    assert "1 of 2 training ids are not in the store, the first is 77" in capsys.readouterr().out


def test_the_ending_of_the_target_tells_its_format(tmp_path):
    source = table(tmp_path / "a.tsv", [1])

    convert_features([source], tmp_path / "store")
    convert_features([tmp_path / "store"], tmp_path / "b.tsv")

    assert (tmp_path / "b.tsv").read_bytes() == source.read_bytes()
    with pytest.raises(ConfigError, match="could be several things; say --to ban-hdf5 or --to hengyuan-hdf5"):
        convert_features([source], tmp_path / "b.hdf5")


def test_nothing_usable_makes_no_target(tmp_path):
    (tmp_path / "a.tsv").write_text("1\t640\t480\t2\tAAAA\tAAAA\n")

    with pytest.raises(DataInvalid, match=r"not one image that can be used .* line 1, image 1"):
        convert_features([tmp_path / "a.tsv"], tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_full_disk_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(
        FeatureWriter, "append", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )

    with pytest.raises(UpdownError, match=r"store failed: .*No space left .*same command again"):
        convert_features([table(tmp_path / "a.tsv", [1])], tmp_path / "store")


# The store itself, at full size.


@pytest.fixture(scope="module")
def adaptive(tmp_path_factory):
    """40 images with 10 to 100 regions, float16."""
    path, counts = tmp_path_factory.mktemp("store"), np.random.default_rng(0).integers(10, 101, 40).tolist()
    with FeatureWriter(path, 4, "float16", "demo") as writer:
        for number, count in enumerate(counts):
            writer.append(number, make_regions(number, count))
        writer.finish()
    return FeatureStore.open(path)


def loaded(store: FeatureStore, workers: int, start: str | None) -> list:
    batches = [list(range(first, 40, 5)) for first in range(5)]
    loader = torch.utils.data.DataLoader(batches, batch_size=None, collate_fn=store.batch, num_workers=workers,
                                         multiprocessing_context=start)  # fmt: skip
    return list(loader)


@pytest.mark.parametrize("workers, start", [(0, None), (2, "fork"), (1, "spawn")])
def test_workers_of_a_loader_read_the_same_batches(adaptive, workers, start):
    adaptive.batch([0])  # the files are open before the workers start

    got = loaded(adaptive, workers, start)

    for first, batch in enumerate(got):
        wanted = collate_regions([adaptive[number] for number in range(first, 40, 5)])
        torch.testing.assert_close(batch.features, wanted.features, rtol=0, atol=0)
        torch.testing.assert_close(batch.boxes, wanted.boxes, rtol=0, atol=0)
        assert batch.mask.equal(wanted.mask)


def test_a_store_does_without_the_call_that_macos_lacks(adaptive, monkeypatch):
    wanted = adaptive.batch([3, 1]).features
    monkeypatch.delattr(os, "posix_fadvise", raising=False)

    assert adaptive.batch([3, 1]).features.equal(wanted)


def test_h5py_opens_the_stores_own_files_without_a_copy(adaptive, tmp_path):
    export_hdf5(adaptive, tmp_path / "view.hdf5", copy=False)

    with h5py.File(tmp_path / "view.hdf5") as file:
        start, stop = file["pos_boxes"][7]
        np.testing.assert_array_equal(file["image_features"][start:stop], adaptive[7].features.half().numpy())
        np.testing.assert_array_equal(file["image_bb"][start:stop], adaptive[7].boxes.numpy())
    assert (tmp_path / "view.hdf5").stat().st_size < 20_000
    assert {name: regions.count for name, regions in read_features(tmp_path / "view.hdf5")} == {
        name: adaptive.count(name) for name in range(40)
    }


def test_damage_far_from_the_end_is_found_when_a_store_is_reopened(tmp_path):
    with FeatureWriter(tmp_path, 4, "float32") as writer:
        for number in range(300):
            writer.append(number, make_regions(number, 1))
    data = bytearray((tmp_path / "features.bin").read_bytes())
    data[100 * 16 : 101 * 16] = bytes(16)  # a power cut: the rows of image 100 never reached the disk
    (tmp_path / "features.bin").write_bytes(data)

    with FeatureWriter(tmp_path, 4, "float32") as writer:
        assert len(writer) == 100


def test_the_fingerprint_of_an_encoder_sees_every_setting_and_every_weight():
    weights = {"a": torch.zeros(2, 3), "b": torch.ones(2, dtype=torch.int64)}
    others = [
        ({"boxes": 37}, weights), ({"boxes": 36}, weights | {"a": torch.zeros(3, 2)}),
        ({"boxes": 36}, weights | {"b": torch.tensor([1, 2])}), ({"boxes": 36}, {"a": weights["a"]}),
        ({"boxes": 36}, {"a": weights["a"], "c": weights["b"]}), ({"boxes": 36}, weights | {"a": -weights["a"]}),
    ]  # fmt: skip

    one = encoder_fingerprint({"boxes": 36}, weights)

    assert one == encoder_fingerprint({"boxes": 36}, dict(reversed(weights.items())))
    assert one not in {encoder_fingerprint(*other) for other in others}


def test_statistics_of_another_store_are_refused(tmp_path):
    with FeatureWriter(tmp_path, 4, "float32") as writer:
        writer.append(1, make_regions(1))
        writer.finish([1])
    np.save(tmp_path / "statistics.npy", np.zeros((2, 5), "f"))

    with pytest.raises(DataInvalid, match=r"shape is \(2, 5\) instead of \(2, 4\)"):
        FeatureStore.open(tmp_path).verify()
    assert json.loads((tmp_path / "manifest.json").read_text())["images"] == 1
