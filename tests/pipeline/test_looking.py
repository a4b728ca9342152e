"""Drawing what a detector sees, as people type it."""

import torch
from PIL import Image
from untrained_run import untrained_run

from updown_lab.cli import main
from updown_lab.config import CaptionerConfig, preset
from updown_lab.models.captioner import UpDownCaptioner
from updown_lab.models.imports.caffe import export_caffe
from updown_lab.text import Vocabulary


def test_the_regions_of_a_picture_are_drawn_and_listed(tmp_path, capsys):
    run = untrained_run(tmp_path / "run")
    torch.manual_seed(0)
    Image.fromarray(torch.randint(0, 255, (90, 120, 3)).byte().numpy()).save(tmp_path / "a.png")

    code = main(["look", str(tmp_path / "a.png"), "--run-folder", str(run), "--picture", str(tmp_path / "out.png"),
                 "--top", "3"])  # fmt: skip

    lines = capsys.readouterr().out.splitlines()
    assert not code and len(lines) == 4 and lines[-1].startswith(f"saved {tmp_path / 'out.png'}")
    corners = torch.tensor([[int(number) for number in line.split()[-4:]] for line in lines[:3]])
    assert (corners[:, :2] <= corners[:, 2:]).all() and (corners[:, 2:] <= torch.tensor([120, 90])).all()
    assert Image.open(tmp_path / "out.png").size[0] > 500


def test_a_picture_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["look", str(tmp_path / "no.png")]) == 1

    assert capsys.readouterr().err.strip() == f"error: no picture {tmp_path / 'no.png'}"


def test_a_captioner_that_was_trained_elsewhere_describes_a_picture(tmp_path, capsys):
    run = untrained_run(tmp_path / "run")
    torch.manual_seed(0)
    Image.fromarray(torch.randint(0, 255, (90, 120, 3)).byte().numpy()).save(tmp_path / "a.png")
    words, size = Vocabulary(["cat", "hat", "a"]), preset("tiny").trunk.widths[-1]
    for name, feature_dim in (("fits", size), ("other", size + 1)):
        (tmp_path / name).mkdir()
        model = UpDownCaptioner(CaptionerConfig(12, 10, 8), len(words), feature_dim)
        export_caffe(tmp_path / name / "iter_1.caffemodel.h5", model, words)
    ask = ["describe", str(tmp_path / "a.png"), "--run-folder", str(run), "--captioner"]

    assert not main([*ask, str(tmp_path / "fits"), "--picture", str(tmp_path / "out.png")])

    said = capsys.readouterr()
    assert set(said.out.splitlines()[0].split()) <= {"cat", "hat", "a"} and (tmp_path / "out.png").exists()
    assert main([*ask, str(tmp_path / "other")]) == 1
    assert f"reads {size + 1} numbers a region, but these eyes give {size}" in capsys.readouterr().err


def test_options_of_other_eyes_are_refused_for_a_runs_own_captioner(tmp_path, capsys):
    Image.new("RGB", (90, 120)).save(tmp_path / "a.png")

    assert main(["describe", str(tmp_path / "a.png"), "--device", "cpu"]) == 1

    assert "go with --captioner" in capsys.readouterr().err
