#!/usr/bin/env bash
# Builds the source archive and, from it, the wheel; checks both; installs the wheel into an environment that has
# nothing else, and loads a log with it. Arguments: the folder for the archives, and one for the environment, which is
# removed at the end when none is named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
archives=$(realpath -m "${1:-dist}")
environment=$(realpath -m "${2:-$scratch/environment}")
log=$PWD/tests/data/requests-10k.log
export PIP_DISABLE_PIP_VERSION_CHECK=1

python=.venv/bin/python
is_supported $python || python=$(find_python) || no_python

"$python" -m venv "$scratch/tools"
tools=$scratch/tools/bin
"$tools/pip" install -q -c requirements.lock hatchling 'twine>=7,<8'
mkdir -p "$archives"
rm -f "$archives"/tailmetrics-*
"$tools/hatchling" build -t sdist -d "$archives"
"$tools/pip" wheel -q --no-deps --no-build-isolation -w "$archives" "$archives"/tailmetrics-*.tar.gz
"$tools/twine" check --strict "$archives"/tailmetrics-*

"$python" -m venv "$environment"
"$environment/bin/pip" install -q --no-compile -c requirements.lock "$archives"/tailmetrics-*.whl
"$environment/bin/pip" check
cd "$scratch" # where no setting and no source code lies
unset PYTHONPATH
"$environment/bin/tailmetrics" --version
"$environment/bin/tailmetrics" load "$log" --store-url duckdb:///store.duckdb --port 1
"$environment/bin/tailmetrics" report --store-url duckdb:///store.duckdb --port 1 --format csv >report.csv
[ "$(wc -l <report.csv)" -gt 50 ] || fail "The report of $log has fewer than 50 customers."
say "The archives in $archives can be installed, and work."
