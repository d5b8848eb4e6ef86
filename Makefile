# Kinema's commands: `make help` lists them. Set-up happens by itself, once, and again only when the requirements change.

PYTHON ?= python3
VENV ?= .venv
# A PyTorch wheel index, by its name below https://download.pytorch.org/whl/ (cpu, cu130, ...); empty: what plain pip brings,
# which on Linux is the CUDA build. `make demo TORCH_INDEX=cpu` saves gigabytes on a machine without an NVIDIA GPU.
TORCH_INDEX ?=
# Minutes for `make train-mini` and `make train-judges`.
BUDGET ?= 60
# How often somebody is killed in `make soak`: on each database, and with the shipped model.
ROUNDS ?= 1000
MINI_ROUNDS ?= 50

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url https://download.pytorch.org/whl/$(TORCH_INDEX))
# Files of tests side by side, one on each core; threads that wait don't spin, since another process has work for the core.
PYTEST := GOMP_SPINCOUNT=1000 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile
# record.py is what they share; the blind test needs a reader, parity has a target of its own, and the others take long: a quarter of an hour, or hours
BENCHES := $(filter-out bench/record.py bench/blind_test.py bench/commands.py bench/judges.py bench/parity.py bench/time_to_quality.py bench/kill_rounds.py bench/webhooks.py bench/eta.py bench/published.py bench/blocks.py bench/steps.py,$(wildcard bench/*.py))
BASE := $(VENV)/.base-is-installed
DEV := $(VENV)/.dev-is-installed
REQUIREMENTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-rest test-all check format bench bench-parity soak pictures train-mini train-judges clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo "  variables: PYTHON=$(PYTHON) VENV=$(VENV) TORCH_INDEX=$(or $(TORCH_INDEX),'(plain pip; cpu: no CUDA)') BUDGET=$(BUDGET)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Kinema needs Python 3.10 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) can't make a virtual environment (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }

$(BASE): $(REQUIREMENTS) | $(BIN)/python
	@echo "Installing Kinema into $(VENV) ..."
	@$(PIP) --editable .
	@touch $@

$(DEV): $(REQUIREMENTS) | $(BIN)/python
	@echo "Installing Kinema and its development tools into $(VENV) ..."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(BASE)

demo: $(BASE) ## set up, then turn an English and a Chinese sentence into clips
	@mkdir -p demo
	@$(BIN)/kinema generate "a red car drives along the beach at sunset" --seed 1 --out demo/car-en.mp4 --force
	@$(BIN)/kinema generate "雪地里，一个红色的方块从空中落下" --seed 1 --out demo/cube-zh.mp4 --force
	@echo
	@echo "a red car drives along the beach at sunset:  $(CURDIR)/demo/car-en.mp4"
	@echo "雪地里，一个红色的方块从空中落下:       $(CURDIR)/demo/cube-zh.mp4"

test: $(DEV) ## set up, then run the tests (minutes, no network, no GPU)
	@$(PYTEST)

test-rest: $(DEV) # what `make test` leaves out: slow tests, and those that need system packages
	@$(PYTEST) -m "slow or system" || [ $$? -eq 5 ]

test-all: test test-rest ## the tests, slow ones and those that need system packages included

check: $(DEV) ## style, format, types, imports between rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-logo

format: $(DEV) ## bring every file into the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(DEV) ## measure this machine; results go to bench/results/
	@for script in $(BENCHES); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

bench-parity: $(DEV) ## compare published models' networks and pipelines with diffusers', in minutes; fails where a bound is broken
	@$(BIN)/python bench/parity.py

# one after another: each wants the machine for itself. All are bounded in time; any that finds something wrong ends it
soak: $(DEV) ## what shows only in time, an hour or so: nothing lost under kills, every webhook delivered, times foretold, latencies
	@for database in sqlite postgresql; do \
		$(BIN)/python bench/kill_rounds.py --rounds $(ROUNDS) --database $$database || exit 1; \
		$(BIN)/python bench/webhooks.py --database $$database || exit 1; \
	done
	@$(BIN)/python bench/kill_rounds.py --engine mini --rounds $(MINI_ROUNDS)
	@$(BIN)/python bench/eta.py
	@$(BIN)/python bench/service.py

pictures: $(DEV) ## draw the pictures of docs/world.md anew
	@$(BIN)/python docs/world_pictures.py

train-mini: $(DEV) ## train the shipped model anew, in BUDGET minutes
	@$(BIN)/kinema train mini --budget $(BUDGET) --out runs/mini

train-judges: $(DEV) ## train anew what reads clips, in BUDGET minutes
	@$(BIN)/kinema train judges --budget $(BUDGET) --out runs/judges

clean: ## remove what was made, the virtual environment too
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache
