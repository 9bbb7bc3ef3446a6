"""
Is the error honest?
====================

Prediction intervals at several levels are compared with the temperatures that the clouds hid. An honest 90%
interval holds nine in ten of them.
"""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import oceanfill

LEVELS = (50, 68, 90, 95)
NOISE = 0.07  # °C: of the sample's observations; the truth has none

corner = {"time": slice("2024-04-01", "2024-04-14"), "lat": slice(37.5, 39.3), "lon": slice(-13.5, -11)}
with xr.open_dataset(oceanfill.find_sample("sample:sst_clouds.nc")) as sample:
    clouds = sample.sel(corner).load()
filled = clouds.oceanfill.fill("sst", method="oi", intervals=LEVELS, quiet=True)

# %%
# The intervals are those of a new observation, so the noise of an observation is added to the truth.

with xr.open_dataset(oceanfill.find_sample("sample:sst_clouds_truth.nc")) as sample:
    truth = sample.sst.sel(corner).load()
truth = truth + np.random.default_rng(0).normal(0, NOISE, truth.shape)
hidden = truth.notnull()
share = [
    float(
        ((truth >= filled[f"sst_lower_{level}"]) & (truth <= filled[f"sst_upper_{level}"])).sum()
        / hidden.sum()
    )
    for level in LEVELS
]

figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
axes.plot([40, 100], [40, 100], color="0.6", label="perfect")
axes.plot(LEVELS, [100 * one for one in share], "o-", color="#0072B2", label="optimal interpolation")
axes.set(xlabel="level of the interval (%)", ylabel="hidden values inside (%)", aspect="equal")
axes.legend()

# %%
# Two weeks of a small area are few independent cases. `What the error means <../errors.html>`_ has the
# figures for whole fields.
