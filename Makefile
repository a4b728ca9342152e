# The verbs people type. `make quickstart` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/quickstart
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c ci/constraints.txt

.PHONY: help quickstart bundle real ablation coursework coursework-test notebooks docs test test-browser faults test-slow
.PHONY: test-real lint bench lab clean
help:                ## say what can be typed
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 16

quickstart: $(VENV)/.installed   ## the whole pipeline on the generated world (minutes, no download of data)
	$(BIN)/python -m updown_lab quickstart --out $(OUT)

bundle: $(VENV)/.installed       ## make the demo's models anew: train in runs/bundle, pack into updown_lab/bundle
	$(BIN)/python -m updown_lab quickstart --preset tiny --seed 1 --out runs/bundle
	$(BIN)/python -m updown_lab bundle --run runs/bundle --out updown_lab/bundle --commit "$$(git rev-parse HEAD)"

real: $(VENV)/.imagenet          ## the whole pipeline on real photographs: make real DATA=folder
	@test -n "$(DATA)" || { echo "say where the photos are: make real DATA=folder (see data/README.md)"; exit 2; }
	$(BIN)/python -m updown_lab real --data "$(DATA)"

ablation: $(VENV)/.installed     ## Tables 1 and 4 over five seeds: which findings hold (under an hour)
	$(BIN)/python -m updown_lab ablate table1 table4 --seeds 5 --out runs/ablation

test: $(VENV)/.tests             ## all short tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.tests        ## the tests that take minutes: interrupted and resumed runs
	$(BIN)/python -m pytest -m slow

faults: $(VENV)/.tests           ## break the code on purpose: every planted fault must turn a test red
	$(BIN)/python -m pytest -m slow tests/test_planted_faults.py

test-real: $(VENV)/.tests        ## the tests on real data (UPDOWN_REAL_DATA)
	$(BIN)/python -m pytest tests/real

test-browser: $(VENV)/.lab       ## the widgets in JupyterLab and Chromium; pictures in runs/browser
	$(BIN)/python -m pytest tests/widgets tests/browser

notebooks: $(VENV)/.lab          ## execute all notebooks (about a quarter of an hour)
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=900 notebooks

docs: $(VENV)/.docs              ## the site, with the notebooks' results: runs/site/docs/index.html
	$(BIN)/sphinx-build -q -W --keep-going -c docs . runs/site

lint: $(VENV)/.tests             ## style
	$(BIN)/ruff check updown_lab tests bench coursework notebooks
	$(BIN)/ruff format --check updown_lab tests bench coursework notebooks

coursework: $(VENV)/.tests       ## build the student versions of the assignments
	$(BIN)/python -m updown_lab coursework build
	cp runs/coursework/release/*/*.ipynb coursework/student/

coursework-test: $(VENV)/.tests  ## every assignment with nbgrader itself: reference, blank, wrong answers (5 minutes)
	$(BIN)/python -m pytest tests/coursework

bench: $(VENV)/.tests            ## how fast, beside the straightforward way (about half an hour; a quiet machine)
	$(BIN)/python -m bench

lab: $(VENV)/.lab                ## open JupyterLab
	$(BIN)/jupyter lab

clean:                           ## forget the environment (runs and data stay)
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "updown_lab needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# pyproject.toml is the one truth for what is installed; a stamp file says that it was.
$(VENV)/.installed: $(BIN)/python pyproject.toml ci/constraints.txt
	@echo "installing into $(VENV) (a few minutes the first time)"
	$(PIP) -e .
	@touch $@

$(VENV)/.tests: $(VENV)/.installed
	$(PIP) -e ".[dev,imagenet,formats,fast,teach]"
	@touch $@

$(VENV)/.imagenet: $(VENV)/.installed
	$(PIP) -e ".[imagenet]"
	@touch $@

$(VENV)/.lab: $(VENV)/.tests
	$(PIP) -e ".[lab]"
	@touch $@

$(VENV)/.docs: $(VENV)/.lab
	$(PIP) -e ".[docs]"
	@touch $@
