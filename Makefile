# The verbs. Each sets up what it needs on its first run (.venv, pinned packages) and needs no network after that.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help grade test docs verify release classroom llm unsloth ready-core ready-test ready-docs ready-classroom ready-llm ready-unsloth

help:
	@echo "make grade     grade what is in assignments/ and show the board"
	@echo "make test      the project's own tests: lint, types, pytest"
	@echo "make docs      build the documentation into site/"
	@echo "make verify    test the tests: every reference, mistake and attack (hours; one: autograder verify a02), and the labs"
	@echo "make classroom install what a class is graded with (nbgrader, Dask, PostgreSQL's client)"
	@echo "make llm       install what the labs on real language models need (TRL, SmolLM2); make unsloth: Unsloth too"
	@echo "make release   write assignments/ anew from solutions/; edited files stay as they are"

grade: ready-core
	@$(BIN)/python -m autograder grade

test: ready-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q -m "not alone" --numprocesses auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -q -m alone

docs: ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

verify: ready-core
	@$(BIN)/python -m autograder verify
	@$(BIN)/python benchmarks/labs_learn.py --if-installed

release: ready-core
	@$(BIN)/python -m autograder release

classroom: ready-classroom

llm: ready-llm

unsloth: ready-unsloth

ready-core ready-test ready-docs ready-classroom ready-llm ready-unsloth: ready-%:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "there is no $(PYTHON) here"; echo "  mend:  sudo apt-get install python3 python3-venv"; exit 2; }
	@$(PYTHON) autograder/bootstrap.py $*
