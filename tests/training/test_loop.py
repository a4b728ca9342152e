import os
import signal
import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from updown_lab.config import TrainingConfig
from updown_lab.errors import ConfigError, UpdownError
from updown_lab.training.loop import OPTIMISERS, Batches, fit, learning_rate

STEPS = 7
CFG = TrainingConfig(steps=STEPS, batch_size=4, learning_rate=0.05, schedule="cosine", warmup=0.3, evaluate_every=3)


class Lesson:
    """A small network with everything that a resumed run could forget: dropout, running means, a shuffle."""

    def __init__(self, optimiser="adam", interrupt_at=None, where="before", **changes):
        torch.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
        self.data, self.batches = torch.randn(14, 5), Batches(14, 4, seed=2)
        self.cfg = replace(CFG, optimiser=optimiser, **changes)
        self.interrupt_at, self.where, self.seen = interrupt_at, where, []

    def losses_at(self, step):
        self._perhaps_interrupt(step, "before")
        self.seen.append(step)
        rows = self.data[self.batches.rows(step)]
        losses = {"error": (self.model(rows) - rows.sum(1, keepdim=True)).pow(2).mean(),
                  "size": 0.01 * sum(p.pow(2).sum() for p in self.model.parameters())}  # fmt: skip
        self._perhaps_interrupt(step, "after the forward pass")
        return losses

    def evaluate(self):
        self._perhaps_interrupt(self.seen[-1], "in the evaluation")
        return {"score": -self.model(self.data).pow(2).mean().item()}

    def _perhaps_interrupt(self, step, where):
        if step == self.interrupt_at and where == self.where:
            self.interrupt_at = None
            raise KeyboardInterrupt

    def fit(self, folder, **options):
        return fit(self.model, self.losses_at, self.cfg, folder, seed=5, evaluate=self.evaluate, **options)


def assert_same_weights(first, second):
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize("where", ["before", "after the forward pass", "in the evaluation"])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_an_interrupted_training_ends_with_the_same_weights_and_history(tmp_path, optimiser, where):
    whole = Lesson(optimiser)
    expected = whole.fit(tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        Lesson(optimiser, interrupt_at=5, where=where).fit(tmp_path / "halved", checkpoint_seconds=0.0)
    resumed = Lesson(optimiser)  # a new process knows nothing but the folder
    history = resumed.fit(tmp_path / "halved")

    assert_same_weights(whole.model, resumed.model)
    assert history.equals(expected)
    assert (tmp_path / "halved/history.csv").read_text() == (tmp_path / "whole/history.csv").read_text()
    assert resumed.seen[0] == 5  # it went on from where it was, not from the start


def test_every_resumed_step_in_a_row_of_interrupts_counts_once(tmp_path):
    whole = Lesson("sgd")
    expected = whole.fit(tmp_path / "whole")

    for step in range(STEPS):
        with pytest.raises(KeyboardInterrupt):
            Lesson("sgd", interrupt_at=step).fit(tmp_path / "chopped", checkpoint_seconds=0.0)
    resumed = Lesson("sgd")

    assert resumed.fit(tmp_path / "chopped").equals(expected)
    assert_same_weights(whole.model, resumed.model)


def test_control_c_waits_until_the_step_is_whole_and_then_keeps_it(tmp_path):
    whole, halved = Lesson(), Lesson()
    expected = whole.fit(tmp_path / "whole")
    plain = halved.losses_at

    def pressed(step):
        losses = plain(step)
        if step == 2:  # the third step is followed by a record, which must not be lost either
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    halved.losses_at = pressed
    with pytest.raises(KeyboardInterrupt):
        halved.fit(tmp_path / "halved")  # with the usual twenty seconds between checkpoints
    resumed = Lesson()
    history = resumed.fit(tmp_path / "halved")

    assert halved.seen == [0, 1, 2] and resumed.seen == [3, 4, 5, 6]
    assert_same_weights(whole.model, resumed.model)
    assert history.equals(expected)


def test_training_gives_control_c_back_when_it_ends(tmp_path):
    before = signal.getsignal(signal.SIGINT)

    Lesson().fit(tmp_path)

    assert signal.getsignal(signal.SIGINT) is before


def test_training_works_outside_the_main_thread(tmp_path):
    histories = []
    thread = threading.Thread(target=lambda: histories.append(Lesson().fit(tmp_path)))

    thread.start()
    thread.join()

    assert len(histories) == 1  # signals can be caught in the main thread only; a widget may train in another


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = Lesson()
    expected = first.fit(tmp_path)

    again = Lesson()
    history = again.fit(tmp_path)

    assert again.seen == []
    assert history.equals(expected)
    assert_same_weights(first.model, again.model)


def test_another_seed_draws_other_random_numbers(tmp_path):
    first, second = Lesson(), Lesson()

    fit(first.model, first.losses_at, first.cfg, tmp_path / "5", seed=5)
    fit(second.model, second.losses_at, second.cfg, tmp_path / "6", seed=6)

    assert not torch.equal(first.model[0].weight, second.model[0].weight)  # same batches: only the dropout differs


def test_history_holds_mean_losses_of_each_stretch(tmp_path):
    weight = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(weight.weight)  # loss = step number + 0 * weight

    history = fit(weight, lambda step: {"number": step + weight.weight.sum() * 0}, CFG, tmp_path)

    assert history["step"].tolist() == [3, 6, 7]
    assert history["number"].tolist() == [1.0, 4.0, 6.0]  # means of 0 1 2, of 3 4 5, and of 6 alone


@pytest.mark.parametrize(
    ("schedule", "expected"),
    # warm-up of 20 of 100 steps: 4 % at first, 4 + 96 / 2 = 52 % half-way, all at step 20; then the schedule
    [
        ("constant", [0.04, 0.52, 1.0, 1.0, 1.0]),
        ("linear", [0.04, 0.52, 1.0, 0.5, 0.0125]),  # 40 of 80 steps left; 1 of 80
        ("cosine", [0.04, 0.52, 1.0, 0.5, 0.000385]),  # 1/2 - cos(pi/80)/2
        ("step", [0.04, 0.52, 1.0, 1.0, 0.1]),  # ten times slower from step 92 on
    ],
)
def test_schedules_by_hand(schedule, expected):
    cfg = TrainingConfig(steps=100, learning_rate=2.0, schedule=schedule, warmup=0.2)

    got = [learning_rate(cfg, step) for step in (0, 10, 20, 60, 99)]

    assert got == pytest.approx([2 * share for share in expected], abs=1e-5)


def test_the_optimiser_obeys_the_schedule(tmp_path):
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    cfg = TrainingConfig(
        steps=4, learning_rate=1.0, momentum=0.0, weight_decay=0.0, schedule="linear", evaluate_every=9
    )

    fit(model, lambda step: {"fall": model.weight.sum()}, cfg, tmp_path)

    assert model.weight.item() == pytest.approx(-(1 + 0.75 + 0.5 + 0.25))  # gradient 1, rates 1, 3/4, 1/2, 1/4


def test_gradients_longer_than_the_limit_are_cut(tmp_path):
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    cfg = TrainingConfig(steps=1, learning_rate=1.0, momentum=0.0, weight_decay=0.0, clip_norm=1.0)

    fit(model, lambda step: {"steep": model(torch.tensor([[30.0, 40.0]])).sum()}, cfg, tmp_path)

    torch.testing.assert_close(model.weight.detach(), torch.tensor([[-0.6, -0.8]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_its_name_and_step(tmp_path, bad):
    model = nn.Linear(1, 1)

    def losses_at(step):
        return {"fine": model.weight.sum(), "broken": model.weight.sum() * 0 + (bad if step == 2 else 0.0)}

    with pytest.raises(UpdownError, match=rf"step 2.*'fine': .*'broken': {bad}.*lower learning rate"):
        fit(model, losses_at, CFG, tmp_path)
    assert torch.isfinite(model.weight).all()  # the bad step was not taken


@pytest.mark.parametrize(("keep", "expected"), [("best", 2.0), ("last", 4.0)])
def test_keep_says_which_weights_training_ends_with(tmp_path, keep, expected):
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    cfg = TrainingConfig(steps=4, learning_rate=1.0, momentum=0.0, weight_decay=0.0, schedule="constant",
                         evaluate_every=1, keep=keep)  # fmt: skip

    def rise(step):
        return {"rise": -model.weight.sum()}  # the weight is the number of steps taken

    def evaluate():
        return {"score": -abs(model.weight.item() - 2.2)}  # best at 2

    fit(model, rise, cfg, tmp_path, evaluate=evaluate)

    assert model.weight.item() == expected
    nn.init.zeros_(model.weight)
    fit(model, rise, cfg, tmp_path, evaluate=evaluate)
    assert model.weight.item() == expected  # also when called again after the end


def test_the_best_weights_survive_an_interrupt(tmp_path):
    whole = Lesson(keep="best", evaluate_every=1)
    whole.fit(tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        Lesson(keep="best", evaluate_every=1, interrupt_at=6).fit(tmp_path / "halved", checkpoint_seconds=0.0)
    resumed = Lesson(keep="best", evaluate_every=1)
    resumed.fit(tmp_path / "halved")

    assert_same_weights(whole.model, resumed.model)


def test_evaluation_is_done_in_evaluation_mode_and_training_goes_on_in_training_mode(tmp_path):
    lesson, modes = Lesson(), []
    plain = lesson.losses_at
    lesson.losses_at = lambda step: (modes.append(lesson.model.training), plain(step))[1]
    lesson.evaluate = lambda: (modes.append(lesson.model.training), {"score": 0.0})[1]

    lesson.fit(tmp_path)

    train, evaluate = True, False
    assert modes == [train, train, train, evaluate, train, train, train, evaluate, train, evaluate]
    assert not lesson.model.training


@given(count=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 9), epoch=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_batches_take_every_item_at_most_once_an_epoch_and_leave_out_less_than_a_batch(count, size, seed, epoch):
    batches = Batches(count, size, seed)
    first = epoch * batches.steps_per_epoch

    rows = [row for step in range(first, first + batches.steps_per_epoch) for row in batches.rows(step)]

    assert len(rows) == len(set(rows)) and set(rows) <= set(range(count))
    assert count - len(rows) < min(size, count)


def test_batches_cover_all_items_and_shuffle_anew_each_epoch():
    batches = Batches(12, 4, seed=1)

    epochs = [[row for step in range(3 * e, 3 * e + 3) for row in batches.rows(step)] for e in range(2)]

    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] != epochs[1]


def test_batches_can_be_asked_in_any_order():
    forwards, backwards = Batches(9, 2, seed=1), Batches(9, 2, seed=1)

    there = [forwards.rows(step) for step in range(10)]
    back = [backwards.rows(step) for step in reversed(range(10))]

    assert there == back[::-1]


def test_nothing_to_train_on_is_said_plainly():
    with pytest.raises(UpdownError, match="training split is empty"):
        Batches(0, 4, seed=1)


def test_unknown_optimisers_and_schedules_are_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"optimiser is one of sgd, adam, adamw, adamax, adadelta; got 'adma'"):
        Lesson("adma").fit(tmp_path)
    with pytest.raises(ConfigError, match=r"schedule is one of linear, constant, cosine, step; got 'cosinus'"):
        Lesson(schedule="cosinus").fit(tmp_path)


def test_each_step_has_noise_of_its_own(tmp_path):
    model, drawn = nn.Linear(1, 1), []

    def losses_at(step):
        drawn.append(torch.rand(()).item())
        return {"loss": model.weight.square().sum()}

    fit(model, losses_at, TrainingConfig(steps=5, batch_size=1, evaluate_every=5), tmp_path, seed=3)

    assert len(set(drawn)) == 5


@pytest.mark.parametrize(("patience", "steps"), [(0, 8), (2, 5), (9, 8)])
def test_training_stops_when_nothing_gets_better(tmp_path, patience, steps):
    model, scores = nn.Linear(1, 1), iter([1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 2.0, 2.0])
    cfg = TrainingConfig(steps=8, batch_size=1, evaluate_every=1, patience=patience)
    lesson = lambda step: {"loss": model.weight.square().sum()}  # noqa: E731

    history = fit(model, lesson, cfg, tmp_path, evaluate=lambda: {"score": next(scores)})

    assert len(history) == steps  # the best is the third; two without a better one make five
    assert len(fit(model, lesson, cfg, tmp_path, evaluate=lambda: {"score": 0.0})) == steps  # and it stays stopped
