"""Messages are written for Python and spelt for the command line."""

from __future__ import annotations

import numpy as np
import pytest
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.cli.spelling import spell_options

import oceanfill


@pytest.mark.parametrize(
    ("python", "command_line"),
    [
        ("choose one with variable=", "choose one with --variable"),
        ("leave out n_workers=, cluster= and cache=", "leave out --workers, --cluster and --cache"),
        ("use transform='none'", "use --transform none"),
        ("give quality='a b'; see", "give --quality 'a b'; see"),
        ("region=(30, 46, -6, 37)", "--region 30,46,-6,37"),
        ("missing_value=(-999,), or missing_value=()", "--missing-value -999, or --missing-value none"),
        ("add trust=True or leave out holdout=False.", "add --trust or leave out --no-holdout."),
        ("grid=0.25, bounds=(30, 46, -6, 37)", "--grid 0.25 --bounds 30,46,-6,37"),
        ("like=FILE or grid=0.25, or fewer", "--like FILE or --grid 0.25, or fewer"),
    ],
)
def test_options_are_spelt_for_the_command_line(python: str, command_line: str) -> None:
    assert spell_options(python) == command_line


@pytest.mark.parametrize("file", ["level=5.nc: no such file", "/a/grid=0.25/x.nc", "model_period=2020.nc"])
def test_names_of_files_stay(file: str) -> None:
    assert spell_options(file) == file


def test_one_error_in_the_words_of_python_and_of_the_command_line(tmp_path, capsys) -> None:
    data = cloudy_dataset(dates=3)
    data["chl"] = data.sst.copy(data=np.abs(data.sst.to_numpy()))
    data.to_netcdf(tmp_path / "in.nc")
    with pytest.raises(oceanfill.InputError, match=r"choose one with variable=$"):
        oceanfill.fill(tmp_path / "in.nc", method="nearest")
    assert main(["fill", str(tmp_path / "in.nc"), "-o", str(tmp_path / "out.nc"), "--method", "nearest"]) == 2
    assert capsys.readouterr().err.endswith("choose one with --variable\n")
