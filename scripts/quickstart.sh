#!/usr/bin/env bash
# From a bare Debian 12 to an answer: installs what is missing, builds, fetches the default model (98 MB, into the
# user's cache) and asks a question about two chapters of a novel, once densely and once lazily. Can be run again: what
# is there is not brought a second time.
#
#   ./scripts/quickstart.sh [QUESTION]
#   ./scripts/quickstart.sh --serve [FLAGS]    # instead of a question the server, with a page to chat and drop documents on
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

need_packages "${BUILD_PACKAGES[@]}" "${PYTHON_PACKAGES[@]}"
need_venv ""
build_release -DLAZYFILL_BUILD_TESTS=OFF  # the tests come with scripts/test.sh
fetch_model smollm2

if [ "${1:-}" = --serve ]; then
  shift
  say "Starting the server; open the address that it prints in a browser, Ctrl-C ends it"
  exec build/release/bin/lazyfill serve -m "$MODEL" "$@"
fi

question=${1:-"What is the name of Sir Walter Elliot's house? Answer in one sentence."}
document=examples/persuasion-1-2.txt
explain=(build/release/bin/lazyfill explain -m "$MODEL" --chat -f "$document" -p "$question" -n 48 -o explain.html)
say "Asking '$question' about $document (6,356 tokens), dense and lazy as people get it without asking (--lazy auto):"
printf '    %q' "${explain[0]}"
printf ' %q' "${explain[@]:1}"
printf '\n\n'
"${explain[@]}"

say "The same with --lazy fast, which gives up a little more:"
"${explain[@]::${#explain[@]}-2}" --lazy fast -o "$(mktemp)" 2>&1 | grep -E '^(lazy|ratio)' | sed 's/^/    /'

say "The page with what was kept where: $PWD/explain.html (open it in a browser)"
cat <<TEXT

This model has 135 million parameters: it finds what a text says, and is weak where it has to reason, count or know.
A better one: build/release/bin/lazyfill pull OWNER/REPO:Q4_K_M fetches any GGUF file of a model by its name.

Try next:
    build/release/bin/lazyfill chat -f $document
    build/release/bin/lazyfill run --chat -f YOUR_TEXT -p "YOUR QUESTION"
    ./scripts/quickstart.sh --serve
TEXT
