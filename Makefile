# make demo   fill the SST sample, score it, draw it (out/)
# make test   the test suite      make lint   ruff, mypy and the order of imports      make venv   only the set-up
# make docs   the documentation site (docs/site/docs/index.html); a warning or a broken link is an error
PYTHON ?= python3
BIN = .venv/bin
export MPLBACKEND = Agg

.PHONY: venv demo test lint docs clean
venv: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: venv
	mkdir -p out
	$(BIN)/oceanfill fill sample_data/sst_clouds.nc -o out/sst_filled.nc --plot out/sst_filled.png --overwrite
	$(BIN)/oceanfill score out/sst_filled.nc sample_data/sst_clouds_truth.nc

# a process for each core: more threads only wait for each other
test: export OMP_NUM_THREADS = 1
test: venv
	$(BIN)/python -m pytest -n auto --dist loadfile

# mypy and import-linter cannot follow an editable install's folder mapping: they check the installed wheel
lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/wheel build/lib && $(BIN)/pip install --quiet --no-deps --target build/wheel .
	cd build/wheel && ../../$(BIN)/mypy --config-file ../../pyproject.toml --python-executable ../../$(BIN)/python -p oceanfill
	cd build/wheel && ../../$(BIN)/lint-imports ../../pyproject.toml

docs: venv
	$(BIN)/sphinx-build -q -W --keep-going -c docs . docs/site

clean:
	rm -rf .venv build out docs/site docs/gallery
