"""Lightning's data module of the pool of synthetic seas: ``oceanfill pretrain`` trains with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from ...errors import InputError
from ...simulators.seas.drawing import FAMILIES, draw_sea
from ..checkpoints import load_general
from ..tasks import Correction
from .patches import SeaDates, SeaPatches
from .pool import VALIDATION_SEED, Sea, find_family, list_seas, make_pool, read_sea


class SeasModule(pl.LightningDataModule):
    """Patches of synthetic seas to train on, and whole dates of others to validate on, a loader a family.

    The seas are made in a ``folder`` before the training, as far as they are not there yet. Families that are
    left out are validated on only: they show what the network makes of a sea unlike those it has met. The
    mean over the other families chooses the epoch.
    """

    def __init__(
        self,
        folder: str = "runs/pretrain/seas",
        seas: int = 1000,
        leave_out: Sequence[str] = (),
        n_workers: int = 1,
        patch: int = 64,
        batch: int = 8,
        epoch: int = 2400,
        judged: Sequence[int] = (6, 6),
        seed: int = 0,
        start: str | None = None,
    ) -> None:
        """Train on so many ``seas``, in patches of so many cells, ``epoch`` of them between two validations.

        ``judged`` are the seas of a family to validate on, and their dates. The weights are those of the
        checkpoint ``start`` at first, of a network of the same kind; "shipped" is the one that ships. Raises
        `InputError` for families that do not exist.
        """
        super().__init__()
        unknown = sorted(set(leave_out) - set(FAMILIES))
        if unknown:
            raise InputError(f"no family of seas is called {unknown[0]}; choose of {', '.join(FAMILIES)}")
        self.folder, self.number, self.leave_out, self.n_workers = folder, seas, list(leave_out), n_workers
        self.patch, self.batch, self.epoch, self.judged, self.seed = patch, batch, epoch, judged, seed
        self.start = start
        self.read: dict[Path, Sea | None] = {}  # the seas to train on

    @property
    def families(self) -> list[str]:
        """Those that are trained on."""
        return [name for name in FAMILIES if name not in self.leave_out]

    def prepare_data(self) -> None:
        """Make the seas that are missing in the folder."""
        validation = range(VALIDATION_SEED, VALIDATION_SEED + self.judged[0] * len(FAMILIES))
        for families, seeds in ((self.families, range(self.number)), (list(FAMILIES), validation)):
            make_pool(self.folder, families, seeds, draw_sea, n_workers=self.n_workers, quiet=False)

    def setup(self, stage: str) -> None:
        """Read the seas, and tell the task the names of the families that it is validated on."""
        assert self.trainer is not None  # it calls this
        task = self.trainer.lightning_module
        assert isinstance(task, Correction)
        self.window = task.window
        if self.start is not None and stage == "fit":
            _start_from(task, self.start)
        paths = list_seas(self.folder, validation=True, most=self.judged[0])
        kept = [sea for path in paths if (sea := read_sea(path)) is not None]
        self.held_out = {name: [sea for sea in kept if sea.family == name] for name in FAMILIES}
        task.groups = {name: name in self.families for name, seas in self.held_out.items() if seas}

    def train_dataloader(self) -> DataLoader[Any]:
        """Return patches of the seas in the folder; those that have come since the last call are read."""
        assert self.trainer is not None
        wanted = [
            path for path in list_seas(self.folder, validation=False) if find_family(path) in self.families
        ]
        self.read |= {path: read_sea(path) for path in wanted if path not in self.read}
        seas = [sea for path in wanted if (sea := self.read[path]) is not None]
        if not seas:
            raise InputError(f"{self.folder}: no seas to train on; make some with --seas")
        task = self.trainer.lightning_module
        assert isinstance(task, Correction)
        task.trained_on = describe_seas(self.families, len(seas), self.window)
        return SeaPatches(seas, self.window, self.patch, self.epoch, self.seed).loader(self.batch)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        return [
            DataLoader(SeaDates(seas, self.window, self.judged[1]), batch_size=1)
            for seas in self.held_out.values()
            if seas
        ]

    test_dataloader = val_dataloader


def _start_from(task: Correction, start: str) -> None:
    """Give a task the weights of a checkpoint. Raises `InputError` for those of another network."""
    before = load_general(None if start == "shipped" else start)
    if before.hparams["network"] != task.hparams["network"] or before.window != task.window:
        raise InputError(f"{start}: of another network or window than the configuration; change one of them")
    task.load_state_dict(before.state_dict())


def describe_seas(families: Sequence[str], number: int, window: int) -> dict[str, Any]:
    """Return, as plain data, what a network that is trained on seas needs, and what they were."""
    return {
        "variables": ["anomaly"],
        "units": [""],
        "transforms": ["none"],
        "outputs": 1,
        "first_guess": "oi",
        "window": window,
        "static": "scales",
        "families": list(families),
        "seas": number,
    }
