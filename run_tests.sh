#!/usr/bin/env bash
# Sets up .venv and runs every check and test; with --fast none that needs a server, a browser or a container, or takes
# long. Other arguments go on to pytest: ./run_tests.sh --fast -k generator
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/environment.sh

if [ "${1:-}" = --fast ]; then
    shift
    set -- -m 'not servers and not browser and not containers and not nightly and not slow' "$@"
fi

prepare_environment test
# The tests and what they start would be compiled anew in every process.
unset PYTHONDONTWRITEBYTECODE

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
# Most tests wait for servers, browsers and clocks: three processes share them, a file at a time.
step python -m pytest -n 3 --dist loadfile "$@"
