# Set-up and everyday commands. Each target installs what it needs into its own virtual environment.
PYTHON ?= python3.11
RUNTIME := .venv/runtime
TRAINING := .venv/training

# Images and label maps: <Modality>/<dataset>/<id>.jpg and .png
DATA ?= ../shared/data/train
VAL ?= ../shared/data/val
MINUTES ?= 10
OUT ?= weights/mine

# What the page is built and tested with: npm's own mark of what it has installed, and an environment that is there.
NODE_MODULES := web/node_modules/.package-lock.json
WEB_ENVIRONMENT := $(if $(wildcard $(TRAINING)/installed),$(TRAINING),$(RUNTIME))

.PHONY: help demo test coverage lint container-test web web-wheel web-serve web-test web-parity fuzz lock train-smoke litemedsam finetune clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(RUNTIME)/installed  ## set up the runtime, make phantoms, segment them, leave pictures in demo/overlays
	$(RUNTIME)/bin/python -m training.phantoms --out demo
	$(RUNTIME)/bin/python -m inference -i demo/imgs -o demo/segs --overlay demo/overlays
	@echo "Look at the pictures in demo/overlays; the masks are in demo/segs."

test: $(TRAINING)/installed  ## set up the training side, run all tests
	$(TRAINING)/bin/python -m pytest

coverage: $(TRAINING)/installed  ## all tests, and which lines they reach; tracing lines takes half as long again
	$(TRAINING)/bin/python -m pytest --cov=inference --cov=training

train-smoke: $(TRAINING)/installed  ## all stages of training on 16 real images, on a CPU in minutes; DATA=FOLDER of images and labels
	$(TRAINING)/bin/python -m training.prepare images --in $(DATA) --out datasets/train
	$(TRAINING)/bin/python -m training.smoke --root datasets/train --out runs/smoke

litemedsam: MINUTES = 48
litemedsam: $(TRAINING)/installed  ## LiteMedSAM on one GPU, untrained to weights/litemedsam; DATA=FOLDER VAL=FOLDER MINUTES=48
	$(TRAINING)/bin/python -m training.prepare images --in $(DATA) --out datasets/train --longest-side 288
	$(TRAINING)/bin/python -m training.litemedsam --root datasets/train --val $(VAL) --minutes $(MINUTES)

finetune: $(TRAINING)/installed  ## the light model on your own images with label maps: DATA=FOLDER OUT=weights/mine
	$(TRAINING)/bin/python -m training.finetune $(DATA) --out $(OUT)

lint: $(TRAINING)/installed  ## lint, format check, types of inference/, who may import whom
	$(TRAINING)/bin/ruff check .
	$(TRAINING)/bin/ruff format --check .
	$(TRAINING)/bin/mypy
	$(TRAINING)/bin/lint-imports --no-cache --no-logo

container-test: $(RUNTIME)/installed  ## build the image; the demo and all faults in it, within memory limits (10 minutes)
	$(RUNTIME)/bin/python -m container.test

web: $(WEB_ENVIRONMENT)/installed $(NODE_MODULES)  ## build the page that segments in the browser into web/dist; needs Node.js 20
	$(WEB_ENVIRONMENT)/bin/python -m web.phantoms web/dist/phantoms
	node web/build.mjs

web-wheel: web  ## build the page, and of it web/wheel/qmedsam_page-*.whl, which `qmedsam page` serves
	rm -rf web/build web/wheel
	$(WEB_ENVIRONMENT)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir web/wheel ./web

web-serve: web  ## build the page, and serve it on this machine
	$(WEB_ENVIRONMENT)/bin/python -m inference page

web-test: web $(TRAINING)/installed  ## test the page, in Node.js and in Chromium; real cases where VAL=FOLDER has them
	cd web && npx tsc
	node web/tests/build.mjs
	$(TRAINING)/bin/python -m web.tests.fixtures web/tests/made --val $(VAL)
	PYTHON=$(abspath $(TRAINING)/bin/python) node --test web/tests/built/*.test.mjs

web-parity: web  ## how well the page's masks agree with the runtime's, on all cases of VAL=FOLDER (minutes)
	node web/tests/build.mjs
	$(WEB_ENVIRONMENT)/bin/python -m inference cases $(VAL)/imgs runs/web-parity
	node web/tests/built/parity.mjs $(VAL)/imgs runs/web-parity

fuzz: $(TRAINING)/installed  ## fuzz the case reader, guided by coverage; MINUTES=10
	$(TRAINING)/bin/pip install --quiet --disable-pip-version-check atheris==3.0.0
	$(TRAINING)/bin/python -m tests.support.fuzz_case --minutes $(MINUTES)

lock: $(RUNTIME)/installed  ## after a change of requirements.txt: write requirements.lock
	$(RUNTIME)/bin/python container/lock.py

clean:  ## remove environments and everything made by the commands above
	rm -rf .venv demo runs datasets web/node_modules web/dist web/build web/wheel web/*.egg-info web/tests/built web/tests/made

$(NODE_MODULES): web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

$(RUNTIME)/installed: requirements.lock
	$(PYTHON) -m venv $(RUNTIME)
	$(RUNTIME)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	touch $@

$(TRAINING)/installed: requirements.txt requirements-files.txt requirements-serve.txt training/requirements.txt
	$(PYTHON) -m venv $(TRAINING)
	$(TRAINING)/bin/pip install --quiet --disable-pip-version-check -r training/requirements.txt
	$(TRAINING)/bin/pip install --quiet --disable-pip-version-check --no-deps -e training  # qmedsam-train
	touch $@
