"""Lightning's data modules of fields, along-track points and radial velocities.

``oceanfill fit|validate|test|predict`` reads its data with them. A class of your own follows the same
pattern: open the input, set ``data``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from ..errors import InputError
from ..io.opening import Opening
from ..io.points.gridding import make_grid
from ..io.points.tracks import read_tracks
from ..io.radials import open_radials
from ..settings import choose_device
from .checkpoints import Checkpoint, check_data, check_flow
from .data import GapData
from .heldout import DataSettings
from .tasks import Correction, DescribedTask
from .trackdata import TrackData
from .vector_data import RadialData, RadialSettings
from .vector_tasks import VectorCorrection

Sources = str | list[str]
_PARTS = {"fit": "validation", "validate": "validation", "test": "test"}


class DataModule(pl.LightningDataModule):
    """The loaders of some ``data``, whose window is that of the task."""

    def __init__(self, source: Sources, data: GapData | RadialData) -> None:
        super().__init__()
        self.source = source
        self.name = source if isinstance(source, str) else ", ".join(source)  # in errors
        self.data = data

    def setup(self, stage: str) -> None:
        """Prepare a stage of Lightning's trainer."""
        assert self.trainer is not None  # it calls this
        self.prepare(self.trainer.lightning_module, stage)

    def prepare(self, task: pl.LightningModule, stage: str) -> None:
        """Prepare the data for a stage of a task.

        Raises `InputError` where nothing is held out for the stage, or nothing can be hidden to train on.
        """
        self.adopt(task)
        data = self.data
        if stage in _PARTS and not getattr(data, _PARTS[stage]).any():
            variable = data.describe()["variables"][0]
            raise InputError(
                f"{self.name}: no value of {variable} is held out to {stage} with; give a longer series with "
                "more gaps, or raise data.held_out"
            )
        data.setup(stage)
        if stage == "fit" and not data.masked_inputs:
            raise InputError(f"{self.name}: too few values to train a network on; give a longer series")
        if stage == "fit" and isinstance(task, DescribedTask):
            task.trained_on = data.describe()

    def adopt(self, task: pl.LightningModule) -> None:
        """Take over the window of the task. Raises `InputError` for a task of other data."""
        if isinstance(task, VectorCorrection):
            raise InputError(f"{self.name}: currents need radial velocities; give --data RadialModule")
        self.data.window = getattr(task, "window", self.data.window)

    def check(self, path: str, kept: Checkpoint) -> None:
        """Raise `InputError` for a checkpoint that was trained on data of another kind."""
        assert isinstance(self.data, GapData)
        check_data(path, kept, self.data)
        self.data.general = kept.is_general

    def train_dataloader(self) -> DataLoader[Any]:
        return self.data.train_dataloader()

    def val_dataloader(self) -> DataLoader[Any]:
        return self.data.val_dataloader()

    def test_dataloader(self) -> DataLoader[Any]:
        return self.data.test_dataloader()

    def predict_dataloader(self) -> DataLoader[Any]:
        return self.data.predict_dataloader()


class FieldModule(DataModule):
    """A field on a grid (`GapData`)."""

    def __init__(self, source: Sources, opening: Opening = Opening(), **settings: Any) -> None:
        """Open a file, a list of files, a Zarr store, a glob or a sample; ``settings`` of `DataSettings`."""
        chosen = DataSettings(window=None, **settings)
        chosen = replace(chosen, device=choose_device(chosen.device))
        super().__init__(source, GapData(source, chosen, opening=opening))


class TrackModule(DataModule):
    """Along-track points, on the grid of `io.gridding.make_grid` (`TrackData`)."""

    def __init__(
        self,
        source: Sources,
        grid: float | Sequence[float],
        bounds: Sequence[float],
        opening: Opening = Opening(),
        time_step: float = 1.0,
        mask: str | None = None,
        jitter: float = 0.5,
        **settings: Any,
    ) -> None:
        """Read the points of files; ``settings`` of `DataSettings`."""
        chosen = DataSettings(window=None, **settings)
        chosen = replace(chosen, device=choose_device(chosen.device))
        tracks = read_tracks(source, opening, region=bounds)
        cells = make_grid(
            tracks, grid, bounds, step=time_step, mask=mask, mask_variable=opening.mask_variable
        )
        super().__init__(source, TrackData(tracks, cells, chosen, jitter=jitter))


class RadialModule(DataModule):
    """Radial velocities of coastal radars (`RadialData`), for a `VectorCorrection`."""

    data: RadialData

    def __init__(
        self, source: Sources, radial_direction: str, opening: Opening = Opening(), **settings: Any
    ) -> None:
        """Open the stations' files; ``radial_direction`` is the variable of directions."""
        chosen = RadialSettings(**settings)
        chosen = replace(chosen, device=choose_device(chosen.device))
        super().__init__(source, RadialData(open_radials(source, radial_direction, opening), chosen))

    def adopt(self, task: pl.LightningModule) -> None:
        """Take over window and flow of the task, and give it the stations' directions and the grid."""
        if isinstance(task, Correction):
            raise InputError(
                f"{self.name}: radial velocities need a task of currents; give --model VectorCorrection"
            )
        self.data.window = getattr(task, "window", self.data.window)
        if isinstance(task, VectorCorrection):
            self.data.flow = task.flow
            task.towards, task.grid = self.data.towards[None], self.data.grid

    def check(self, path: str, kept: Checkpoint) -> None:
        """Raise `InputError` for a checkpoint that was trained with another flow or on a field."""
        check_flow(path, kept, self.data)
