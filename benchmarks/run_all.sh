#!/usr/bin/env bash
# Every figure of docs/performance.md, one script after the other: about half an hour on two cores that do nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=../.venv/bin/python

run() {
    printf '\n== %s\n' "$*"
    "$python" "$@"
}

run ingest.py --lines 5000000
run ingest.py --lines 20000000 --repeat 1
run formats_json.py
run ingest.py --lines 1000000 --customers 200000 --paths 1000000
run idle.py
run freshness.py
run query.py --rows 10000000
run query.py --rows 100000000 --customers 5000 --rounds 9
run repeated.py
run bounded.py
run disk.py
run backup.py
run backup.py --store sqlite --rows 1000000
run start.py
run live.py --browser
run backlog.py
run alerts.py
run clickhouse.py
[ -d /usr/lib/postgresql ] && run postgresql.py
if [ -n "${INFLUXDB_TEST_URL:-}" ]; then run influxdb.py && run influxdb_customer.py; fi
