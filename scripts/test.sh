#!/usr/bin/env bash
# Builds the project and runs all its tests, on Debian 12 from nothing: packages, Python environment, models, build,
# Python package, unit tests (ctest), whole-program tests (pytest). A second run brings and builds only what has changed.
#
#   ./scripts/test.sh [arguments for pytest, e.g. --long or -k NAME]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" "${PYTHON_PACKAGES[@]}"
need_venv tests/python/requirements.txt
if [ -z "${LAZYFILL_TEST_MODELS:-}" ]; then  # a folder that already holds both models
  fetch_model smollm2
  fetch_model gemma3
  export LAZYFILL_TEST_MODELS=$MODELS_DIR
fi
build_release -DLAZYFILL_BUILD_TESTS=ON
install_package

# Both suites run even if the first fails: the reader wants to know all that is wrong.
status=0
say "Unit tests"
ctest --preset release --no-tests=error -j 2 || status=1
say "Whole-program tests"
"$VENV/bin/python" -m pytest -q tests/python "$@" || status=1
exit "$status"
