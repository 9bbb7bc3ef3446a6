"""The fit of any task, on one number that grows by one a step."""

import logging
import os
import signal
import sys
import time

import pytest
import pytorch_lightning as pl
import rich
import torch
from oceanfill.pipeline.training.trainer import History, Saves, StopOnSignal, TrainerSettings, train_task
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)


class Count(pl.LightningModule):
    """A parameter that each step raises by ``slope``; validation finds how far it is from ``goal``."""

    def __init__(self, goal=3.0, slope=1.0):
        super().__init__()
        self.goal, self.slope = goal, slope
        self.value = nn.Parameter(torch.zeros(()))

    def training_step(self, batch, index):
        return -self.slope * self.value

    def validation_step(self, batch, index):
        distance = (self.value - self.goal).abs()
        self.log_dict({"distance": distance, "nearness": 1 / (1 + distance)})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1.0)


class Noisy(Count):
    """Its steps depend on the order of the batches and on noise."""

    def training_step(self, batch, index):
        return -self.value * (batch[0].mean() * (index + 1) + torch.randn(()))


def batches(steps=1, shuffle=False):
    return DataLoader(TensorDataset(torch.arange(float(steps))), 1, shuffle=shuffle)


def train(task, *loaders, history=None, saves=None, **settings):
    return train_task(task, *loaders, settings=TrainerSettings(**settings), history=history, saves=saves)


@pytest.mark.parametrize(("monitor", "mode"), [("distance", "min"), ("nearness", "max")])
def test_the_best_epoch_is_kept(monitor, mode):
    history = History()
    task = train(Count(), batches(), batches(), epochs=6, monitor=monitor, mode=mode, history=history)
    assert task.value.item() == 3
    assert [epoch["distance"] for epoch in history.epochs] == [2, 1, 0, 1, 2, 3]
    assert not task.training


def test_without_a_value_to_choose_by_the_last_epoch_is_kept():
    assert train(Count(), batches(2), epochs=3).value.item() == 6
    history = History()
    assert train(Count(), batches(), batches(), epochs=5, history=history).value.item() == 5
    assert [epoch["distance"] for epoch in history.epochs] == [2, 1, 0, 1, 2]


def test_patience_ends_the_training_and_the_best_epoch_is_still_kept():
    history = History()
    task = train(Count(), batches(), batches(), epochs=50, monitor="distance", patience=2, history=history)
    assert len(history.epochs) == 5
    assert task.value.item() == 3


def test_the_gradient_is_clipped():
    assert train(Count(slope=100.0), batches(), epochs=3, clip=1.0).value.item() == pytest.approx(3, abs=1e-3)


def test_weights_are_averaged_exponentially_and_validated_so():
    """With 1, 2, 3, 4 and a decay of a half: 1, 1.5, 2.25, 3.125."""
    history = History()
    task = train(
        Count(goal=10.0), batches(), batches(), epochs=4, averaged_over=2, monitor="distance", history=history
    )
    assert task.value.item() == 3.125
    assert [10 - epoch["distance"] for epoch in history.epochs] == [1, 1.5, 2.25, 3.125]


def test_saves_are_of_the_epochs_asked_for_as_they_were():
    """Every third epoch from the second; averaging of weights does not touch them."""
    kept = []
    saves = Saves(lambda task: kept.append(task.value.item()), every=3, first=2)
    train(Count(), batches(), batches(), epochs=9, monitor="distance", averaged_over=4, saves=saves)
    assert kept == [2, 5, 8]


def test_the_same_seed_repeats_the_training_and_another_does_not():
    values = [
        train(Noisy(), batches(20, shuffle=True), epochs=2, seed=seed).value.item() for seed in (4, 4, 5)
    ]
    assert values[0] == values[1]
    assert values[0] != values[2]


def test_random_numbers_go_on_as_if_nothing_had_been_trained():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(Noisy(), batches(5, shuffle=True), epochs=2, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_the_time_allowed_ends_the_training():
    history = History()
    start = time.perf_counter()
    train(Count(), batches(), epochs=1_000_000, time_budget=0.005, history=history)
    assert 0.3 <= time.perf_counter() - start < 10
    assert len(history.epochs) > 1


ALLOCATION = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "fill",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NNODES": "1",
    "SLURM_NODELIST": "node1",
}


@pytest.mark.parametrize("allocation", [{}, ALLOCATION], ids=["srun on the path", "in an allocation"])
def test_a_job_scheduler_is_not_looked_at(tmp_path, monkeypatch, capfd, caplog, recwarn, allocation):
    """Neither the tasks of an allocation nor the checkpoint of a requeued job change the training."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    for name, value in allocation.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}}, "hpc_ckpt_1.ckpt")
    with caplog.at_level(logging.INFO):
        task = train(Count(), batches(), batches(), epochs=4, monitor="distance")
    assert task.value.item() == 3
    assert [record.name for record in caplog.records] == ["oceanfill.pipeline.training.trainer"]
    assert "".join(capfd.readouterr()) == ""
    assert not recwarn.list


def test_it_is_quiet_but_for_a_line_in_the_log(capfd, caplog):
    level = logging.getLogger("pytorch_lightning").level
    with caplog.at_level(logging.INFO, "oceanfill"):
        train(Count(), batches(), batches(), epochs=4, monitor="distance")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("oceanfill")] == [
        "trained 4 epochs; best epoch 3, distance 0.000"
    ]
    assert "".join(capfd.readouterr()) == ""
    assert logging.getLogger("pytorch_lightning").level == level


def test_a_progress_bar_leaves_the_console_of_the_process_as_it_was(capfd):
    assert not rich.get_console().stderr
    train(Count(), batches(), epochs=1, quiet=False)
    rich.print("after")
    assert capfd.readouterr().out == "after\n"


class Diverging(Count):
    """Its loss is not a number in some steps, counted from one."""

    def __init__(self, bad, constant=False, **options):
        super().__init__(**options)
        self.bad, self.constant, self.step = bad, constant, 0

    def training_step(self, batch, index):
        self.step += 1
        wrong = float("nan") if self.step in self.bad else 0.0
        loss = -self.value
        return loss + wrong if self.constant else loss * (1 + wrong)


@pytest.mark.parametrize("constant", [False, True], ids=["in the gradient", "in the loss alone"])
def test_a_loss_that_is_not_a_number_leads_back_to_the_last_good_epoch(caplog, constant):
    """Two steps an epoch: 2, 4, then one step more, back to 4 with a rate of 0.3, and 4.6 at the end."""
    kept = []
    saves = Saves(lambda task: kept.append(round(task.value.item(), 4)))
    task = Diverging({6}, constant, goal=4.9)
    with caplog.at_level(logging.INFO, "oceanfill"):
        train(task, batches(2), batches(), epochs=4, monitor="distance", saves=saves)
    assert kept == [2, 4, 4, 4.6]
    assert task.value.item() == pytest.approx(4.6)
    assert caplog.messages[0] == (
        "the loss is not finite in epoch 3; the training goes on from the weights of epoch 2 with 0.3 of its "
        "learning rate"
    )


def test_a_training_that_diverges_again_and_again_ends_at_the_last_good_epoch(caplog):
    history = History()
    task = train(
        Diverging(set(range(3, 99))),
        *(batches(2), batches()),
        epochs=50,
        monitor="distance",
        averaged_over=2,
        history=history,
    )
    assert len(history.epochs) == 3
    assert task.value.item() == 2 - 0.5**5, "1 and 1.5, and then 2 in four steps that are not taken"
    assert all(epoch["distance"] == epoch["distance"] for epoch in history.epochs)
    assert caplog.messages[-1].startswith("the loss is not finite again; the training ends with the weights")


class Interrupting(Count):
    """It sends a signal in each of some steps, counted from one."""

    def __init__(self, steps, **options):
        super().__init__(**options)
        self.steps, self.step = steps, 0

    def training_step(self, batch, index):
        self.step += 1
        for _ in range(self.steps.count(self.step)):
            os.kill(os.getpid(), signal.SIGINT)
        return super().training_step(batch, index)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
def test_an_interrupt_ends_the_training_after_the_step_and_the_best_epoch_is_used(caplog):
    handler, stop = signal.getsignal(signal.SIGINT), StopOnSignal()
    task = train_task(
        Interrupting([8], goal=3.0),
        *(batches(3), batches()),
        settings=TrainerSettings(epochs=1000, monitor="distance"),
        stop=stop,
    )
    assert task.step == 8
    assert task.value.item() == 3, "the first epoch"
    assert stop.asked == signal.SIGINT
    assert caplog.messages == ["stopping now; the best network so far is used; press Ctrl-C again to abandon"]
    assert signal.getsignal(signal.SIGINT) is handler
    near = train(Interrupting([8], goal=8.0), batches(3), batches(), epochs=1000, monitor="distance")
    assert near.value.item() == 8, "the steps of the epoch that was not finished are validated too"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
def test_a_second_interrupt_abandons_the_training():
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as end:
        train(Interrupting([2, 2]), batches(3), batches(), epochs=9, monitor="distance")
    assert isinstance(end.value.__context__, KeyboardInterrupt)
    assert signal.getsignal(signal.SIGINT) is handler
