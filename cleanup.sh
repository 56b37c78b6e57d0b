#!/usr/bin/env bash
# Removes what the other scripts made: the containers, the demo, .venv and the caches of the tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. scripts/environment.sh
. scripts/containers.sh

usage() {
    cat <<'TEXT'
Usage: ./cleanup.sh [--yes] [--data]

Removes the demo's folder, .venv and the caches of the tools, after asking, and what ./start.sh --docker made: the
containers with their volumes and image, and the secrets in .env.

  --yes    do not ask
  --data   remove data/ as well, where the store of a service of your own is by default
  --help   this text
TEXT
}

yes=no
data=no
while [ $# -gt 0 ]; do
    case $1 in
        -y | --yes) yes=yes ;;
        --data) data=yes ;;
        -h | --help) usage; exit 0 ;;
        *) printf 'Found %s, expected one of the options below.\n\n' "$1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

targets=()
add() { if [ -e "$1" ] || [ -L "$1" ]; then targets+=("$1"); fi; }

if [ -f "demo/$marker" ]; then
    # Without a Python there is none of ours that runs.
    if python=$(find_python); then hold_demo demo "$python" || fail "Nothing was removed."; fi
    add demo
fi
for path in .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache dist build; do
    add "$path"
done
while IFS= read -r path; do
    add "$path"
done < <(find src tests benchmarks -type d '(' -name __pycache__ -o -name '.mypy_cache' ')' -prune 2>/dev/null)
[ "$data" = no ] || add data

containers=no
if was_started || has_containers; then
    # The data in the volumes could not be read any more without the secrets.
    { engine_answers && find_compose; } ||
        fail "./start.sh --docker was used here, but Docker or Compose does not answer now. Nothing was removed. Start \
Docker, or remove the secrets from $secrets when there is nothing left of the containers."
    containers=yes
    if secrets_are_ours; then add "$secrets"; fi
fi

if [ ${#targets[@]} -eq 0 ] && [ "$containers" = no ]; then
    say "There is nothing to remove."
    exit 0
fi
say "To be removed:"
[ ${#targets[@]} -eq 0 ] || printf '  %s\n' "${targets[@]}"
[ "$containers" = no ] || say "  the containers of docker-compose.yml, with their volumes and image"
if [ "$yes" = no ]; then
    printf 'Remove these? [y/N] '
    answer=''
    read -r answer || true
    case $answer in
        y | Y | yes) ;;
        *) say "Nothing was removed."; exit 1 ;;
    esac
fi
[ "$containers" = no ] || remove_containers || fail "Docker did not remove everything. Nothing else was removed."
[ ${#targets[@]} -eq 0 ] || rm -rf -- "${targets[@]}"
say "Removed."
