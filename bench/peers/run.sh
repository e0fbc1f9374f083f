#!/usr/bin/env bash
# Compares lazyfill with llama.cpp on this machine. Installs llama.cpp's Python package into a virtual environment of
# its own (it is compiled for this machine: about ten minutes the first time), then passes its arguments to compare.py.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="$here/../../build/peers-venv"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import llama_cpp' 2>/dev/null; then
  echo "Compiling llama.cpp's Python package for this machine (about ten minutes) ..." >&2
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet llama-cpp-python==0.3.36
fi
exec "$venv/bin/python" "$here/compare.py" "$@"
