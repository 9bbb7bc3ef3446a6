"""The Gaussian read from a network's channels."""

import math

import pytest
import torch
from oceanfill.models.head import gaussian, zeroed


def test_means_come_first_and_errors_are_held_between_their_bounds():
    channels = torch.tensor([1.0, -20.0, 0.5, -9.0])[None, :, None, None].expand(1, 4, 2, 3)
    mean, log_variance = gaussian(channels)
    assert mean[0, :, 1, 2].tolist() == [1, -20]
    assert log_variance[0, :, 1, 2].tolist() == [1, -8]
    assert gaussian(20 - channels)[1][0, :, 0, 0].tolist() == [8, 8]
    assert gaussian(channels, least_log_error=-5)[1][0, 1, 0, 0] == -2 * math.log(
        1 / math.exp(-5)
    )  # DINCAE 2's


def test_three_channels_are_refused():
    with pytest.raises(ValueError, match="even number"):
        gaussian(torch.zeros(1, 3, 2, 2))


def test_a_layer_at_zero_says_zero():
    assert not zeroed(torch.nn.Conv2d(3, 2, 1))(torch.ones(1, 3, 4, 4)).any()
