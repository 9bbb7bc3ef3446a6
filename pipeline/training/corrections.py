"""Train a correction on masked copies of a field, and apply it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..holdout.scores import rmse
from ..progress import TRAINING, progress
from ..settings import LOSSES, Training
from .data import GapData
from .networks import has_fixed_grid
from .tasks import Correction
from .trainer import History, Saves, ShowEpochs, StopOnSignal, TrainerSettings, train_task

Floats = NDArray[np.float32]
EPOCHS = 10
_MOST_EPOCHS = 20  # of further training
_GENTLE = 3e-4  # learning rate of a network that is trained further
_PATIENCE = 3  # epochs without a better one
_AVERAGED_OVER = 0.05, 100  # share of the training, steps at most


def make_correction(network: Any, data: GapData, how: Training) -> Correction:
    """Return the untrained task of a ``network`` (a class_path with init_args) for the data.

    A network with a fixed grid gets the data's, whose patches then are whole maps. The state of torch's
    random numbers is left as it was found.
    """
    patch = 512
    if has_fixed_grid(network):
        data.patch = patch = max(data.field.sea.shape)
        grid = {"shape": list(data.field.sea.shape)}
        network = network | {"init_args": network["init_args"] | grid}
    with torch.random.fork_rng():
        torch.manual_seed(data.seed)
        return Correction(
            network,
            window=how.window or data.window,
            patch=patch,
            loss=LOSSES.get(how.loss, how.loss),
            variables=len(data.variables),
            outputs=data.outputs,
        )


def train_correction(
    task: Correction,
    data: GapData,
    how: Training,
    stop: StopOnSignal | None = None,
    patience: int | None = None,
) -> Correction:
    """Return the task with the averaged weights of its best epoch, chosen on the validation values.

    With ``patience`` the training ends after so many epochs without a better one.

    With saves it holds the networks of the last epochs, without averaging. With an ensemble it holds networks
    of different seeds, each with dates of its own that choose its epoch and that it is not trained on; no
    member uses held-out values, and all share the time budget. A training that is stopped is the last.
    """
    stop = stop or StopOnSignal()
    task.trained_on = data.describe()
    if how.ensemble is not None:
        alone = replace(how, ensemble=None, time_budget=how.time_budget and how.time_budget / how.ensemble)
        members = []
        for data_of_one in data.make_members(how.ensemble):
            with torch.random.fork_rng():
                torch.manual_seed(data_of_one.seed)
                begun = Correction(**task.hparams)
            members.append(train_correction(begun, data_of_one, alone, stop))
            if stop.asked:
                break
        return _together(task, [network.state_dict() for member in members for network in member.networks])
    kept: deque[dict[str, Tensor]] = deque(maxlen=how.saves)
    epochs = how.epochs or EPOCHS
    share, most = _AVERAGED_OVER
    history = History()
    with progress(TRAINING, 1, data.quiet, TRAINING) as step:
        trained = train_task(
            task,
            data.train_dataloader(),
            data.val_dataloader() if data.validation.any() else None,
            history=history,
            settings=TrainerSettings(
                epochs=epochs,
                # RMSE on the validation values as a fraction of the first guess's.
                monitor="held_out" if data.validation.any() else None,
                patience=patience,
                averaged_over=int(np.clip(share * epochs * len(data.train_dataloader()), 1, most)),
                time_budget=how.time_budget,
                clip=1.0,
                mixed=True,
                seed=data.seed,
                device=data.device,
            ),
            saves=Saves(lambda task: kept.append(_copied(task.network))) if how.saves else None,
            stop=stop,
            show=ShowEpochs(step, how.time_budget, *_score_guess(data), data.first_guess),
        )
    trained.epochs = task.epochs = history.epochs
    data.learned["trained_epochs"] = data.learned.get("trained_epochs", 0) + len(history.epochs)
    if not how.saves:
        return trained
    return _together(task, kept)


def _score_guess(data: GapData) -> tuple[float | None, str]:
    """Return the RMSE of the first guess on the values that choose the epoch, and its units.

    It is None where these are of several variables, or of no hold-out.
    """
    if data.outputs > 1 or data.chosen_on is not None or not data.validation.any():
        return None, ""
    pairs = data.pairs("validation", data.trial_guess, data.trial_error)
    units = str(data.field.source.attrs.get("units", ""))
    units = units if data.field.transform == "none" else f"({data.field.transform} of {units or 'values'})"
    return rmse(pairs.mean, pairs.truth, pairs.weight), units


def finetune_correction(
    task: Correction, data: GapData, minutes: float, stop: StopOnSignal | None = None
) -> Correction | None:
    """Return a copy of a general network that was trained further on the masked copies of a field.

    Its epoch is chosen on the validation values. None where there are too few values to train or to choose
    on.
    """
    data.general, data.window = True, task.window
    if len(data.field.days) < 2 or not data.validation.any():
        return None
    data.setup("fit")
    if not data.masked_inputs:
        return None
    # Hidden values have errors, which the truth that it was trained on before has not.
    own = {"learning_rate": _GENTLE, "loss": LOSSES["gaussian"]}
    tuned = Correction(**dict(task.hparams) | own)
    tuned.load_state_dict(task.state_dict())
    tuned = train_correction(tuned, data, Training(epochs=_MOST_EPOCHS, time_budget=minutes), stop, _PATIENCE)
    tuned.trained_on |= {"finetuned": True}
    return tuned


def _together(task: Correction, states: Sequence[Mapping[str, Tensor]]) -> Correction:
    """Return a task whose networks have the weights ``states``."""
    made = Correction(**(dict(task.hparams) | {"saves": len(states)}))
    for network, state in zip(made.networks, states, strict=True):
        network.load_state_dict(state)
    made.trained_on, made.epochs = task.trained_on, task.epochs
    return made.eval()


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def apply_correction(
    task: Correction, dates: Iterable[Any], guesses: Sequence[tuple[Floats, Floats]], device: str
) -> list[tuple[Floats, Floats]]:
    """Return the guess of each output and its error (time, lat, lon), corrected on the ``dates``."""
    task = task.to(device).eval()
    with torch.no_grad():
        return correct_guesses(
            guesses, (task.predict_step((inputs.to(device), number), 0) for inputs, number in dates)
        )


def correct_guesses(
    guesses: Sequence[tuple[Floats, Floats]], corrections: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> list[tuple[Floats, Floats]]:
    """Return the guess of each output and its error, corrected by the predictions of a `Correction`."""
    corrected = [(guess.copy(), error.copy()) for guess, error in guesses]
    for when, correction, factor in corrections:
        done = when.numpy()
        for output, (mean, sigma) in enumerate(corrected):
            mean[done] += guesses[output][1][done] * correction[:, output].numpy()
            sigma[done] *= factor[:, output].numpy()
    return corrected
