#!/usr/bin/env bash
# Makes the Python environment .venv with what the tests in tests/python need, and nothing else: no build, no models. A second
# run costs nothing; a changed list of packages is noticed.
#
#   ./scripts/venv.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need_packages "${PYTHON_PACKAGES[@]}"
need_venv tests/python/requirements.txt
say "$VENV/bin/python has the packages of tests/python/requirements.txt"
