SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)

CLAIM := sensor1.germany.raspidemo
SCENARIOS := cluster single
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help demo lab down clean bootstrap lint unit test test-all lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: lab ## Set up everything, build the cluster in the lab, heat a sensor and show how its fault is verified
	ansible-playbook site.yml
	lightest cluster chain $(CLAIM)
	ansible-playbook playbooks/fault.yml

lab: bootstrap ## Create or start the lab: six hosts as containers
	@lab/image debian12 debian13 >/dev/null
	ansible-playbook playbooks/lab.yml

down: bootstrap ## Remove the lab's containers and network
	ansible-playbook playbooks/lab_down.yml

clean: ## Remove all that was made here: labs, images, .venv, caches
	lab/clean
	rm -rf .venv .cache .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

bootstrap: ## Install what is missing: system packages and .venv
	@tools/bootstrap

lint: ## Check style and types
	ruff check
	ruff format --check
	mypy
	yamllint --strict .
	ansible-lint

unit: ## Run the unit and integration tests
	pytest --junitxml=.cache/junit/unit.xml

test: ## Run everything: lint, unit and integration tests, Molecule
	@tools/bootstrap --test
	@tools/test $(SCENARIOS)

test-all: ## The same with every Molecule scenario there is
	@tools/bootstrap --test
	@tools/test $(notdir $(patsubst %/molecule.yml,%,$(wildcard molecule/*/molecule.yml)))

lock: ## Pin the Python packages anew in requirements/ (needs uv)
	@command -v uv >/dev/null || { echo "lock: uv is not installed; install it with: pipx install uv" >&2; exit 1; }
	uv pip compile $(LOCK) --extra operator --extra agents --extra dev pyproject.toml -o requirements/dev.txt
	uv pip compile $(LOCK) --extra agents --constraints requirements/dev.txt pyproject.toml -o requirements/agents.txt
