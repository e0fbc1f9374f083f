#!/usr/bin/env bash
# From a bare Debian 12 to an answer: installs what is missing, builds, fetches the default model (98 MB, into the
# user's cache) and asks a question about two chapters of a novel, once densely and once lazily. Can be run again: what
# is there is not brought a second time.
#
#   ./scripts/quickstart.sh [QUESTION]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

question=${1:-"What is the name of Sir Walter Elliot's house? Answer in one sentence."}
document=examples/persuasion-1-2.txt
schedule=9:0.5,15:0.5,22:0.5

need_packages "${BUILD_PACKAGES[@]}" "${PYTHON_PACKAGES[@]}"
need_venv
build_release -DLAZYFILL_BUILD_TESTS=OFF  # the tests come with scripts/test.sh
fetch_model smollm2

explain=(build/release/bin/lazyfill explain -m "$MODEL" --chat -f "$document" -p "$question"
         --lazy "$schedule" -n 48 -o explain.html)
say "Asking '$question' about $document (6,356 tokens), dense and lazy:"
printf '    %q' "${explain[0]}"
printf ' %q' "${explain[@]:1}"
printf '\n\n'
"${explain[@]}"

say "The page with what was kept where: $PWD/explain.html (open it in a browser)"
