"""``oceanfill pretrain``: make synthetic seas and train a general network on them, through Lightning."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from ..errors import InputError
from .lightning import find_shipped, run


def pretrain(options: argparse.Namespace) -> None:
    """Make the seas that are missing, and train on them unless only these are asked for."""
    if options.seas_only:
        _make_seas(options)
    else:
        run(make_words(options))


def make_words(options: argparse.Namespace) -> list[str]:
    """Return the words of ``oceanfill fit`` that do what was asked for."""
    words = ["fit", "--config", options.config]
    given = {
        "--data.init_args.seas": options.seas,
        "--data.init_args.n_workers": options.workers,
        "--data.init_args.leave_out": options.leave_out,
        "--data.init_args.folder": options.pool,
        "--data.init_args.start": options.start,
        "--trainer.max_time": None if options.minutes is None else _write_time(options.minutes),
        "--trainer.default_root_dir": options.output,
        "--ckpt_path": "last" if options.resume else None,
    }
    for name, value in given.items():
        if value is not None:
            words += [name, f"[{','.join(value)}]" if isinstance(value, list) else str(value)]
    return [*words, *options.others]


def _make_seas(options: argparse.Namespace) -> None:
    """Make the seas of a configuration without Lightning. Raises `InputError` for one that has none."""
    from ..training.pretraining.module import SeasModule

    path = Path(find_shipped(options.config))
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]["init_args"]
    except (OSError, LookupError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{options.config}: has no data.init_args of seas; see pretrain/base") from error
    given = {
        "seas": options.seas,
        "n_workers": options.workers,
        "leave_out": options.leave_out,
        "folder": options.pool,
    }
    try:
        module = SeasModule(**settings | {name: value for name, value in given.items() if value is not None})
    except TypeError as error:
        raise InputError(f"{options.config}: {error}") from error
    module.prepare_data()


def _write_time(minutes: float) -> str:
    """Write a time as Lightning reads it: days, hours, minutes and seconds."""
    seconds = round(60 * minutes)
    hours, rest = divmod(seconds, 3600)
    days, hours = divmod(hours, 24)
    return f"{days:02d}:{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"
