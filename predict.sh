#!/bin/sh
# Segments every case of INPUT_DIR into OUTPUT_DIR; further arguments go to `python -m inference` (see its --help).
# The folder that it is started from stays, since relative names count from there; -P keeps that folder's modules out.
home=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd) || exit 3
if ! command -v python >/dev/null; then
    echo "ERROR: no python on the PATH; \`make demo\` sets one up in $home/.venv/runtime/bin, to be put there" >&2
    exit 3
fi
export PYTHONPATH="$home${PYTHONPATH:+:$PYTHONPATH}"
exec python -P -m inference -i "${INPUT_DIR:-/workspace/inputs}" -o "${OUTPUT_DIR:-/workspace/outputs}" "$@"
