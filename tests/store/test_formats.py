"""Feature formats: what goes in comes out, and what is damaged is named while the rest is kept."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from updown_lab.errors import ConfigError, DataInvalid, DataMissing
from updown_lab.regions import Regions
from updown_lab.store import folders
from updown_lab.store.convert import convert_features
from updown_lab.store.feature_store import FeatureStore
from updown_lab.store.formats import FORMATS, read_features, recognise, writable, write_features_as
from updown_lab.store.writer import FeatureWriter

SIZE = 5
LABELS = ("classes", "scores", "attributes", "attribute_scores")
NAMES = {"bottom-up-tsv": "a.tsv", "lxmert-tsv": "a.tsv", "ban-hdf5": "a.hdf5", "hengyuan-hdf5": "a36.hdf5",
         "updown-baseline-hdf5": "a.h5", "milvlg-npz": "a", "ruotianluo-npz": "a"}  # fmt: skip


def make_regions(seed: int, count: int = 3, labels: bool = False, size: int = SIZE) -> Regions:
    noise = torch.Generator().manual_seed(seed)
    numbers = torch.randn(count, size, generator=noise) * 10
    boxes = torch.rand(count, 4, generator=noise) * 300
    extra = {}
    if labels:
        classes = torch.randint(0, 1600, (2, count), generator=noise)
        extra = dict(zip(LABELS, (classes[0], numbers[:, 0].sigmoid(), classes[1] % 400, boxes[:, 0] / 300)))
    return Regions(numbers, boxes, (301 + seed % 7, 302 + seed % 5), "demo", **extra)


def write(format: str, items: dict, folder: Path) -> Path:
    path = folder / NAMES[format]
    write_features_as(format, items.items(), path)
    return path


def assert_same(got: Regions, wanted: Regions, size: bool = True):
    torch.testing.assert_close(got.features, wanted.features, rtol=0, atol=0)
    torch.testing.assert_close(got.boxes, wanted.boxes, rtol=0, atol=0)
    assert got.features.dtype == torch.float32
    assert not size or got.image_size == wanted.image_size


def test_every_format_that_is_written_is_tested_here():
    assert sorted(NAMES) == sorted(writable())


text_ids = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n\0/."), min_size=1, max_size=20)
ids = st.lists(
    st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), text_ids.filter(lambda text: not text.lstrip("-").isdecimal())),
    min_size=1, max_size=4, unique_by=str,
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(image_ids=ids, count=st.sampled_from([1, 2, 36, 100]), size=st.sampled_from([1, 3, 64]), seed=st.integers(0, 99))
@pytest.mark.parametrize("format", NAMES)
def test_what_is_written_is_read_back_exactly(tmp_path_factory, format, image_ids, count, size, seed):
    labels = format == "lxmert-tsv"
    wanted = {name: make_regions(seed + row, count, labels, size) for row, name in enumerate(image_ids)}

    path = write(format, wanted, tmp_path_factory.mktemp("a"))
    got = dict(read_features(path))

    assert recognise(path) == format
    assert {(type(name), name) for name in got} == {(type(name), name) for name in wanted}
    for name in wanted:
        assert_same(got[name], wanted[name])
        for label in LABELS if labels else ():
            torch.testing.assert_close(getattr(got[name], label), getattr(wanted[name], label), rtol=0, atol=0)


@pytest.mark.parametrize("format", [name for name in NAMES if name != "hengyuan-hdf5"])
def test_images_may_have_different_numbers_of_regions(tmp_path, format):
    wanted = {row: make_regions(row, count, labels=format == "lxmert-tsv") for row, count in enumerate((1, 100, 10))}

    path = write(format, wanted, tmp_path)

    for name, regions in read_features(path):
        assert_same(regions, wanted[name])


@pytest.mark.parametrize("format", NAMES)
def test_every_format_goes_into_a_store_and_back_to_the_same_regions(tmp_path, format):
    wanted = {name: make_regions(row, 4, labels=True) for row, name in enumerate((7, "text", 9))}
    path = write(format, wanted, tmp_path)

    assert convert_features([path], tmp_path / "store").images == 3
    store = FeatureStore.open(tmp_path / "store")
    (tmp_path / "back").mkdir()
    convert_features([store.path], tmp_path / "back" / NAMES[format], target_format=format)

    store.verify()
    for name, regions in read_features(tmp_path / "back" / NAMES[format]):
        assert_same(regions, wanted[name])
        assert_same(store[name], wanted[name])


@pytest.mark.parametrize("format", NAMES)
def test_extreme_numbers_survive(tmp_path, format):
    features = torch.tensor([[3.4e38, -3.4e38, 1e-45, -0.0, 1 / 3]])
    boxes = torch.tensor([[0.0, 1e-7, 299.99997, 300.0]])
    labels = dict(zip(LABELS, (torch.tensor([0]), torch.tensor([1.0]), torch.tensor([-1]), torch.tensor([0.0]))))

    path = write(format, {5: Regions(features, boxes, (300, 300), "demo", **labels)}, tmp_path)
    [(_, got)] = read_features(path)

    assert got.features.view(torch.int32).tolist() == features.view(torch.int32).tolist()  # -0.0 is not 0.0
    assert got.boxes.tolist() == boxes.tolist()


# What other projects wrote, byte for byte as they do.


def hengyuan_file(path: Path, images: dict, adaptive: bool = False, python2: bool = True) -> Path:
    """As the converters of hengyuan-hu and BAN write it."""
    features = [item.features.numpy() for item in images.values()]
    boxes = [item.boxes.numpy() for item in images.values()]
    spatial = []
    for item in images.values():
        width, height = item.image_size
        x1, y1, x2, y2 = item.boxes.numpy().T
        wide, high = (x2 - x1) / width, (y2 - y1) / height
        left, top = x1 / width, y1 / height
        spatial.append(np.stack([left, top, left + wide, top + high, wide, high], 1))
    join = np.concatenate if adaptive else np.stack
    with h5py.File(path, "w") as file:
        for name, rows in (("image_features", features), ("image_bb", boxes), ("spatial_features", spatial)):
            file.create_dataset(name, data=join(rows).astype("f"))
        if adaptive:
            ends = np.cumsum([0, *map(len, features)])
            file.create_dataset("pos_boxes", data=np.stack([ends[:-1], ends[1:]], 1).astype("int32"))
    table = {name: row for row, name in enumerate(images)}
    data = pickle.dumps(table, protocol=2)
    if python2:  # cPickle, protocol 0, with longs: what Python 2 left us
        lines = "".join(f"sL{name}L\nI{row}\n" for name, row in table.items())
        data = f"(dp1\n{lines[1:]}s.".encode()
    path.with_name(f"{path.stem}_imgid2idx.pkl").write_bytes(data)
    return path


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_vqa_files_of_python_2_days_are_read_with_sizes_from_their_fractions(tmp_path, adaptive):
    wanted = {42: make_regions(1, 6), 7: make_regions(2, 6), 581929: make_regions(3, 6)}

    path = hengyuan_file(tmp_path / "train36.hdf5", wanted, adaptive)

    assert recognise(path) == ("ban-hdf5" if adaptive else "hengyuan-hdf5")
    got = dict(read_features(path))
    assert list(got) == [42, 7, 581929]
    for name in wanted:
        assert_same(got[name], wanted[name])  # 301 x 302 and the like come back from x / (x / W)


def test_a_vqa_file_without_fractions_gets_the_size_that_holds_the_boxes(tmp_path):
    path = hengyuan_file(
        tmp_path / "a.hdf5", {1: Regions(torch.ones(1, 2), torch.tensor([[0, 0, 99.2, 50.0]]), (120, 60), "x")}
    )
    with h5py.File(path, "a") as file:
        del file["spatial_features"]

    [(_, got)] = read_features(path)

    assert got.image_size == (100, 50)


def test_rows_that_ban_left_empty_are_passed_over(tmp_path):
    path = hengyuan_file(tmp_path / "a.hdf5", {1: make_regions(1)}, adaptive=True)
    with h5py.File(path, "a") as file:
        positions = file["pos_boxes"][:]
        del file["pos_boxes"]
        file["pos_boxes"] = np.concatenate([positions, [[0, 0]]]).astype("int32")

    assert [name for name, _ in read_features(path)] == [1]


def test_updown_baseline_files_may_hold_blocks_and_no_boxes(tmp_path):
    wanted = make_regions(1, 36)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image_id"], file["features"] = [9], wanted.features[None].numpy()

    [(name, got)] = read_features(tmp_path / "a.h5")

    assert name == 9 and got.image_size == (1, 1) and got.boxes.tolist() == [[0, 0, 1, 1]] * 36
    torch.testing.assert_close(got.features, wanted.features, rtol=0, atol=0)


def ruotianluo_folders(stem: Path, images: dict, key: str = "feat", boxes: bool = True) -> None:
    """As make_bu_data.py writes them."""
    for part in ("att", "box"):
        Path(f"{stem}_{part}").mkdir(parents=True)
    for name, item in images.items():
        np.savez_compressed(f"{stem}_att/{name}", **{key: item.features.numpy()})
        if boxes:
            np.save(f"{stem}_box/{name}", item.boxes.numpy())
    if not boxes:
        Path(f"{stem}_box").rmdir()


@pytest.mark.parametrize("key", ["feat", "z"])
@pytest.mark.parametrize("name", ["cocobu", "cocobu_att"])
def test_ruotianluos_folders_are_read_with_both_keys(tmp_path, key, name):
    wanted = {42: make_regions(1), "000042": make_regions(2)}
    ruotianluo_folders(tmp_path / "cocobu", wanted, key)

    got = dict(read_features(tmp_path / name))

    assert recognise(tmp_path / name) == "ruotianluo-npz" and set(got) == set(wanted)
    for name, regions in wanted.items():
        assert_same(got[name], regions, size=False)
        assert got[name].image_size == tuple(regions.boxes[:, 2:].amax(0).ceil().int().tolist())


def test_without_boxes_a_region_gets_the_whole_image_and_a_grid_its_cells(tmp_path):
    ruotianluo_folders(tmp_path / "a", {1: make_regions(1, 36)}, boxes=False)
    np.savez(tmp_path / "a_att" / "2.npz", feat=np.arange(2 * 2 * SIZE, dtype="f").reshape(2, 2, SIZE))

    got = dict(read_features(tmp_path / "a"))

    assert got[1].boxes.tolist() == [[0, 0, 1, 1]] * 36 and got[1].image_size == (1, 1)
    assert got[2].boxes.tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
    assert got[2].features[1].tolist() == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("subdir", [False, True])
def test_lmdb_files_are_read_and_their_pickled_notes_are_not_opened(tmp_path, subdir):
    lmdb = pytest.importorskip("lmdb", reason="needs the package lmdb: pip install updown_lab[formats]")
    wanted = {42: make_regions(1), 7: make_regions(2)}
    ruotianluo_folders(tmp_path / "cocobu", wanted)
    for part in ("att", "box"):
        with (lmdb.open(str(tmp_path / f"cocobu_{part}.lmdb"), subdir=subdir, map_size=1 << 24) as base,
              base.begin(write=True) as transaction):  # fmt: skip
            transaction.put(b"__keys__", b"cposix\nsystem\n(S'touch /tmp/owned'\ntR.")
            for file in (tmp_path / f"cocobu_{part}").iterdir():
                transaction.put(file.stem.encode(), file.read_bytes())

    got = dict(read_features(tmp_path / "cocobu_att.lmdb"))

    assert recognise(tmp_path / "cocobu_att.lmdb") == "ruotianluo-lmdb" and set(got) == set(wanted)
    for name in wanted:
        assert_same(got[name], wanted[name], size=False)


def test_lmdb_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    (tmp_path / "a.lmdb").touch()

    with pytest.raises(DataMissing, match=r"pip install 'updown_lab\[formats\]'"):
        list(read_features(tmp_path / "a.lmdb"))


def test_the_pickle_inside_a_milvlg_file_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "owned",)

    wanted = make_regions(1)
    (tmp_path / "feats").mkdir()
    np.savez_compressed(tmp_path / "feats" / "COCO_7.npz", x=wanted.features, bbox=wanted.boxes, num_bbox=3,
                        image_h=wanted.image_size[1], image_w=wanted.image_size[0], info=Bomb())  # fmt: skip

    [(name, got)] = read_features(tmp_path / "feats")

    assert name == "COCO_7" and not (tmp_path / "owned").exists()
    assert_same(got, wanted)


def test_the_authors_grid_table_has_cells_for_boxes(tmp_path):
    one = make_regions(1, 4)
    write_features_as("bottom-up-tsv", [(5, one)], tmp_path / "a.tsv")
    cells = (tmp_path / "a.tsv").read_bytes().split(b"\t")
    cells[4] = b""
    (tmp_path / "a.tsv").write_bytes(b"\t".join(cells))

    [(_, got)] = read_features(tmp_path / "a.tsv")

    width, height = one.image_size
    assert got.boxes[0].tolist() == [0, 0, width / 2, height / 2] and got.boxes[3, 2:].tolist() == [width, height]


# Damage: the entry is named, the rest is kept.


def damaged_hdf5(path: Path, change, adaptive=False) -> Path:
    hengyuan_file(path, {1: make_regions(1), 2: make_regions(2), 3: make_regions(3)}, adaptive)
    with h5py.File(path, "a") as file:
        change(file)
    return path


def set_nan(file):
    file["image_features"][4 if "pos_boxes" in file else 1] = np.nan


def bad_position(file):
    file["pos_boxes"][1] = (3, 1000)


@pytest.mark.parametrize(
    "change, adaptive, reason",
    [(set_nan, False, "not finite"), (set_nan, True, "not finite"), (bad_position, True, "3 to 1000")],
)  # fmt: skip
def test_a_damaged_row_of_an_hdf5_file_is_named(tmp_path, change, adaptive, reason):
    path, problems = damaged_hdf5(tmp_path / "a.hdf5", change, adaptive), []

    assert [name for name, _ in read_features(path, problems=problems)] == [1, 3]
    assert [(item.place, item.image_id) for item in problems] == [("row 1", 2)] and reason in problems[0].reason
    with pytest.raises(DataInvalid, match=rf"a\.hdf5, row 1, image 2: .*{reason}"):
        list(read_features(path))


def test_a_row_that_no_image_claims_is_named(tmp_path):
    path, problems = hengyuan_file(tmp_path / "a.hdf5", {1: make_regions(1), 2: make_regions(2)}), []
    (tmp_path / "a_imgid2idx.pkl").write_bytes(pickle.dumps({1: 0}))

    assert [name for name, _ in read_features(path, problems=problems)] == [1]
    assert str(problems[0]) == f"{path}, row 1: a_imgid2idx.pkl names no image for this row"


@pytest.mark.parametrize(
    "table, message",
    [({1: 0, 2: 7}, "row 7 for image 2"), ({1: 0, 2: 0}, "one row for two images"), ([1, 2], "should hold"),
     ({1.5: 0}, "should hold"), (print, "asks for builtins.print")],
)  # fmt: skip
def test_a_wrong_table_of_rows_is_refused(tmp_path, table, message):
    path = hengyuan_file(tmp_path / "a.hdf5", {1: make_regions(1), 2: make_regions(2)})
    (tmp_path / "a_imgid2idx.pkl").write_bytes(pickle.dumps(table))

    with pytest.raises(DataInvalid, match=message):
        list(read_features(path))


def test_a_missing_table_of_rows_is_named(tmp_path):
    path = hengyuan_file(tmp_path / "a.hdf5", {1: make_regions(1)})
    (tmp_path / "a_imgid2idx.pkl").unlink()

    with pytest.raises(DataMissing, match=r"no file .*a_imgid2idx\.pkl"):
        list(read_features(path))


def test_an_hdf5_file_that_was_cut_off_is_named(tmp_path):
    path = hengyuan_file(tmp_path / "a.hdf5", {1: make_regions(1), 2: make_regions(2)})
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(DataInvalid, match=r"a\.hdf5 is not a readable HDF5 file"):
        list(read_features(path, format="hengyuan-hdf5", problems=[]))


def test_rows_of_updown_baseline_that_do_not_fit_are_named(tmp_path):
    path, problems = write("updown-baseline-hdf5", {row: make_regions(row) for row in range(4)}, tmp_path), []
    with h5py.File(path, "a") as file:
        file["features"][1] = np.zeros(7, "f")
        file["num_boxes"][2] = 0

    assert [name for name, _ in read_features(path, problems=problems)] == [0, 3]
    assert [item.place for item in problems] == ["row 1", "row 2"]


def cut_off(file: Path):
    file.write_bytes(file.read_bytes()[:100])


def flipped(file: Path):
    data = bytearray(file.read_bytes())
    data[data.index(b"NUMPY") + 140] ^= 255
    file.write_bytes(data)


def emptied(file: Path):
    file.write_bytes(b"")


def other_key(file: Path):
    np.savez(file, something=np.ones(3))


def objects(file: Path):
    np.savez(file, feat=np.array([{"a": 1}]), x=np.array([{"a": 1}]), bbox=np.zeros((1, 4)))


def words(file: Path):
    np.savez(file, feat=np.array([["a"]]), x=np.array([["a"]]), bbox=np.zeros((1, 4)))


@pytest.mark.parametrize("damage", [cut_off, flipped, emptied, other_key, objects, words])
@pytest.mark.parametrize("format", ["ruotianluo-npz", "milvlg-npz"])
def test_a_damaged_npz_is_named_and_the_others_are_read(tmp_path, format, damage):
    path, problems = write(format, {row: make_regions(row) for row in range(3)}, tmp_path), []
    file = tmp_path / ("a_att" if format == "ruotianluo-npz" else "a") / "1.npz"
    damage(file)

    assert [name for name, _ in read_features(path, format=format, problems=problems)] == [0, 2]
    assert [(item.file, item.image_id) for item in problems] == [(file, 1)]


def test_a_missing_box_file_is_named(tmp_path):
    path, problems = write("ruotianluo-npz", {1: make_regions(1), 2: make_regions(2)}, tmp_path), []
    (tmp_path / "a_box" / "1.npy").unlink()

    assert [name for name, _ in read_features(path, problems=problems)] == [2]
    assert "1.npy" in problems[0].reason


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("updown_lab.store.tsv.LONGEST_LINE", 1000)
    write_features_as("bottom-up-tsv", [(1, make_regions(1))], tmp_path / "a.tsv")
    good, problems = (tmp_path / "a.tsv").read_bytes(), []
    (tmp_path / "a.tsv").write_bytes(b"9\t1" + b"x" * 5500 + b"\n" + good)

    assert [name for name, _ in read_features(tmp_path / "a.tsv", format="bottom-up-tsv", problems=problems)] == [1]
    assert [(item.place, item.image_id) for item in problems] == [("line 1", 9)] and "longer than" in problems[0].reason


# What a format cannot hold.


def test_a_fixed_layout_refuses_different_numbers_of_regions(tmp_path):
    with pytest.raises(DataInvalid, match=r"image 2 has 4 regions, the first 3: .* ban-hdf5"):
        write("hengyuan-hdf5", {1: make_regions(1, 3), 2: make_regions(2, 4)}, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "format, name",
    [
        ("bottom-up-tsv", "a\tb"), ("bottom-up-tsv", ""), 
        ("ruotianluo-npz", "../up"), ("milvlg-npz", "a/b"), ("ban-hdf5", "a\0")],
)  # fmt: skip
def test_an_id_that_cannot_be_held_is_named_and_the_rest_written(tmp_path, format, name):
    problems = []

    path = tmp_path / NAMES[format]
    write_features_as(format, [(name, make_regions(1)), (2, make_regions(2))], path, problems)

    assert [found for found, _ in read_features(path)] == [2]
    assert [item.image_id for item in problems] == [name]


def test_a_table_has_no_row_for_an_image_without_regions(tmp_path):
    problems = []

    write_features_as("bottom-up-tsv", [(1, make_regions(1, 0)), (2, make_regions(2))], tmp_path / "a.tsv", problems)

    assert "no regions" in problems[0].reason


def test_a_writer_that_fails_leaves_nothing_behind(tmp_path):
    def failing():
        yield 1, make_regions(1, labels=True)
        raise RuntimeError("the lights went out")

    for format, name in NAMES.items():
        with pytest.raises(RuntimeError, match="lights"):
            write_features_as(format, failing(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# The door.


def test_an_unknown_format_or_file_is_said(tmp_path):
    (tmp_path / "words.txt").write_text("hello\n")

    with pytest.raises(ConfigError, match="no format called 'tvs'; known: store, bottom-up-tsv"):
        list(read_features(tmp_path / "words.txt", format="tvs"))
    with pytest.raises(ConfigError, match="ruotianluo-lmdb cannot be written; formats that can: bottom-up-tsv"):
        write_features_as("ruotianluo-lmdb", [], tmp_path / "out")
    with pytest.raises(DataInvalid, match=r"words\.txt is none of the known feature formats"):
        recognise(tmp_path / "words.txt")
    with pytest.raises(DataMissing, match="no file or folder"):
        recognise(tmp_path / "nothing")


def test_a_store_is_read_through_the_same_door(tmp_path):
    wanted = make_regions(1, labels=True)
    with FeatureWriter(tmp_path / "store", SIZE, "float32") as writer:
        writer.append("a", wanted)
        writer.finish()

    [(name, got)] = read_features(tmp_path / "store")

    assert recognise(tmp_path / "store") == "store" and name == "a"
    assert_same(got, wanted)


def test_only_the_wanted_arrays_of_an_npz_are_opened(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(1), info=np.array([{"a": 1}]))

    assert list(folders._arrays(tmp_path / "a.npz", "it", ("x",))) == ["x"]
    assert all(format.describe for format in FORMATS.values())
