"""Features of anybody's pictures: the good ones in the store, the others on a list, and never a crash."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from updown_lab.cli import main
from updown_lab.errors import DataInvalid, DataMissing
from updown_lab.pipeline.extracting import Problem, extract_pictures, find_pictures
from updown_lab.pipeline.eyes import open_eyes
from updown_lab.regions import Regions
from updown_lab.store.entries import coco_number
from updown_lab.store.feature_store import FeatureStore

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "vision")]
from odd_images import make_bad, make_good, save_held, scene, vast_png  # noqa: E402
from toy_eyes import BROKEN, Mean, contents, listed, photos, simple  # noqa: E402
from untrained_run import ATTRIBUTES, OBJECTS, untrained_run  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def eyes(run):
    return open_eyes("regions", run, device="cpu")


# ------------------------------------------------------------------------------------------------ odd files


@pytest.fixture(scope="module")
def odd(tmp_path_factory, run):
    """Every kind of picture and twenty bad files in one folder, extracted by the command line."""
    folder = tmp_path_factory.mktemp("odd")
    good, bad = make_good(folder / "pictures"), make_bad(folder / "pictures")
    place = folder / "store"
    code = main(["extract", str(folder / "pictures"), "--out", str(place), "--run-folder", str(run),
                 "--device", "cpu", "--set", "selection.maximum=4"])  # fmt: skip
    return SimpleNamespace(pictures=folder / "pictures", good=[*good, "twin.jpg"], bad=bad, store=place, code=code)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_good_pictures_are_in_the_store_and_bad_ones_on_the_list(odd):
    store = FeatureStore.open(odd.store)

    assert odd.code == 1
    assert sorted(store.image_ids) == sorted(name.rsplit(".", 1)[0] for name in odd.good)
    assert len(odd.bad) >= 19 and sorted(listed(f"{odd.store}.problems.csv")) == odd.bad
    store.verify(show=False)


def test_every_reason_is_one_readable_sentence(odd):
    reasons = listed(f"{odd.store}.problems.csv")

    for name, reason in reasons.items():
        assert 10 < len(reason) < 250 and "\n" not in reason and "Error" not in reason, name
        assert "<_io" not in reason and str(odd.pictures) not in reason, name
    for name in ("cut-jpg.jpg", "cut-png.png", "cut-webp.webp", "header.jpg", "signature.png"):
        assert reasons[name].startswith("cut off or damaged"), name
    assert reasons["empty.jpg"] == "the file is empty"
    assert "a web page, not an image" in reasons["page.png"]
    assert "20000 x 20000" in reasons["vast.png"] and "shrink it" in reasons["vast.png"]


def test_what_is_stored_is_finite_and_in_pixels_of_the_upright_picture(odd):
    store = FeatureStore.open(odd.store)
    sizes = {"pixel": (1, 1), "line-across": (5000, 1), "line-down": (1, 5000), "sub/deeper/plain-jpg": (60, 40)}
    sizes |= {f"held-{number}": (60, 40) for number in range(1, 9)}

    for image_id in store.image_ids:
        regions = store[image_id]
        limits = torch.tensor(regions.image_size * 2)
        assert regions.image_size == sizes.get(image_id, regions.image_size)
        assert 1 <= regions.count <= 4 and torch.isfinite(regions.features).all()
        assert (regions.boxes >= 0).all() and (regions.boxes <= limits).all(), image_id
        assert (regions.boxes[:, 2:] > regions.boxes[:, :2]).all(), image_id


def test_the_store_remembers_the_names_and_the_command_that_made_it(odd, run):
    manifest = FeatureStore.open(odd.store).manifest

    assert manifest["about"]["objects"] == list(OBJECTS) and manifest["about"]["attributes"] == list(ATTRIBUTES)
    assert manifest["about"]["settings"]["selection"]["maximum"] == 4
    assert manifest["command"] == (
        f"updown-lab extract {odd.pictures} --out {odd.store} --features regions --run-folder {run} "
        "--set selection.maximum=4 --batch 8 --dtype float16"
    )


def test_the_command_in_the_store_has_nothing_left_to_do(odd, capsys):
    before, report = contents(odd.store), Path(f"{odd.store}.problems.csv").read_bytes()

    code = main(FeatureStore.open(odd.store).manifest["command"].split()[1:])

    assert code == 1 and "(0 new)" in capsys.readouterr().out
    assert contents(odd.store) == before and Path(f"{odd.store}.problems.csv").read_bytes() == report


def test_the_screen_shows_twenty_problems_and_says_how_many_more(tmp_path, run, capsys):
    photos(tmp_path / "pictures", [(20, 20)])
    for number in range(23):
        (tmp_path / f"pictures/bad-{number:02}.jpg").write_bytes(BROKEN)

    code = main(["extract", str(tmp_path / "pictures"), "--out", str(tmp_path / "store"), "--run-folder", str(run),
                 "--features", "grid-pretrained-2", "--device", "cpu"])  # fmt: skip

    said = capsys.readouterr()
    assert code == 1 and f"1 pictures in {tmp_path / 'store'} (1 new)" in said.out
    assert f"23 left out, listed in {tmp_path / 'store'}.problems.csv:" in said.err
    assert "bad-19.jpg" in said.err and "bad-20.jpg" not in said.err and "and 3 more" in said.err


def test_a_report_of_an_earlier_try_goes_when_nothing_is_wrong_any_more(tmp_path):
    folder = photos(tmp_path / "pictures", [(20, 20)])
    (folder / "late.jpg").write_bytes(BROKEN)
    first = extract_pictures(folder, tmp_path / "store", simple(Mean()), show=False)
    scene().save(folder / "late.jpg")
    second = extract_pictures(folder, tmp_path / "store", simple(Mean()), show=False)

    assert (first.images, first.fresh, [problem.file for problem in first.problems]) == (1, 1, ["late.jpg"])
    assert (second.images, second.fresh, second.problems, second.report) == (2, 1, [], None)
    assert sorted(os.listdir(tmp_path)) == ["pictures", "store"]


@pytest.mark.parametrize("bad", [{"a.jpg": BROKEN, "b.png": b""}, {"a.jpg": b"words"}])
def test_a_folder_without_one_good_picture_leaves_a_list_and_no_store(tmp_path, bad):
    (tmp_path / "pictures").mkdir()
    for name, content in bad.items():
        (tmp_path / "pictures" / name).write_bytes(content)

    with pytest.raises(DataMissing, match=rf"not one of {len(bad)} pictures .*store\.problems\.csv says why"):
        extract_pictures(tmp_path / "pictures", tmp_path / "store", simple(Mean()), show=False)

    assert sorted(os.listdir(tmp_path)) == ["pictures", "store.problems.csv"]
    assert sorted(listed(tmp_path / "store.problems.csv")) == sorted(bad)


def test_numbers_that_are_not_finite_are_listed_and_not_stored(tmp_path):
    class Blind(Mean):
        def encode(self, images, records=None):
            return [Regions(regions.features.log() if image.mean() == 0 else regions.features, regions.boxes,
                            regions.image_size, "mean")
                    for regions, image in zip(super().encode(images), images)]  # fmt: skip

    folder = photos(tmp_path / "pictures", [(8, 8)])
    Image.new("RGB", (8, 8)).save(folder / "black.png")

    done = extract_pictures(folder, tmp_path / "store", simple(Blind()), show=False)

    assert FeatureStore.open(tmp_path / "store").image_ids == ["00"]
    assert done.problems[0].file == "black.png" and "not finite" in done.problems[0].reason


# ------------------------------------------------------------------------------------------------ names


def test_ids_that_two_files_share_are_listed_and_the_first_file_wins(tmp_path):
    Image.new("RGB", (4, 4), "white").save(tmp_path / "a.png")
    Image.new("RGB", (4, 4), "black").save(tmp_path / "a.jpg")
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "sub" / "a.png")

    done = extract_pictures(tmp_path, tmp_path / "store", simple(Mean()), show=False)

    store = FeatureStore.open(tmp_path / "store")
    assert store.image_ids == ["a", "sub/a"] and store["a"].features[0, 0] < 0.1  # the black one
    assert done.problems == [Problem("a.png", "its id 'a' belongs to a.jpg already; rename one of them")]


def test_coco_numbers_are_numbers_and_other_names_are_listed(tmp_path):
    other = "deep/COCO_train2014_000000000042.jpg"
    for name in ("COCO_val2014_000000000042.jpg", other, "000000000007.png", "cat.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        scene().save(tmp_path / name)

    files, problems = find_pictures(tmp_path, coco_number)

    assert list(files) == [7, 42] and all(type(image_id) is int for image_id in files)
    reasons = dict(problems)
    assert "ends in its number" in reasons["cat.jpg"] and "its id 42 belongs" in reasons[other]


def test_only_what_is_named_like_a_picture_is_looked_at(tmp_path):
    for name in ("a.JPG", "b.webp", "notes.txt", ".hidden.jpg", ".cache/c.jpg", "no-ending", "d.jpg.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    files, problems = find_pictures(tmp_path)

    assert list(files) == ["a", "b"] and problems == []


def test_a_name_that_is_no_text_is_shown_with_question_marks(tmp_path):
    try:
        scene().save(tmp_path / "plain.png")
        os.rename(os.fsencode(tmp_path / "plain.png"), os.fsencode(tmp_path) + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xe9.jpg")).write_bytes(BROKEN)

    done = extract_pictures(tmp_path, tmp_path / "store", simple(Mean()), show=False)

    assert FeatureStore.open(tmp_path / "store").image_ids == ["caf\ufffd"]
    assert list(listed(done.report)) == ["bad\ufffd.jpg"]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.touch()])
def test_a_folder_that_is_none_is_named(tmp_path, make):
    make(tmp_path / "pictures")

    with pytest.raises(DataMissing, match=r"no folder .*pictures"):
        find_pictures(tmp_path / "pictures")


def test_a_folder_without_pictures_is_missing_and_makes_no_store(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/notes.txt").touch()

    with pytest.raises(DataMissing, match=r"no picture in .*\.webp"):
        extract_pictures(tmp_path / "pictures", tmp_path / "store", simple(Mean()), show=False)

    assert not (tmp_path / "store").exists()


# ------------------------------------------------------------------------------------------------ settings


def test_a_store_of_other_settings_is_refused_and_stays_as_it_was(tmp_path, run, capsys):
    photos(tmp_path / "pictures", [(40, 30)])
    call = ["extract", str(tmp_path / "pictures"), "--out", str(tmp_path / "store"), "--run-folder", str(run)]
    assert main(call) == 0
    before = contents(tmp_path / "store")

    for other in (["--set", "selection.maximum=5"], ["--features", "grid-detector-2"], ["--dtype", "float32"]):
        capsys.readouterr()
        assert main([*call, *other]) == 1
        said = capsys.readouterr().err
        assert "error: " in said and "choose another" in said and "Traceback" not in said, other
        assert contents(tmp_path / "store") == before, other


@pytest.mark.parametrize("make", [lambda place: place.touch(), lambda place: photos(place, [(4, 4)])])
def test_a_place_that_is_no_store_is_not_written_to(tmp_path, make):
    photos(tmp_path / "pictures", [(8, 8)])
    make(tmp_path / "store")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(DataInvalid, match="choose"):
        extract_pictures(tmp_path / "pictures", tmp_path / "store", simple(Mean()), show=False)

    assert sorted(tmp_path.rglob("*")) == before


# ------------------------------------------------------------------------------------------------ the same features

SIDE = st.integers(1, 150)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(SIDE, SIDE), min_size=2, max_size=4), st.integers(0, 3))
def test_mixed_sizes_give_the_features_that_each_picture_gives_alone(eyes, tmp_path_factory, sizes, twice):
    folder = tmp_path_factory.mktemp("mixed")
    photos(folder / "pictures", [*sizes, sizes[twice % len(sizes)]])

    stores = []
    for batch in (8, 1):
        extract_pictures(folder / "pictures", folder / f"{batch}", eyes, batch_size=batch, dtype="float32", show=False)
        stores.append(FeatureStore.open(folder / f"{batch}"))

    together, alone = stores
    assert together.image_ids == alone.image_ids
    for image_id in alone.image_ids:
        same_regions(together[image_id], alone[image_id])


def same_regions(one, other):
    """Equal but for rounding; regions of almost the same score may have changed places."""
    assert one.image_size == other.image_size and one.count == other.count
    nearest = torch.cdist(one.boxes, other.boxes).argmin(1)
    torch.testing.assert_close(one.boxes, other.boxes[nearest], rtol=1e-4, atol=1e-3)
    scale = float(other.features.abs().max())
    torch.testing.assert_close(one.features, other.features[nearest], rtol=1e-4, atol=1e-4 * scale)


def test_boxes_of_a_very_large_picture_are_in_its_own_pixels(tmp_path):
    (tmp_path / "pictures").mkdir()
    vast_png(tmp_path / "pictures/vast.png", 6000, 4000)

    extract_pictures(tmp_path / "pictures", tmp_path / "store", simple(Mean()), show=False)

    regions = FeatureStore.open(tmp_path / "store")["vast"]
    assert regions.features[0, 3:].tolist() == [3000, 2000]  # what the network saw
    assert regions.image_size == (6000, 4000) and regions.boxes.tolist() == [[0, 0, 6000, 4000]]


def test_how_a_camera_was_held_makes_no_difference(tmp_path, eyes):
    (tmp_path / "pictures").mkdir()
    for held in range(1, 9):
        save_held(tmp_path / f"pictures/{held}.png", held)

    extract_pictures(tmp_path / "pictures", tmp_path / "store", eyes, dtype="float32", show=False)

    store = FeatureStore.open(tmp_path / "store")
    assert len(store) == 8
    for held in range(2, 9):
        same_regions(store[str(held)], store["1"])
