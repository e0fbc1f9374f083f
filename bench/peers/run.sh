#!/usr/bin/env bash
# Compares lazyfill with other engines on this machine: one command from nothing to a table, JSON and pictures.
#
#   bench/peers/run.sh -m MODEL.gguf --text LONG.txt [-m ANOTHER.gguf] [--isa avx2] [--lengths 512,1024] [--repeats 3] ...
#
# Builds lazyfill and its benchmarks, makes a virtual environment of its own (build/peers-venv, and with --isa avx2
# build/peers-venv-avx2), installs the engines there (llama.cpp is compiled, for this machine or for AVX2: ten to twenty
# minutes the first time), and passes its arguments to compare.py. An engine that cannot be installed is left out with a
# sentence. On some processors with AMX llama.cpp dies of its own code for tiles, which the table then says; --without-amx
# compiles it without that code, in build/peers-venv-without-amx. PEERS="torch vllm onnx", or some of them, installs these
# engines too, gigabytes of packages; without it they are measured where they are there already. ik_llama.cpp comes as its
# package is built, for AVX2: its sources there lack a file and cannot be compiled.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$here/../.."

isa=best
without_amx=
previous=
for argument in "$@"; do
  case "$previous $argument" in
    "--isa "*) isa=$argument ;;
    *" --isa="*) isa=${argument#--isa=} ;;
    *" --without-amx") without_amx=yes ;;
  esac
  previous=$argument
done
venv="$root/build/peers-venv"
flags="-DGGML_NATIVE=ON"
if [ "$without_amx" ]; then
  venv="$root/build/peers-venv-without-amx"
  flags="-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
  flags="$flags -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON"
  flags="$flags -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF"
fi
if [ "$isa" = avx2 ]; then
  venv="$root/build/peers-venv-avx2"
  flags="-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=OFF"
fi

(cd "$root" && cmake --preset release -DLAZYFILL_BUILD_BENCHMARKS=ON && cmake --build --preset release \
  --target lazyfill_program matmul_bench) >/dev/null

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"

# install MODULE REQUIREMENT...
install() {
  local module="$1"
  shift
  "$venv/bin/python" -c "import $module" 2>/dev/null && return
  echo "Installing $* ..." >&2
  CMAKE_ARGS="$flags" "$venv/bin/pip" install --quiet --disable-pip-version-check "$@" && return
  echo "$* could not be installed (pip's message stands above); the comparison goes on without it" >&2
}

install matplotlib matplotlib numpy
install openvino_genai openvino-genai==2026.4.1.0
# Never a package that pip kept from a build with other flags.
install llama_cpp --no-cache-dir --no-binary llama-cpp-python llama-cpp-python==0.3.36
install ik_llama_cpp ik-llama-cpp-python==0.1.5
for peer in ${PEERS:-}; do
  case "$peer" in
    torch) install transformers torch transformers gguf accelerate ;;
    vllm) install vllm vllm ;;
    onnx) install onnxruntime_genai onnxruntime-genai ;;
    *) echo "PEERS names $peer, which is none of torch, vllm and onnx" >&2 && exit 2 ;;
  esac
done

exec "$venv/bin/python" "$here/compare.py" "$@"
