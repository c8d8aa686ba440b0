# Set-up and everyday commands. Each target installs what it needs into its own virtual environment.
PYTHON ?= python3.11
RUNTIME := .venv/runtime
TRAINING := .venv/training

.PHONY: help demo test lint clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(RUNTIME)/installed  ## set up the runtime, make phantoms, segment them, leave pictures in demo/overlays
	$(RUNTIME)/bin/python -m training.phantoms --out demo
	$(RUNTIME)/bin/python -m inference -i demo/imgs -o demo/segs --overlay demo/overlays
	@echo "Look at the pictures in demo/overlays; the masks are in demo/segs."

test: $(TRAINING)/installed  ## set up the training side, run all tests
	$(TRAINING)/bin/python -m pytest --cov=inference --cov=training

lint: $(TRAINING)/installed  ## lint, format check, types of inference/
	$(TRAINING)/bin/ruff check .
	$(TRAINING)/bin/ruff format --check .
	$(TRAINING)/bin/mypy

clean:  ## remove environments and everything made by the commands above
	rm -rf .venv demo runs

$(RUNTIME)/installed: requirements.txt
	$(PYTHON) -m venv $(RUNTIME)
	$(RUNTIME)/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	touch $@

$(TRAINING)/installed: requirements.txt training/requirements.txt
	$(PYTHON) -m venv $(TRAINING)
	$(TRAINING)/bin/pip install --quiet --disable-pip-version-check -r training/requirements.txt
	touch $@
