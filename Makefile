# Needs nothing but make and a Python from 3.11 on: each target makes the virtual environment that it runs in.
#
#   make demo              one deploy without guard and with it, under load (DB=postgres, DB=mariadb: on a server)
#   make test              ruff, mypy, the docs and every test; see tools/test.py for its variables
#   make lint              ruff and mypy only
#   make docs              builds docs/_build/html, with warnings as errors, and checks links and spelling
#   make docs-outputs      writes what the commands in the docs really print into the pages (look at the difference!)
#   make bench             what guard costs per statement, a fleet's beats (GUARD_BENCH_BEATS=180000: an hour's worth),
#                          and readers beside DDL and a long transaction (GUARD_BENCH_LOCK_SECONDS=3, GUARD_BENCH_ROWS=1000000)
#   make histories         lints published apps' own histories, and upgrades through them under guard (PROJECT=wagtail, DB=…,
#                          FROM="--hop=4 --every=3": every third state, upgraded by four migrations)
#   make clean             removes what the others made

DB ?= sqlite
PYTHON ?= $(shell tools/pythons | sed -n '1s/^[^ ]* //p')

PROJECT ?= wagtail

.PHONY: demo test lint docs docs-outputs bench histories clean python

demo: python
	@environment=$$($(PYTHON) tools/environments.py demo $(DB)) && exec $$environment -m sampleapp.demo --db $(DB)

test: python
	@exec $(PYTHON) tools/test.py

lint: python
	@environment=$$($(PYTHON) tools/environments.py test) && \
	$$environment -m ruff check && $$environment -m ruff format --check && exec $$environment -m mypy

docs: python
	@environment=$$($(PYTHON) tools/environments.py test) && exec $$environment -m tools.docs

docs-outputs: python
	@environment=$$($(PYTHON) tools/environments.py test) && \
	GUARD_DOCS_RENEW=1 exec $$environment -m pytest -q tests/docs

bench: python
	@environment=$$($(PYTHON) tools/environments.py test) && exec $$environment -m pytest tests/benchmarks -m bench -s -q

histories: python
	@environment=$$($(PYTHON) tools/environments.py histories $(PROJECT)) && \
	exec $$environment -m tests.histories.upgrade $(DB) $(PROJECT) $(FROM)

clean:
	rm -rf .venv-demo* .venv-test* .venv-histories* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist docs/_build *.egg-info
	find guard tests sampleapp tools -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer that can make virtual environments was found" \
	"(Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
