"""What is trained, and on which loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from torch import Tensor, nn

from ...models.head import Mixture, read_gaussian
from ...models.losses import Loss, Penalty, average_loss
from ...models.points import Corners, to_points
from ..errors import InputError
from ..settings import LOSSES
from .features import count_channels, find_sea_channel
from .networks import NETWORKS, build_network, import_path
from .patches import blend_patches

_LEARNING_RATE = 3e-3
_WARM_UP = 0.1  # share of the training in which the learning rate rises
_WIDEST = 3000  # inputs of a dense layer, above which its learning rate falls
_BETAS = 0.9, 0.98  # a training of few steps cannot average over a thousand of them


class DescribedTask(pl.LightningModule):
    """A task whose checkpoints describe the data that it was trained on (``trained_on``, plain data)."""

    def __init__(self) -> None:
        super().__init__()
        self.trained_on: dict[str, Any] = {}
        self.epochs: list[dict[str, float]] = []  # what was logged in each epoch of the training

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["trained_on"] = dict(self.trained_on)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.trained_on = dict(checkpoint.get("trained_on", {}))


class Correction(DescribedTask):
    """A network that corrects a first guess and estimates how large the remainder is.

    From the inputs (batch, channels, y, x) of `features.assemble_inputs` it makes two maps of each output, m
    and d: in units of the first guess's standard error the truth is m +- exp(d). The first ``outputs`` of the
    ``variables`` are outputs, whose losses are averaged. ``network`` is a ``class_path`` with
    ``init_args``, to which channels in and out are added. ``loss`` names a loss of hidden values,
    ``penalties`` what is added to it, each times a factor (`models.losses`). With ``saves`` it is as many
    networks, of epochs of one training or of several, whose Gaussians are mixed. A batch may end in the cells
    and weights of points (`models.points.Corners`): then the maps are taken there, before the loss.
    """

    def __init__(
        self,
        network: Callable[[int, int], nn.Module] = NETWORKS["unet"],
        window: int = 5,
        learning_rate: float | None = None,
        weight_decay: float = 1e-4,
        patch: int = 512,
        saves: int = 1,
        loss: str = LOSSES["gaussian"],
        penalties: dict[str, float] | None = None,
        variables: int = 1,
        outputs: int = 1,
    ) -> None:
        """Build the network for ``window`` dates (odd); domains above ``patch`` cells are cut to predict.

        Without a ``learning_rate`` it is the network's own, or 0.003 for one that has none.
        """
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise InputError(f"a window of {window} dates has no middle; ask for an odd number")
        self.save_hyperparameters()
        self.window, self.patch = window, patch
        self.variables, self.outputs = variables, outputs
        self.weight_decay = weight_decay
        # Channels last is a third faster on a processor, and what a GPU's tensor cores ask for.
        seen = count_channels(window, variables)
        network = self.hparams["network"]  # plain data, also where Lightning's command line passes a function
        networks = [build_network(network, seen, 2 * outputs, window, variables) for _ in range(saves)]
        own: float = getattr(networks[0], "learning_rate", _LEARNING_RATE)
        self.learning_rate = own if learning_rate is None else learning_rate
        self.network = nn.utils.convert_conv2d_weight_memory_format(
            networks[0] if saves == 1 else Mixture(networks), torch.channels_last
        )
        self.loss: Loss = import_path(loss)
        self.penalties: list[tuple[Penalty, float]] = [
            (import_path(penalty), factor) for penalty, factor in (penalties or {}).items()
        ]
        # Names of the validation loaders where there are several, and whether each one chooses the epoch.
        self.groups: dict[str, bool] = {}
        self._sums = torch.zeros(1, 2, outputs, dtype=torch.float64)

    @property
    def networks(self) -> list[nn.Module]:
        """Those that are mixed, or the only one."""
        return list(self.network.networks) if isinstance(self.network, Mixture) else [self.network]

    def stages(self, inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(batch, outputs, y, x) m and d of (batch, channels, y, x), of each network of a refinement."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        stages: Callable[[Tensor], list[Tensor]] | None = getattr(self.network, "stages", None)
        said = [self.network(inputs)] if stages is None else stages(inputs)
        return [(mean, log_variance / 2) for mean, log_variance in map(read_gaussian, said)]

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, outputs, y, x) m and d of (batch, channels, y, x)."""
        return self.stages(inputs)[-1]

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        inputs, residual, variance, weight, *at = batch
        if at:
            residual, variance, weight = residual[:, None], variance[:, None], weight[:, None]
        stages = [(correction, 2 * log_error) for correction, log_error in self.stages(inputs)]
        known = [_known(stage, at) for stage in stages]
        apart = zip(*(part.unbind(1) for part in (residual, variance, weight)), strict=True)
        losses = [
            average_loss(
                self.loss, [(mean[:, k], log_variance[:, k]) for mean, log_variance in known], *of_output
            )
            for k, of_output in enumerate(apart)
        ]
        loss = torch.stack(losses).mean()
        for penalty, factor in self.penalties:
            loss = loss + factor * penalty(self.network, *stages[-1])
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._sums = torch.zeros(max(1, len(self.groups)), 2, self.outputs, dtype=torch.float64)

    def validation_step(self, batch: tuple[Tensor, ...], index: int, dataloader_idx: int = 0) -> None:
        inputs, residual, weight, *at = batch
        if at:
            residual, weight = residual[:, None], weight[:, None]
        known = weight > 0
        middle = self.window + self.window // 2  # the first guess's error at the date itself
        log_error = inputs[:, middle :: 2 * self.window][:, : self.outputs]
        correction, error = _known((self(inputs)[0], torch.exp(log_error)), at)
        after, before = (
            (weight * (torch.where(known, left, 0.0) * error) ** 2).transpose(0, 1).flatten(1).sum(1)
            for left in (residual - correction, residual)
        )
        self._sums[dataloader_idx] += torch.stack([after, before]).double().cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the RMSE on held-out values as a share of the first guess's, the mean of outputs and groups.

        Groups that do not choose the epoch are logged, but do not count in the mean.
        """
        after, before = self.trainer.strategy.reduce(self._sums.to(self.device), reduce_op="sum").unbind(1)
        shares = (after / before.clamp(min=1e-12)).sqrt()
        for name, share in zip(self.groups, shares.mean(dim=1), strict=False):
            self.log(f"held_out_{name}", float(share))
        if self.groups:
            chooses = torch.tensor(list(self.groups.values()), device=shares.device)
            shares, before = shares[chooses], before[chooses]
        self.log("held_out", float(shares.sum() / (before > 0).sum().clamp(min=1)), prog_bar=True)

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def predict_step(self, batch: tuple[Tensor, Tensor], index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Dates (batch,), m (batch, outputs, y, x) and exp(d), patch by patch where the domain is large."""
        inputs, dates = batch
        rows, columns = inputs.shape[-2:]

        def estimate(y: slice, x: slice) -> tuple[Tensor, Tensor]:
            if not inputs[:, find_sea_channel(self.window, self.variables), y, x].any():
                nothing = torch.zeros(len(dates), self.outputs, y.stop - y.start, x.stop - x.start)
                return nothing, nothing + 1
            correction, log_error = self(inputs[..., y, x])
            return correction.float().cpu(), torch.exp(2 * log_error).float().cpu()

        overlap = min(self.patch // 4, 64)
        shape = len(dates), self.outputs, rows, columns
        correction, variance = blend_patches(estimate, shape, self.patch, overlap)
        return dates.cpu(), correction, variance.sqrt()

    def configure_optimizers(self) -> Any:
        return make_optimiser(self, self.learning_rate, self.weight_decay)


def _known(maps: tuple[Tensor, Tensor], at: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The maps (batch, outputs, y, x), or those of one output at points, where the batch has their cells."""
    if not at:
        return maps
    one, other = (to_points(part.flatten(1), Corners(*at)) for part in maps)
    return one[:, None], other[:, None]


def group_weights(task: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    """Return the weights of a task in groups with their learning rates, the common one first.

    Adam changes each weight by about the learning rate, whatever the gradient. The changes of the many inputs
    of a dense layer over a whole map add up, and the training diverges unless the rate of its weights is
    inversely proportional to their number (Yang and Hu 2021, arXiv:2011.14522).
    """
    rates = {
        layer.weight: learning_rate * _WIDEST / layer.in_features
        for layer in task.modules()
        if isinstance(layer, nn.Linear) and layer.in_features > _WIDEST
    }
    groups: dict[float, list[nn.Parameter]] = {learning_rate: []}
    for weight in task.parameters():
        groups.setdefault(rates.get(weight, learning_rate), []).append(weight)
    return [{"params": weights, "lr": rate} for rate, weights in groups.items()]


def make_optimiser(task: pl.LightningModule, learning_rate: float, weight_decay: float) -> Any:
    """AdamW; the learning rate rises, then falls along a cosine, by steps or by the time allowed."""
    optimiser = torch.optim.AdamW(
        group_weights(task, learning_rate), lr=learning_rate, betas=_BETAS, weight_decay=weight_decay
    )
    timers = [callback for callback in getattr(task.trainer, "callbacks", []) if isinstance(callback, Timer)]

    def rate(step: int) -> float:
        # Not asked for before the first step: it would make the loaders before their state is restored.
        done = step / max(1, int(task.trainer.estimated_stepping_batches)) if step else 0.0
        for timer in timers:
            left = timer.time_remaining()
            if left is not None:
                done = max(done, timer.time_elapsed() / (timer.time_elapsed() + max(left, 0.0) + 1e-9))
        done = min(done, 1.0)
        if done < _WARM_UP:
            return 0.05 + 0.95 * done / _WARM_UP
        return 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * (done - _WARM_UP) / (1 - _WARM_UP)))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
