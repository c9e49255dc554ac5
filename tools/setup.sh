# SPDX-License-Identifier: Apache-2.0
# Sourced by tools/demo and tools/test: everything a bare Debian 12 or Ubuntu 24.04 lacks.
# Functions: say TEXT, die TEXT, need PACKAGE..., jobs.

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 4; }

build_packages=(g++ cmake ninja-build git libboost-dev libeigen3-dev nlohmann-json3-dev libfmt-dev
                libcli11-dev libhwy-dev librapidcheck-dev)

# need PACKAGE...: installs what is missing; asks apt for nothing when everything is there.
need() {
  command -v dpkg-query > /dev/null || {
    say "no dpkg here: expecting the equivalents of: $*"
    return 0
  }
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2> /dev/null)" = installed ] ||
      missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null ||
      die "missing packages and no sudo; as root run: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  say "installing: ${missing[*]}"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq < /dev/null >&2 ||
    say "apt-get update failed; trying with the package lists there are"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" < /dev/null >&2 ||
    die "apt-get could not install: ${missing[*]}"
}

# Python packages that tests compare with, in .venv; prints its Python. Without a network the tests that
# need them skip and say so.
peers() {
  need python3-venv
  local python=.venv/bin/python
  [ -x "$python" ] || python3 -m venv .venv >&2 || return 0
  "$python" -c 'import ml_dtypes, gfloat' 2> /dev/null ||
    "$python" -m pip install -q --disable-pip-version-check ml_dtypes==0.6.0 gfloat==0.5.2 < /dev/null >&2 ||
    say "pip could not install ml_dtypes and gfloat; comparisons with what is missing will be skipped"
  printf '%s\n' "$PWD/$python"
}

# As many compilers at once as there are cores, and no more than one per 1.5 GiB of memory.
jobs() {
  local cores memory
  cores=$(nproc 2> /dev/null || echo 2)
  memory=$(awk '/MemAvailable/ {print int($2 / 1572864)}' /proc/meminfo 2> /dev/null || echo "$cores")
  [ "$memory" -ge 1 ] || memory=1
  echo $((cores < memory ? cores : memory))
}

if command -v ccache > /dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER="${CMAKE_CXX_COMPILER_LAUNCHER-ccache}"
fi
