"""Two processes against one: the same batches, weights, history and answers to trouble."""

import sys
import time
from pathlib import Path

import pytest
import torch

from updown_lab.errors import ConfigError, UpdownError
from updown_lab.training import distributed
from updown_lab.training.batches import Batches
from updown_lab.training.distributed import Share

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from together import Lesson, Sentences, launch  # noqa: E402 (the processes find it in the same place)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found, and the folder in which they trained."""
    folder = tmp_path_factory.mktemp("two")
    processes = launch(folder)
    try:
        code = processes[0].wait(timeout=240)  # the second one sleeps at the end
    finally:
        for process in processes:
            process.kill()
            process.wait()
    logs = "\n".join((folder / f"log-{rank}.txt").read_text() for rank in (0, 1))
    assert code == 0, logs
    return [torch.load(folder / f"found-{rank}.pt") for rank in (0, 1)], folder, logs


def assert_close(first, second, atol=1e-6):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(
            first[name], second[name], atol=atol, rtol=0, msg=lambda text, name=name: name + text
        )


def assert_same_history(first, second):
    for name, values in second["history"].items():
        assert first["history"][name] == pytest.approx(values, abs=1e-5), name


def test_two_processes_equal_one_with_the_whole_batch(two, tmp_path):
    whole = Lesson().outcome(tmp_path)  # batch 8 in one piece; each of the two took 4

    for found in two[0]:
        assert_close(found["plain"]["weights"], whole["weights"])
        assert_same_history(found["plain"], whole)
    assert whole["history"]["error"][-1] < whole["history"]["error"][0] / 2  # there was something to learn


def test_two_processes_teach_a_captioner_what_one_with_the_whole_batch_does(two, tmp_path):
    start, whole = Sentences().model.state_dict(), Sentences().weights(tmp_path)

    for found in two[0]:
        assert_close(found["captioner"], whole)
    assert (whole["output.weight"] - start["output.weight"]).abs().max() > 1e-3


def test_two_processes_equal_one_that_takes_the_shares_in_turn_dropout_included(two, tmp_path):
    in_turn = Lesson(dropout=0.5, optimiser="adam", accumulate=2).outcome(tmp_path / "turn")
    in_one = Lesson(dropout=0.5, optimiser="adam").outcome(tmp_path / "one")

    for found in two[0]:
        assert_close(found["dropout"]["weights"], in_turn["weights"])
        assert_same_history(found["dropout"], in_turn)
    difference = (in_turn["weights"]["used.0.weight"] - in_one["weights"]["used.0.weight"]).abs().max()
    assert difference > 1e-3  # whereas an undivided step draws other masks


def test_two_processes_with_two_parts_equal_one_with_four(two, tmp_path):
    four = Lesson(dropout=0.5, accumulate=4).outcome(tmp_path)

    for found in two[0]:
        assert_close(found["parts"]["weights"], four["weights"])
        assert_same_history(found["parts"], four)
        assert found["parts"]["seen"] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


def test_a_signal_to_one_process_stops_both_after_the_same_step_and_resuming_is_exact(two):
    for found in two[0]:
        assert found["stopped"] == ("KeyboardInterrupt: ", [0, 1, 2, 3, 4])  # the step in which it came was finished
        assert found["resumed"]["seen"] == [5, 6]
        assert_close(found["resumed"]["weights"], found["dropout"]["weights"], atol=0.0)
        assert found["resumed"]["history"] == found["dropout"]["history"]


def test_only_the_first_process_writes_and_its_scores_count_for_both(two):
    first, second = two[0]  # in the second one, writing would have failed

    assert first["plain"]["history"]["process"] == second["plain"]["history"]["process"] == [0, 0, 0]
    assert sorted(path.name for path in (two[1] / "plain").iterdir()) == ["checkpoint.pt", "history.csv"]


def test_a_loss_that_breaks_in_one_process_is_told_by_both(two):
    for found in two[0]:
        assert found["broken"].startswith("UpdownError: the loss is not finite at step 2: {'error': nan")


def test_a_batch_that_cannot_be_shared_and_folders_that_differ_are_refused_by_both(two):
    for found in two[0]:
        assert found["odd"].startswith("ConfigError: batch_size 7 is not a multiple of 2 (processes x accumulate)")
        assert "DataInvalid: the processes found different checkpoints, of steps [0, 7]" in found["apart"]
        assert "give a folder that all machines share" in found["apart"]


def test_what_processes_found_comes_back_in_order_and_patience_has_no_end(two):
    for found in two[0]:
        assert found["order"] == [0, 1, 2, 3, 4, 5, 6]
        assert 0.9 < found["waited"] < 60  # while the first one worked alone for a second


def test_a_process_that_waits_for_another_in_vain_says_so_and_ends(two):
    said = (two[1] / "lost-0.txt").read_text()

    assert said.startswith("UpdownError: process 0 of 2 lost the others at step 2: one of them died or hangs")
    assert "goes on from the last checkpoint" in said


def test_nothing_is_printed_but_the_first_process_bar(two):
    assert "Warning" not in two[2] and "Traceback" not in two[2]


# --------------------------------------------------------------------------------------- one process is enough


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_step_equal_the_step_in_one(tmp_path, parts):
    """Exact for means over items, in parts of equal size, without anything drawn at random."""
    whole, split = Lesson(momentum=0.9, clip_norm=0.5), Lesson(momentum=0.9, clip_norm=0.5, accumulate=parts)

    first, second = whole.outcome(tmp_path / "whole"), split.outcome(tmp_path / "split")

    assert_close(first["weights"], second["weights"])
    assert_same_history(first, second)


def test_shares_put_together_are_the_step_and_never_overlap():
    rows = Batches(22, 8, seed=3)

    for step in range(7):
        for of in (1, 2, 4, 8):
            shares = [rows.rows(step, Share(number, of)) for number in range(of)]
            assert [row for each in shares for row in each] == rows.rows(step)


def test_a_step_with_fewer_items_than_shares_is_refused():
    with pytest.raises(ConfigError, match=r"3 items a step cannot be shared by 4 \(processes x accumulate\)"):
        Batches(3, 8, seed=1).rows(0, Share(0, 4))


def test_joining_without_torchrun_does_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    with distributed.joined():
        assert (distributed.processes(), distributed.rank(), distributed.is_first()) == (1, 0, True)


def test_half_an_environment_is_refused_with_the_command_that_sets_it(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)

    message = r"RANK, LOCAL_RANK, .* is not set; start them with: torchrun --nproc"
    with pytest.raises(ConfigError, match=message), distributed.joined():
        pass


def test_errors_of_our_own_are_not_blamed_on_the_others(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(RuntimeError, match="a bug"), distributed.others_needed("at step 1"):
        raise RuntimeError("a bug in the loss")
    lost = pytest.raises(UpdownError, match=r"lost the others at step 1.*\(Connection closed by peer")
    with lost, distributed.others_needed("at step 1"):
        raise RuntimeError("Connection closed by peer [127.0.0.1]")


def test_random_numbers_of_shares_differ_and_those_of_an_undivided_step_are_what_they_always_were():
    seeds = {distributed.step_seed(1, step, Share(number, 8)) for step in range(50) for number in range(8)}

    assert len(seeds) == 400
    assert distributed.step_seed(2, 7, Share()) == 2 * 1_000_003 + 7


def test_waiting_alone_takes_no_time():
    began = time.monotonic()

    distributed.first_alone(lambda: None)

    assert time.monotonic() - began < 1
