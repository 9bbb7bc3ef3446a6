"""Figures of the experiments with digits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from ..figures import make_figure


def draw_images(path: Path, images: Mapping[str, Tensor], count: int = 10) -> None:
    """Draw the first ``count`` images (batch, 1, y, x) of each name in a row, in grey from 0 to 1."""
    figure = make_figure(0.8 * count + 1.6, 0.8 * len(images))
    for axes, (name, batch) in zip(
        figure.subplots(len(images), squeeze=False)[:, 0], images.items(), strict=True
    ):
        # A white line between the images.
        strip = np.concatenate([np.pad(image[0], 1, constant_values=1) for image in batch[:count].numpy()], 1)
        axes.imshow(strip, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], frame_on=False)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(path, dpi=120, bbox_inches="tight")  # long names exceed the figure


def draw_latent_space(path: Path, codes: Mapping[str, Tensor], labels: Tensor) -> None:
    """Draw the first two latent numbers of images for each name, coloured by digit."""
    figure = make_figure(5 * len(codes) + 0.8, 4.6)
    all_axes = figure.subplots(1, len(codes), squeeze=False)[0]
    for axes, (name, code) in zip(all_axes, codes.items(), strict=True):
        points = axes.scatter(
            *code[:, :2].T.numpy(), c=labels.numpy(), s=5, cmap="tab10", vmin=-0.5, vmax=9.5
        )
        axes.set(title=name, xlabel="first latent number", ylabel="second latent number")
    figure.colorbar(points, ax=all_axes, ticks=range(10), label="digit")
    figure.savefig(path, dpi=120)


def draw_learning_curves(path: Path, curves: Mapping[str, list[dict[str, float]]], quantity: str) -> None:
    """Draw the training and validation error of each epoch and mark the epoch that is kept."""
    figure = make_figure(4.5 * len(curves), 3.6)
    for axes, (name, epochs) in zip(
        figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
    ):
        numbers = 1 + np.arange(len(epochs))
        validation = [epoch["error"] for epoch in epochs]
        axes.plot(numbers, [epoch["training_error"] for epoch in epochs], label="training")
        axes.plot(numbers, validation, label="validation")
        axes.axvline(1 + int(np.argmin(validation)), color="0.5", linestyle=":", label="kept")
        axes.set(title=name, xlabel="epoch", ylabel=quantity, yscale="log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def draw_modes(path: Path, patterns: Mapping[str, Tensor], origin: str = "upper") -> None:
    """Draw patterns (count, y, x) of each name, one row per name, each on its own scale around zero.

    ``origin`` is ``upper`` for images and ``lower`` for maps whose first row is the southernmost.
    """
    count = max(len(batch) for batch in patterns.values())
    figure = make_figure(1.3 * count + 1.2, 1.2 * len(patterns))
    for line, (name, batch) in zip(
        figure.subplots(len(patterns), count, squeeze=False), patterns.items(), strict=True
    ):
        for axes, pattern in zip(line, batch.numpy(), strict=True):
            limit = np.abs(pattern).max()
            axes.imshow(pattern, cmap="RdBu_r", vmin=-limit, vmax=limit, origin=origin)
            axes.set(xticks=[], yticks=[], frame_on=False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(path, dpi=120)


def draw_bars(path: Path, groups: Mapping[str, Mapping[str, float]], quantity: str) -> None:
    """Draw a bar for each name within each group."""
    figure = make_figure(6, 3.6)
    axes = figure.subplots()
    names = list(next(iter(groups.values())))
    for number, name in enumerate(names):
        places = np.arange(len(groups)) + 0.8 / len(names) * (number - (len(names) - 1) / 2)
        drawn = axes.bar(places, [group[name] for group in groups.values()], 0.75 / len(names), label=name)
        axes.bar_label(drawn, fmt="%.2f", fontsize="small")
    axes.set(xticks=range(len(groups)), xticklabels=list(groups), ylabel=quantity)
    figure.legend(fontsize="small", loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=120)
