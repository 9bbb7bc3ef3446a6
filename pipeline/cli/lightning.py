"""``oceanfill fit|validate|test|predict``: training through Lightning's own command line."""

from __future__ import annotations

import logging
import os
import re
from argparse import ArgumentError
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from ..errors import InputError
from ..settings import check_seed
from ..training.checkpoints import Checkpoint, read_checkpoint
from ..training.datamodules import DataModule, FieldModule
from ..training.files.loading import PlainCheckpoints, load_plain
from ..training.files.options import list_foreign
from ..training.tasks import Correction
from ..training.trainer import Recovery, StopOnSignal, silence_lightning
from .options import UsageError

_log = logging.getLogger(__name__)

_WORDS = ("best", "last", "hpc")  # that Lightning takes for a checkpoint's path
_CHECKPOINTS, _CURVES, _CONFIG = "checkpoints", "curves", "config.yaml"  # in the trainer's default_root_dir
_SAVED = "# pytorch_lightning=="  # first words of a configuration that a fit saved
_EXAMPLES = {
    "fit": "example: oceanfill fit --config fill/unet --data.source sst.nc "
    "--trainer.default_root_dir runs/unet",
    **{
        stage: f"example: oceanfill {stage} --config runs/unet/config.yaml --ckpt_path best"
        for stage in ("validate", "test", "predict")
    },
}
_ON = {"validate": "validation", "test": "test"}


class CommandLine(LightningCLI):
    """LightningCLI with checked checkpoints, and with results in words and in files."""

    kept: Checkpoint | None = None

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of all stages, and a field and its correction as the defaults."""
        parser.set_defaults({"model": _describe(Correction), "data": _describe(FieldModule)})
        parser.add_argument(
            "--trust", action="store_true", help="import classes of other packages that a checkpoint names"
        )
        parser.add_argument(
            "--output",
            type=str | None,
            help="NetCDF file or Zarr store of `predict` (default: filled.nc in the "
            "trainer's default_root_dir)",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace the output of an earlier `predict`"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and check a checkpoint before anything that it names is imported."""
        super().parse_arguments(parser, args)
        stage, config = self.config.subcommand, self.config[self.config.subcommand]
        seed = config.get("seed_everything", 0)
        if isinstance(seed, int) and not isinstance(seed, bool):
            check_seed(seed)
        if config.get("weights_only") is False:
            raise InputError(f"{stage} reads checkpoints as plain data only; leave --weights_only out")
        path = config.ckpt_path
        if path is None and stage == "fit" and int(os.environ.get("SLURM_RESTART_COUNT", 0)):
            path = config.ckpt_path = "last"  # a job that was put back into the queue goes on
        if path is None and stage != "fit":
            raise InputError(f"{stage} needs a trained network; give its checkpoint with --ckpt_path")
        if path in _WORDS and (path, stage) != ("last", "fit"):  # a first fit has no last one
            path = config.ckpt_path = str(
                _find_checkpoint(path, Path(config.trainer.default_root_dir or "."))
            )
        if path is not None and path not in _WORDS:
            chosen = list_foreign(config.model.as_dict())
            self.kept = read_checkpoint(path, trust=config.trust, trusted=chosen)

    def instantiate_trainer(self, **options: Any) -> pl.Trainer:
        """Make the trainer. Only a fit is distributed and follows a job scheduler."""
        given = self.config_init[self.subcommand].trainer
        options["plugins"] = [*_as_list(given.plugins), PlainCheckpoints()]
        if self.subcommand != "fit":
            # Of several processes each would score some samples twice and write a part of a file.
            options["plugins"].append(LightningEnvironment())
            options |= {"devices": 1, "num_nodes": 1, "strategy": "auto", "logger": False}
        elif _lacks_srun():
            if given.num_nodes > 1:
                raise InputError(
                    f"trainer.num_nodes: {given.num_nodes} nodes need a process for each device; start the "
                    "command with srun"
                )
            options["plugins"].append(LightningEnvironment())
        if self.subcommand == "fit" and given.logger is None:
            options["logger"] = _make_loggers(given.default_root_dir or ".")
        try:
            trainer = super().instantiate_trainer(**options)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"trainer: {_first_line(error)}") from error
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(Path(trainer.default_root_dir) / _CHECKPOINTS)
        return trainer

    def after_instantiate_classes(self) -> None:
        """Check that the checkpoint belongs to the data."""
        if isinstance(self.datamodule, DataModule):
            self.datamodule.adopt(self.model)
            if self.kept is not None:
                self.datamodule.check(self.config[self.subcommand].ckpt_path, self.kept)

    def before_fit(self) -> None:
        """Set the results of an earlier fit in the same folder aside, and write the configuration there."""
        if not self.trainer.is_global_zero:
            return
        root = self.trainer.default_root_dir
        _set_aside(Path(root), self.config.fit.ckpt_path)
        if not self.config.fit.trainer.fast_dev_run:
            # A job that is put back into the queue meets the configuration of its first run.
            path = _make_folder(root) / _CONFIG
            self._parser("fit").save(self.config.fit, path, skip_none=False, overwrite=True)

    def after_fit(self) -> None:
        """Log where the best checkpoint is, and its score."""
        best = self.trainer.checkpoint_callback
        if (
            not isinstance(best, ModelCheckpoint)
            or not best.best_model_path
            or not self.trainer.is_global_zero
        ):
            return
        path = Path(best.best_model_path)
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        score = best.best_model_score
        if best.monitor is not None and score is None:  # forked and spawned processes hand over the path only
            held = load_plain(path).get("callbacks", {}).get(best.state_key, {})
            score = held.get("best_model_score")
        if score is None:
            _log.info("last checkpoint: %s", path)
        else:
            meaning = f"; {_explain('validation')}" if best.monitor == "held_out" else ""
            _log.info("best checkpoint: %s (%s %.4g%s)", path, best.monitor, score, meaning)

    def after_validate(self) -> None:
        """Log in words whether the network is better than its first guess."""
        score = self.trainer.callback_metrics.get("held_out")
        if score is not None:
            verdict = "better" if score < 1 else "not better"
            _log.info(
                "the network is %s than its first guess: held_out %.4g (%s)",
                verdict,
                float(score),
                _explain(_ON[str(self.subcommand)]),
            )

    after_test = after_validate

    def predict(self, **options: Any) -> None:
        """Fill the data with the network, and write the file."""
        if not isinstance(self.datamodule, DataModule):
            self.trainer.predict(**options)
            return
        from ..io.targets import check_targets, list_paths
        from ..io.writing import check_writable, write_dataset
        from ..jobs.predictions import fill_with

        config = self.config.predict
        output = config.output or str(_make_folder(self.trainer.default_root_dir) / "filled.nc")
        check_writable(output)
        check_targets([output], list_paths([self.datamodule.source]), overwrite=config.overwrite)
        self.datamodule.prepare(self.model, "test")

        def predict(dates: Any) -> Any:
            return self.trainer.predict(self.model, dates, ckpt_path=config.ckpt_path)

        dataset = fill_with(self.model, self.datamodule.data, predict, config.ckpt_path)
        write_dataset(dataset, output)
        _log.info("wrote %s (%s)", output, ", ".join(map(str, dataset.data_vars)))


def run(words: Sequence[str]) -> None:
    """Run a stage of LightningCLI on a task and a data module, by default of a field.

    ``--config`` takes a path or the name of a configuration that ships, as ``fill/unet``. Raises
    `InputError` for options, data and checkpoints that do not fit.
    """
    stage, refusing = words[0], {"exit_on_error": False}
    stop = StopOnSignal(_find_last)

    class OneStage(CommandLine):
        """The command line of one stage: to build the parsers of all takes seconds."""

        @staticmethod
        def subcommands() -> dict[str, set[str]]:
            return {stage: CommandLine.subcommands()[stage]}

    with silence_lightning(), stop.await_requeue() if stage == "fit" else nullcontext():
        try:
            OneStage(
                pl.LightningModule,
                pl.LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                args=[_find_config(word, before) for before, word in zip(["", *words], words, strict=False)],
                parser_kwargs={**refusing, stage: refusing | {"epilog": _EXAMPLES[stage]}},
                save_config_callback=None,
                seed_everything_default=0,
                # 4DVarNet takes gradients when it predicts, which inference mode forbids.
                trainer_defaults={
                    "inference_mode": False,
                    "log_every_n_steps": 10,
                    "callbacks": [Recovery(), stop],
                },
                auto_configure_optimizers=False,
            )
        except ArgumentError as error:
            raise UsageError(_shorten(str(error)), f"oceanfill {stage}") from error
        except MisconfigurationException as error:
            raise InputError(f"trainer: {_first_line(error)}") from error
        except ValueError as error:
            found = _find_input_error(error)
            if found is None:
                raise
            raise InputError(str(found)) from error


def _lacks_srun() -> bool:
    """Whether this process runs in an allocation of SLURM, but is none of the tasks that srun starts.

    Lightning would wait for the other tasks.
    """
    if "SLURM_JOB_ID" not in os.environ or "SLURM_STEP_ID" in os.environ:
        return False
    return not TorchElasticEnvironment.detect() and SLURMEnvironment.detect()


def _find_last(trainer: pl.Trainer) -> Path:
    """Return where a fit that is terminated leaves the checkpoint from which it is taken up again."""
    return Path(trainer.default_root_dir) / _CHECKPOINTS / "last.ckpt"


def _describe(kind: type) -> dict[str, str]:
    return {"class_path": f"{kind.__module__}.{kind.__name__}"}


def _make_folder(path: str) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _find_input_error(error: BaseException | None) -> InputError | None:
    """Return the `InputError` behind an error of jsonargparse, which failed to make a class."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _explain(part: str) -> str:
    fraction = f"RMSE on the {part} values as a fraction of the first guess's"
    return f"{fraction}; below 1 is better than the first guess"


def _shorten(message: str) -> str:
    """Return the keys and the reason in a message of jsonargparse, which lists all types that it tried."""
    keys = re.findall(r"(?:Parser key|Group) [\"']([\w.]+)[\"']", message)
    skipped = ("Does not validate", "Subtypes:", "Errors:", "- Expected a <class 'NoneType'>", "Given value")
    lines = [line.strip() for line in message.splitlines()]
    reason = [line for line in lines if line and not line.startswith(skipped)][-1]
    reason = re.sub(r"^(Parser key|Type) .*?: ", "", reason.removeprefix("- "))
    reason = re.sub(r"\.? Got value: (Namespace|\{).*", "", reason)
    return f"{'.'.join(keys)}: {reason}" if keys else reason


def _make_loggers(root: str) -> list[Logger]:
    """Return the loggers of the curves: a table, and TensorBoard's where it is installed."""
    table = CSVLogger(root, name=_CURVES)
    if find_spec("tensorboard") is None:
        return [table]
    return [table, TensorBoardLogger(root, name=_CURVES, version=table.version)]


def _find_checkpoint(word: str, root: Path) -> Path:
    """Return the checkpoint that a word of Lightning means in the folder of a run."""
    if word == "hpc":
        return max(
            root.glob("hpc_ckpt_*.ckpt"),
            key=lambda path: path.stat().st_mtime,
            default=root / "hpc_ckpt_1.ckpt",
        )
    return root / _CHECKPOINTS / f"{word}.ckpt"


def _set_aside(root: Path, resumed: str | None) -> None:
    """Move the results of an earlier fit to a folder of their own, unless the fit resumes from them.

    Otherwise its best checkpoint would stay next to the new one and could be used by mistake.
    """
    left_by_scheduler = list(root.glob("hpc_ckpt_*.ckpt"))
    if resumed is None:
        resumes = bool(left_by_scheduler) and SLURMEnvironment.detect()
    elif resumed == "last":
        resumes = any(root.glob(f"{_CHECKPOINTS}/last*.ckpt"))
    else:
        resumes = Path(resumed).resolve().is_relative_to(root.resolve())
    earlier = [root / _CHECKPOINTS, root / _CONFIG, root / _CURVES, *left_by_scheduler]
    if earlier[1].exists() and not earlier[1].read_text(encoding="utf-8").startswith(_SAVED):
        raise InputError(
            f"{earlier[1]}: would be replaced, and no fit wrote it; choose another --trainer.default_root_dir"
        )
    if resumes or not earlier[0].exists():
        return
    number = next(k for k in range(len(list(root.iterdir())) + 1) if not (root / f"earlier_{k}").exists())
    target = root / f"earlier_{number}"
    target.mkdir()
    for path in earlier:
        if path.exists():
            path.rename(target / path.name)
    _log.info("moved the earlier fit in %s to %s", root, target)


def _find_config(word: str, before: str) -> str:
    option, equals, value = word.partition("=")
    if before in ("--config", "-c"):
        return find_shipped(word)
    return f"{option}={find_shipped(value)}" if option == "--config" and equals else word


def find_shipped(name: str) -> str:
    """Return the path of a configuration: a file, or the name of one that ships."""
    if Path(name).exists():
        return name
    shipped = files("oceanfill.configs") / (name if name.endswith(".yaml") else f"{name}.yaml")
    return str(shipped) if shipped.is_file() else name
