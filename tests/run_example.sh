#!/bin/sh
# run_example.sh PROGRAM DOCUMENT: runs the example on the default model; 77 (skipped) where there is no model.
set -eu
models=${LAZYFILL_TEST_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/lazyfill/models}
model=$models/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -f "$model" ]; then
  echo "skipped: $model is missing; scripts/test.sh fetches it"
  exit 77
fi
output=$("$1" "$model" "$2")
echo "$output"
[ "$(echo "$output" | grep -c 'first of 16 tokens')" = 2 ]
