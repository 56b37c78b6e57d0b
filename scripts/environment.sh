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

# The process that runs the demo in the folder $1, if one does.
demo_owner() {
    local owner
    owner=$(cat "$1/.tailmetrics-demo" 2>/dev/null) || return 1
    [ -n "$owner" ] && kill -0 "$owner" 2>/dev/null || return 1
    # Its id may have gone to another program since, when the demo was killed.
    if command -v ps >/dev/null 2>&1; then ps -p "$owner" -o args= | grep -q 'start\.sh' || return 1; fi
    printf '%s\n' "$owner"
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
