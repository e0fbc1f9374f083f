#!/usr/bin/env bash
# All that tools can say about style: clang-format and clang-tidy over the C++, shellcheck over the scripts, and the
# rules of layering, links of the documents. Changes nothing.
#
#   ./scripts/lint.sh [--fast] [FILE.cc...]   --fast leaves out clang-tidy, which takes minutes;
#                                             with files, clang-tidy looks at these only
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

fast=0
files=()
for argument in "$@"; do
  case $argument in
    --fast) fast=1 ;;
    -*) fail "unknown option $argument; there is only --fast" ;;
    *) files+=("$argument") ;;
  esac
done

need_packages "${LINT_PACKAGES[@]}" "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" python3
status=0

say "Layers and lengths"
python3 scripts/check_layers.py || status=1

say "Links of the documents"
python3 scripts/check_links.py || status=1

say "shellcheck"
shellcheck -x -e SC2119 scripts/*.sh tests/*.sh .ci/run || status=1

say "clang-format"
mapfile -t sources < <(find src include examples tests -name '*.h' -o -name '*.cc' -o -name '*.inc' | sort)
clang-format --dry-run -Werror "${sources[@]}" || status=1

if [ "$fast" = 0 ]; then
  say "clang-tidy"
  cmake --preset release -DLAZYFILL_BUILD_TESTS=ON >/dev/null
  if [ ${#files[@]} = 0 ]; then mapfile -t files < <(find src -name '*.cc' -not -path 'src/python/*' | sort); fi
  # src/python is compiled by pip alone. clang-tidy refuses an option of GCC's that clang does not know.
  mkdir -p build/lint
  sed 's/ -fno-tree-reassoc//' build/release/compile_commands.json >build/lint/compile_commands.json
  printf '%s\0' "${files[@]}" | xargs -0 -n 4 -P "$(build_jobs)" clang-tidy -p build/lint --quiet || status=1
fi

if [ "$status" = 0 ]; then say "Nothing to complain about"; fi
exit "$status"
