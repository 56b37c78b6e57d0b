#!/usr/bin/env bash
# Sets up .venv and runs every check and test; arguments go on to pytest: ./run_tests.sh -k generator
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/environment.sh

prepare_environment test

step() {
    local tool=$1
    shift
    say "== $tool $*"
    ".venv/bin/$tool" "$@"
}

step ruff check
step ruff format --check
step mypy
step lint-imports
# Most tests wait for servers, browsers and clocks: two processes share them, a file at a time.
step python -m pytest -n 2 --dist loadfile "$@"
