#!/usr/bin/env bash
# Makes the virtual environment named as the argument, also where Debian's python3-venv is missing.
set -euo pipefail
venv=$1
python=${PYTHON:-python3}

say() { echo "$*" >&2; }

if ! command -v "$python" >/dev/null; then
    say "No $python here: install Python 3.11 or newer."
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "$("$python" --version) is too old: Xitai needs 3.11 or newer. Name another with PYTHON=…"
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
works() { "$venv/bin/python" -m pip --version >/dev/null 2>&1; }

# One that was moved or made by a Python that is gone does not work: make it anew.
works || rm -rf "$venv"
works || "$python" -m venv "$venv" >"$log" 2>&1 || rm -rf "$venv"
if ! works && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing python3-venv…"
    { apt-get update && apt-get install -y --no-install-recommends python3-venv; } >>"$log" 2>&1 || true
    "$python" -m venv "$venv" >>"$log" 2>&1 || rm -rf "$venv"
fi
if ! works && "$python" -m pip --version >/dev/null 2>&1; then
    say "installing virtualenv…"
    # Debian marks its Python as its own; --user leaves its files alone all the same.
    "$python" -m pip install --quiet --user virtualenv >>"$log" 2>&1 ||
        "$python" -m pip install --quiet --user --break-system-packages virtualenv >>"$log" 2>&1 || true
    "$python" -m virtualenv "$venv" >>"$log" 2>&1 || true
fi
if ! works; then
    cat "$log" >&2
    say "No virtual environment could be made. On Debian: apt install python3-venv"
    exit 1
fi
