#!/bin/sh
# Segments every case of INPUT_DIR into OUTPUT_DIR; further arguments go to `python -m inference` (see its --help).
cd "$(dirname "$0")" || exit 3
exec python -m inference -i "${INPUT_DIR:-/workspace/inputs}" -o "${OUTPUT_DIR:-/workspace/outputs}" "$@"
