"""The covariance of the neighbours, in words."""

from oceanfill.pipeline.classical.neighbours import Component, Scales


def test_scales_in_words():
    scales = Scales((Component(4.0, 32.71, 3.554), Component(1.0, 215.4, 0.671)), 0.0049)
    assert scales.describe("degC") == "eddies 32.7 km / 3.55 d, large-scale 215 km / 0.671 d, noise 0.07 degC"
    assert Scales(scales.components[:1], 0.0049).describe() == "32.7 km / 3.55 d, noise 0.07"
