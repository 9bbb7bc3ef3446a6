"""Degradations, scores and restorations of digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.pipeline.experiments.mnist.digits import load_digits
from oceanfill.pipeline.experiments.mnist.restoration import (
    add_noise,
    coarsen,
    hide_pixels,
    hide_square,
    score_images,
)
from oceanfill.pipeline.experiments.mnist.tasks import Restoration, build_image_network
from shipped import run_shipped
from torch.nn.functional import interpolate

torch.set_num_threads(1)

UNET = "--network.init_args.widths [8,16]"


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def compute_psnr(images, truth):
    return -10 * np.log10(((images.clamp(0, 1) - truth) ** 2).double().mean().item())


def test_noise_has_the_standard_deviation_and_no_mean():
    images = torch.rand(40, 1, 28, 28, generator=rng())
    noise = add_noise(images, 0.5, rng(1)) - images
    assert noise.std().item() == pytest.approx(0.5, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.012)  # four standard errors


def test_hidden_pixels_leave_no_trace():
    images = torch.rand(40, 1, 28, 28, generator=rng())
    inputs = hide_pixels(images, 0.75, rng(1))
    known = inputs[:, 1:] > 0
    assert known.float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(inputs[:, :1][known], images[known])
    assert not inputs[:, :1][~known].any()
    assert torch.equal(hide_pixels(torch.where(known, images, 7.0), 0.75, rng(1)), inputs)


def test_a_square_is_hidden_anywhere_inside():
    inputs = hide_square(torch.ones(500, 1, 10, 9), 4, rng())
    hidden = inputs[:, 1] == 0
    assert torch.equal(hidden.sum((1, 2)), torch.full((500,), 16))
    assert torch.equal(hidden.any(1).sum(1), torch.full((500,), 4))
    tops, lefts = hidden.any(2).int().argmax(1), hidden.any(1).int().argmax(1)
    assert sorted(set(tops.tolist())) == list(range(7))
    assert sorted(set(lefts.tolist())) == list(range(6))


def test_coarsening_keeps_a_slope_and_averages_stripes():
    slope = torch.arange(28.0).expand(1, 1, 28, 28)
    # torch's cubic kernel (a = -0.75) follows a slope to a sixth of a pixel's step.
    torch.testing.assert_close(
        coarsen(slope, 4)[..., 10:18, 10:18], slope[..., 10:18, 10:18], rtol=0, atol=1 / 6
    )
    stripes = torch.zeros(1, 1, 28, 28)
    stripes[..., ::2] = 1
    torch.testing.assert_close(coarsen(stripes, 4), torch.full_like(stripes, 0.5))


def test_scores_are_of_clipped_images():
    truth = torch.zeros(2, 1, 28, 28)
    truth[0, 0, 5:9] = 1
    off = truth.clone()
    off[1] = 0.2  # a mean square of 0.02 over both
    assert score_images(off, truth)[0] == pytest.approx(10 * np.log10(1 / 0.02), rel=1e-6)
    assert score_images(truth * 3, truth)[1] == pytest.approx(1)


def test_a_network_denoises_better_than_principal_components(tmp_path):
    found = run_shipped(
        "mnist-denoise", tmp_path, f"{UNET} --training 300 --epochs 5 --batch 10 --learning_rate 0.005"
    )
    test = load_digits().test.images
    noisy = test + 0.5 * torch.randn(test.shape, generator=rng(1))
    assert found["noise: input, PSNR (dB)"].value == pytest.approx(compute_psnr(noisy, test), abs=1e-3)
    assert found["noise: PCA, PSNR (dB)"].value > found["noise: input, PSNR (dB)"].value + 6
    gain = found["noise: network minus PCA, PSNR (dB)"]
    assert gain.value > 0.8
    assert (gain.at_least, gain.at_most, gain.reference) == (0, None, None)
    assert gain.value == found["noise: network, PSNR (dB)"].value - found["noise: PCA, PSNR (dB)"].value


def test_networks_and_principal_components_fill_gaps(tmp_path):
    found = run_shipped(
        "mnist-interpolate",
        tmp_path,
        f"{UNET} --training 160 --epochs 1 --batch 4 --learning_rate 0.005 --iterations 1",
    )
    test = load_digits().test.images
    inputs = {"pixels": hide_pixels(test, 0.75, rng(1)), "square": hide_square(test, 12, rng(1))}
    for kind, degraded in inputs.items():
        psnr = found[f"{kind}: input, PSNR (dB)"].value
        assert psnr == pytest.approx(compute_psnr(degraded[:, :1], test), abs=1e-3)
        for method in ("PCA", "network", "4DVarNet, PCA prior", "4DVarNet, auto-encoder prior"):
            assert found[f"{kind}: {method}, PSNR (dB)"].value > psnr + 1.5, method
    assert {path.name for path in tmp_path.glob("*.p*")} == {
        "pixels.png", "pixels.pt", "square.png", "square.pt"
    }  # fmt: skip


def test_a_network_enlarges_better_than_bicubic_interpolation(tmp_path):
    found = run_shipped(
        "mnist-superresolve", tmp_path, f"{UNET} --training 200 --epochs 3 --batch 10 --learning_rate 0.005"
    )
    test = load_digits().test.images
    coarse = test.unflatten(-1, (7, 4)).unflatten(-3, (7, 4)).mean((-1, -3))
    bicubic = interpolate(coarse, size=(28, 28), mode="bicubic", align_corners=False)
    psnr = found["coarse: bicubic, PSNR (dB)"].value
    assert psnr == pytest.approx(compute_psnr(bicubic, test), abs=1e-3)
    assert found["coarse: network minus bicubic, PSNR (dB)"].value > 1.5

    saved = torch.load(tmp_path / "coarse.pt", weights_only=True)
    task = Restoration(build_image_network(saved["options"], 1, 0), 0.0).eval()
    task.network.load_state_dict(saved["state_dict"])
    with torch.no_grad():
        psnr, ssim = score_images(task(coarsen(test, 4)), test)
    assert found["coarse: network, PSNR (dB)"].value == pytest.approx(psnr, abs=1e-4)
    assert found["coarse: network, SSIM"].value == pytest.approx(ssim, abs=1e-5)
