"""What is trained, and on which loss."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from torch import Tensor, nn

from .errors import InputError
from .features import channels
from .patches import mixed

UNET: dict[str, Any] = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [16, 32, 64]}}
_WARM_UP = 0.1  # share of the training in which the learning rate rises
_LEAST_LOG_ERROR, _MOST_LOG_ERROR = -4.0, 4.0


class Correction(pl.LightningModule):
    """A network that corrects a first guess and says how large the remainder is.

    From the inputs (batch, channels, y, x) of `features.inputs` it makes two maps, m and d: in units of the
    first guess's standard error the truth is m +- exp(d). The loss is the Gaussian negative log-likelihood
    (Nix and Weigend 1994, doi:10.1109/ICNN.1994.374138) of hidden values. ``network`` is a ``class_path``
    with ``init_args``; channels in and out are added to them.
    """

    def __init__(
        self,
        network: dict[str, Any] = UNET,
        window: int = 5,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        patch: int = 512,
    ) -> None:
        """Build the network for ``window`` dates (odd); domains above ``patch`` cells are cut to predict."""
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise InputError(f"a window of {window} dates has no middle; ask for an odd number")
        self.save_hyperparameters()
        self.window, self.patch = window, patch
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        # Channels last is a third faster on a processor, and what a GPU's tensor cores ask for.
        self.network = build(network, channels(window), 2).to(memory_format=torch.channels_last)
        self._sums = torch.zeros(3, dtype=torch.float64)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, y, x) m and d of (batch, channels, y, x)."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        correction, log_error = self.network(inputs).unbind(1)
        return correction, log_error.clamp(_LEAST_LOG_ERROR, _MOST_LOG_ERROR)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        inputs, residual, weight = batch
        correction, log_error = self(inputs)
        known = weight > 0
        z = (torch.where(known, residual, 0.0) - correction) * torch.exp(-log_error)
        loss = ((z**2 / 2 + log_error) * weight).sum() / weight.sum().clamp(min=1e-6)
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        inputs, residual, weight = batch
        known = weight > 0
        correction, _ = self(inputs)
        error = torch.exp(inputs[:, self.window + self.window // 2])  # of the first guess at the date itself
        after, before = (
            (weight * (torch.where(known, left, 0.0) * error) ** 2).sum().double().cpu()
            for left in (residual - correction, residual)
        )
        self._sums += torch.stack([after, before])

    def on_validation_epoch_end(self) -> None:
        """Log the RMSE on held-out values as a share of the first guess's."""
        self.log("held_out", float((self._sums[0] / self._sums[1].clamp(min=1e-12)).sqrt()), prog_bar=True)

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def predict_step(self, batch: tuple[Tensor, Tensor], index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Dates (batch,), m (batch, y, x) and exp(d), patch by patch where the domain is large."""
        inputs, dates = batch
        rows, columns = inputs.shape[-2:]

        def estimate(y: slice, x: slice) -> tuple[Tensor, Tensor]:
            correction, log_error = self(inputs[..., y, x])
            return correction.float().cpu(), torch.exp(2 * log_error).float().cpu()

        overlap = min(self.patch // 4, 64)
        correction, variance = mixed(estimate, (len(dates), rows, columns), self.patch, overlap)
        return dates.cpu(), correction, variance.sqrt()

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate rises, then falls along a cosine, by steps or by the time allowed."""
        optimiser = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        timers = [callback for callback in self.trainer.callbacks if isinstance(callback, Timer)]

        def rate(step: int) -> float:
            done = step / steps
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


def build(network: dict[str, Any], inputs: int, outputs: int) -> nn.Module:
    """The module that a ``class_path`` with ``init_args`` names. Raises `InputError` for one that is not."""
    path = str(network.get("class_path", ""))
    module, _, name = path.rpartition(".")
    options = network.get("init_args", {})
    try:
        return getattr(import_module(module), name)(inputs=inputs, outputs=outputs, **options)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(f"network {path!r}: {error}; check its class_path and init_args") from error
