#!/usr/bin/env bash
# Starts a demo: a generator that writes a log, and the service that follows it. Ctrl-C ends both.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/environment.sh
. scripts/containers.sh

usage() {
    cat <<'TEXT'
Usage: ./start.sh [--keep] [--port PORT]
       ./start.sh --docker [--port PORT] [--profile NAME]...

Starts a fresh demo on this machine, with nothing but Python 3.10, 3.11 or 3.12: a generator that
appends to demo/requests.log, and the service that follows it. Ctrl-C ends both.

  --keep        go on with the data of the last demo; otherwise the folder demo/ is wiped
  --port PORT   where the service listens (default: API_PORT of the environment or .env.local, or 8000)
  --docker      the same with InfluxDB, in containers that go on after this script has ended; their data is
                kept until ./cleanup.sh
  --profile     with --docker: also the server of that name, and what uses it: postgres, mysql, rabbitmq or grafana;
                cluster: three brokers of Kafka, four servers of ClickHouse and two of each process (16 GB of memory)
  --help        this text
TEXT
}

demo=demo
keep=no
docker=no
chosen=''
port=$(setting_of API_PORT)
port=${port:-8000}
while [ $# -gt 0 ]; do
    case $1 in
        --keep) keep=yes ;;
        --port) port=${2:-}; [ $# -lt 2 ] || shift ;;
        --port=*) port=${1#--port=} ;;
        --docker) docker=yes ;;
        --profile) chosen="$chosen ${2:-?}"; [ $# -lt 2 ] || shift ;;
        --profile=*) chosen="$chosen ${1#--profile=}" ;;
        -h | --help) usage; exit 0 ;;
        *) printf 'Found %s, expected one of the options below.\n\n' "$1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
case $port in
    '' | *[!0-9]* | ??????*) printf 'Found the port "%s", expected a number from 1 to 65535.\n' "$port" >&2; exit 2 ;;
esac

for name in $chosen; do
    case " $profiles " in
        *" $name "*) ;;
        *) printf 'Found the profile "%s", expected one of: %s.\n' "$name" "$profiles" >&2; exit 2 ;;
    esac
done
if [ "$docker" = yes ]; then
    start_containers "$port" "$chosen"
    exit 0
elif [ -n "$chosen" ]; then
    printf -- '--profile was found without --docker, to which it belongs.\n' >&2
    exit 2
fi

python=.venv/bin/python
is_supported "$python" || python=$(find_python) || no_python

port_is_free() {
    "$python" - "$port" <<'CODE'
import socket, sys
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", int(sys.argv[1])))
    except (OSError, OverflowError) as error:
        sys.exit(f"Port {sys.argv[1]} of 127.0.0.1 cannot be used: {error}.")
CODE
}
port_is_free || fail "Nothing was started. End what listens there, or choose another port: ./start.sh --port 8001"

# The folder is wiped only when it is a demo's, and only when nothing of that demo is left.
if [ -L "$demo" ]; then
    fail "$demo is a link, expected the demo's own folder. Nothing was started or removed."
elif [ -e "$demo" ]; then
    [ -f "$demo/$marker" ] ||
        fail "$demo was not made by ./start.sh. Nothing was started or removed; move it away first."
fi
mkdir -p "$demo"
hold_demo "$demo" "$python" || fail "Nothing was started or removed."

prepare_environment run

[ "$keep" = yes ] || find "$demo" -mindepth 1 -maxdepth 1 ! -name "$marker" -exec rm -rf {} +

say_what_does_not_hold LOG_FILE_PATH=data/requests.log LOG_FORMAT=auto \
    STORE_URL=duckdb:///data/tailmetrics.duckdb API_HOST=127.0.0.1
export LOG_FILE_PATH=$demo/requests.log LOG_FORMAT=requests
export STORE_URL=duckdb:///$demo/tailmetrics.duckdb API_HOST=127.0.0.1 API_PORT=$port

service='' generator='' waiting=''

# Each background process gets a group of its own, so that Ctrl-C reaches this script alone, which then
# ends the others in order.
set -m

end() {
    local process
    trap '' INT TERM HUP
    for process in $waiting; do
        # Waited for here, as the shell would tell of its end otherwise.
        { kill -TERM -- "-$process" && wait "$process"; } 2>/dev/null || true
    done
    for process in $generator $service; do kill -TERM "$process" 2>/dev/null || true; done
    for process in $generator $service; do
        if ! ended_within 20 "$process"; then
            say "Process $process did not end within 20 seconds and is killed." >&2
            kill -KILL "$process" 2>/dev/null || true
        fi
    done
    : >"$demo/$marker"
}

ended_within() {
    local tenths=$(($1 * 10))
    while kill -0 "$2" 2>/dev/null; do
        [ "$tenths" -gt 0 ] || return 1
        tenths=$((tenths - 1))
        sleep 0.1
    done
}

# shellcheck disable=SC2317  # called by the trap
stopped() {
    say ""
    say "Ending…"
    local status=0
    end
    if [ -n "$service" ]; then wait "$service" || status=$?; fi
    if [ "$status" -ne 0 ]; then
        service_failed "$status"
    fi
    say "Ended. The data is kept in $demo/ until the next start; ./start.sh --keep goes on with it."
    exit 0
}

service_failed() {
    tail -n 20 "$demo/service.log" >&2
    fail "The service ended with status $1; its log is $demo/service.log."
}

trap stopped INT TERM HUP

if [ ! -s "$LOG_FILE_PATH" ]; then
    # The past is like the present, so that each range has something to show from the beginning.
    say "Writing requests of the last days."
    # shellcheck disable=SC2046  # options, a word each
    .venv/bin/tailmetrics generate --mode demo --days 7 --max-logs 6100000 $(demo_pace 0.1) \
        --parent-pid $$ >"$demo/generator.log" 2>&1 </dev/null &
    waiting=$!
    if ! wait "$waiting"; then
        waiting=''
        end
        tail -n 5 "$demo/generator.log" >&2
        fail "The generator failed; its log is $demo/generator.log."
    fi
    waiting=''
fi
.venv/bin/tailmetrics up --parent-pid $$ >"$demo/service.log" 2>&1 </dev/null &
service=$!
echo "$service" >>"$demo/$marker"
# shellcheck disable=SC2046  # options, a word each
.venv/bin/tailmetrics generate --mode demo $(demo_pace 0.1) --parent-pid $$ >"$demo/generator.log" 2>&1 </dev/null &
generator=$!
echo "$generator" >>"$demo/$marker"

.venv/bin/python - "$port" "$service" $$ <<'CODE' &
import http.client, os, sys, time
port, service, parent = map(int, sys.argv[1:])
for _ in range(600):
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.kill(service, 0)
    except ProcessLookupError:
        sys.exit(1)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/ready")
        if connection.getresponse().status == 200:
            break
    except (OSError, http.client.HTTPException):
        pass
    time.sleep(0.1)
else:
    sys.exit(1)
CODE
waiting=$!
if ! wait "$waiting" 2>/dev/null; then
    status=0
    kill -0 "$service" 2>/dev/null && say "The service was not ready within a minute." >&2
    waiting=''
    end
    wait "$service" || status=$?
    service_failed "$status"
fi
waiting=''

show_addresses "$port"
say "
The generator appends to $LOG_FILE_PATH; the service writes its log to $demo/service.log.
Ctrl-C ends everything."
if command -v docker >/dev/null 2>&1; then
    say "
Where a Docker engine answers, ./start.sh --docker shows the same with InfluxDB."
fi

while kill -0 "$service" 2>/dev/null; do
    if [ -n "$generator" ] && ! kill -0 "$generator" 2>/dev/null; then
        status=0
        wait "$generator" || status=$?
        generator=''
        tail -n 5 "$demo/generator.log" >&2
        if [ "$status" -ne 0 ]; then
            end
            fail "The generator ended with status $status; its log is $demo/generator.log."
        fi
        say "The generator has written MAX_LOGS_TO_GENERATE lines, so the log does not grow any more; the service goes on."
    fi
    sleep 1 &
    waiting=$!
    wait "$waiting" 2>/dev/null || true
    waiting=''
done
status=0
wait "$service" || status=$?
service=''
end
service_failed "$status"
