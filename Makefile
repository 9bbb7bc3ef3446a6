# make demo   fill the SST sample, score it, draw it (out/)
# make test   the test suite      make lint   ruff and mypy      make venv   only the set-up
PYTHON ?= python3
BIN = .venv/bin
export MPLBACKEND = Agg

.PHONY: venv demo test lint clean
venv: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: venv
	mkdir -p out
	$(BIN)/oceanfill fill sample_data/sst_clouds.nc -o out/sst_filled.nc --plot out/sst_filled.png
	$(BIN)/oceanfill score out/sst_filled.nc sample_data/sst_clouds_truth.nc

test: venv
	$(BIN)/python -m pytest -n auto --dist loadfile

# mypy cannot follow an editable install's folder mapping, so it checks the installed wheel
lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/mypy && $(BIN)/pip install --quiet --no-deps --target build/mypy .
	cd build/mypy && ../../$(BIN)/mypy --config-file ../../pyproject.toml --python-executable ../../$(BIN)/python -p oceanfill

clean:
	rm -rf .venv build out
