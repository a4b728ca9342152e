"""Drawing what a detector sees, as people type it."""

import torch
from PIL import Image
from untrained_run import untrained_run

from updown_lab.cli import main


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
