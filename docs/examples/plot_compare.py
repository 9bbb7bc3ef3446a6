"""
Compare methods on your own field
=================================

Every method is scored on the same observed values, which are hidden from all of them under the clouds of
other dates.
"""

import matplotlib.pyplot as plt
import xarray as xr

import oceanfill

corner = {"time": slice("2024-04-01", "2024-04-14"), "lat": slice(37.5, 39.3), "lon": slice(-13.5, -11)}
with xr.open_dataset(oceanfill.find_sample("sample:sst_clouds.nc")) as sample:
    clouds = sample.sel(corner).load()
comparison = clouds.oceanfill.compare("sst", "climatology,nearest,linear-time,dineof,oi", quiet=True)
comparison

# %%
# The bars are the RMSE, the lines its 95% interval over dates. Where two intervals overlap widely, this
# field cannot tell which method is better.

table = comparison.table.iloc[::-1]  # the best on top
spread = [table.rmse - table.rmse_low, table.rmse_high - table.rmse]
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
axes.barh(table.index, table.rmse, xerr=spread, color="#56B4E9", ecolor="0.3", capsize=3)
axes.set_xlabel("RMSE on hidden values (°C)")

# %%
# A good error holds 68% of the hidden values within one standard error, and 95% within two.

table[["coverage_1sigma", "coverage_2sigma"]].style.format("{:.0%}")
