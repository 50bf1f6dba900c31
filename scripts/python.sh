#!/bin/sh
# Print the Python to build the environment with: the one that was asked for, else python3, else the newest
# supported one on PATH. Anything older than 3.11, or without venv and pip, is refused with one clear line.
set -eu

wanted=${1:-}

supported() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

complete() {
    "$1" -c 'import ensurepip, ssl, venv' 2>/dev/null
}

refuse() {
    echo "turnout: $1" >&2
    exit 1
}

if [ -n "$wanted" ]; then
    command -v "$wanted" >/dev/null || refuse "PYTHON=$wanted is not a program on this machine."
    supported "$wanted" || refuse "PYTHON=$wanted is $("$wanted" -V 2>&1); Python 3.11 or newer is needed."
    complete "$wanted" || refuse "PYTHON=$wanted has no venv and pip (on Debian: apt-get install python3-venv)."
    echo "$wanted"
    exit 0
fi

incomplete=
for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
    command -v "$candidate" >/dev/null && supported "$candidate" || continue
    if complete "$candidate"; then
        echo "$candidate"
        exit 0
    fi
    incomplete=$candidate
done

[ -z "$incomplete" ] || refuse "$incomplete has no venv and pip (on Debian: apt-get install python3-venv)."
found=$(python3 -V 2>&1) || found="no python3"
refuse "Python 3.11 or newer is needed; found $found. Install one, or name it: make PYTHON=/path/to/python3.12"
