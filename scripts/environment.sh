# shellcheck shell=bash
# What the scripts share: finding a Python, and the virtual environment in .venv. Sourced from the project's folder.

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

show_addresses() {
    say "
tailmetrics is running.

  Dashboard   http://127.0.0.1:$1/
  Swagger     http://127.0.0.1:$1/docs
  Try         curl 'http://127.0.0.1:$1/customers/cust_1/stats'"
}

# The first Python 3.10, 3.11 or 3.12 that really starts; pyenv's shims exist for versions that do not.
find_python() {
    local candidate
    for candidate in python3.12 python3.11 python3.10 python3 python "$HOME"/.pyenv/versions/3.1[0-2]*/bin/python; do
        if is_supported "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

is_supported() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

no_python() {
    local found
    found=$(python3 --version 2>/dev/null || echo "no Python at all")
    fail "Found $found, expected Python 3.10, 3.11 or 3.12. Ways to get one:
  Debian, Ubuntu   sudo apt-get install python3 python3-venv
  Fedora           sudo dnf install python3.12
  macOS            brew install python@3.12
  anywhere         https://docs.astral.sh/uv/: uv python install 3.12"
}

# setting_of NAME: its value in the environment, else in .env.local.
setting_of() {
    local spaces='[[:space:]]*'
    [ -z "${!1:-}" ] || { printf '%s\n' "${!1}"; return 0; }
    sed -n "s/^$spaces\(export[[:space:]]\)\{0,1\}$spaces$1$spaces=$spaces//p" .env.local 2>/dev/null | tail -n 1 |
        sed "s/[[:space:]]#.*//; s/$spaces\$//; s/^\([\"']\)\(.*\)\1\$/\2/"
}

# say_what_does_not_hold NAME=DEFAULT...: which of these the user has set, though what is started here has its own.
say_what_does_not_hold() {
    local pair value names=''
    for pair in "$@"; do
        value=$(setting_of "${pair%%=*}")
        case $value in '' | "${pair#*=}") ;; *) names="$names ${pair%%=*}" ;; esac
    done
    [ -z "$names" ] || say "Of your settings these do not hold here, as the demo has its own:$names"
}

# demo_pace SECONDS: options for the generator that append a line each so many seconds, unless the user has set
# another pace than the default one, whose past week would be 60 million lines.
demo_pace() {
    case "$(setting_of LOG_BATCH_SIZE) $(setting_of LOG_INTERVAL_SECONDS)" in
        ' ' | '10 ' | ' 0.1' | '10 0.1') printf -- '--batch-size 1 --interval %s\n' "$1" ;;
    esac
}

marker=.tailmetrics-demo

# hold_demo FOLDER PYTHON: lock it until this process and all that it starts have ended. The lock belongs to an open
# file that they inherit, so it is free when none of them is left, however they ended. What is left of a demo that
# was killed is waited for, as it is ending.
hold_demo() {
    local users owner
    users=$(users_of_demo "$1")
    owner=$(head -n 1 "$1/$marker" 2>/dev/null || true)
    case " $users " in
        *" ${owner:-none} "*) say "A demo is running here already, as process $owner. End it with Ctrl-C, or: kill $owner" >&2; return 1 ;;
    esac
    exec 9>>"$1/$marker"
    if "$2" - <<'CODE'
import fcntl, sys, time
for _ in range(100):
    try:
        fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sys.exit()
    except OSError:
        time.sleep(0.1)
sys.exit(1)
CODE
    then
        echo $$ >"$1/$marker"
        return 0
    fi
    users=$(users_of_demo "$1")
    say "The folder $1 is in use by what a demo that was killed has left${users:+. End it: kill $users}" >&2
    return 1
}

# The processes that the demo in the folder $1 has noted, as far as they go on; the first is ./start.sh itself.
users_of_demo() {
    local process users=''
    [ -f "$1/$marker" ] || return 0
    while read -r process; do
        kill -0 "$process" 2>/dev/null || continue
        # Its id may have gone to another program since, when the demo was killed.
        if command -v ps >/dev/null 2>&1; then ps -p "$process" -o args= | grep -Eq 'start\.sh|tailmetrics' || continue; fi
        users="$users $process"
    done <"$1/$marker"
    printf '%s\n' "${users# }"
}

# What an installation depends on: the same text means that there is nothing to install.
stamp_of() {
    local python=$1
    "$python" --version
    cat requirements.lock pyproject.toml | cksum
}

# prepare_environment run|test: make .venv hold what is needed to run, or to test too.
prepare_environment() {
    local purpose=$1 python stamp
    if ! is_supported .venv/bin/python; then
        python=$(find_python) || no_python
        say "Making .venv with $("$python" --version)."
        "$python" -m venv --clear .venv >/dev/null 2>&1 ||
            fail "$python cannot make a virtual environment. On Debian and Ubuntu: sudo apt-get install python3-venv"
    fi
    stamp=$(stamp_of .venv/bin/python)
    if [ "$(cat .venv/.installed-test 2>/dev/null)" = "$stamp" ]; then return 0; fi
    if [ "$(cat ".venv/.installed-$purpose" 2>/dev/null)" = "$stamp" ]; then return 0; fi
    rm -f .venv/.installed-*
    local target=.
    [ "$purpose" = test ] && target='.[dev]'
    say "Installing into .venv the versions of requirements.lock; the first time this takes about a minute."
    install_packages "$target"
    printf '%s\n' "$stamp" >".venv/.installed-$purpose"
}

install_packages() {
    local log=.venv/install.log status=0
    set -m # a process group of its own, so that an interruption ends all of it
    (
        set -e
        export PIP_DISABLE_PIP_VERSION_CHECK=1
        # The build backend comes from the lock as well, instead of the newest one on the day.
        .venv/bin/python -m pip install --no-input -c requirements.lock hatchling editables
        exec .venv/bin/python -m pip install --no-input --no-build-isolation -c requirements.lock -e "$1"
    ) >"$log" 2>&1 </dev/null &
    local installer=$!
    set +m
    trap 'kill -TERM -- "-$installer"; fail "Interrupted; the next start installs again."' INT TERM HUP
    if [ -t 1 ]; then
        while kill -0 "$installer" 2>/dev/null; do
            printf '\r  %s packages looked at' "$(grep -c '^Collecting ' "$log" 2>/dev/null)"
            sleep 0.3
        done
        printf '\r\033[K'
    fi
    wait "$installer" || status=$?
    trap - INT TERM HUP
    if [ "$status" -ne 0 ]; then
        tail -n 15 "$log" >&2
        fail "The installation failed; all of its output is in $log. Without internet it cannot be done."
    fi
}
