# SPDX-License-Identifier: MIT
# Sourced by demo.sh, test.sh and test-aarch64.sh: goes to the top of the source tree and installs what the build needs,
# and $more_packages, where the system lacks it, with the package manager of Debian and Ubuntu. Elsewhere it only tells.
set -eu
cd "$(dirname "$0")/.."

missing=
for package in g++ make cmake libeigen3-dev nlohmann-json3-dev libcli11-dev doctest-dev ${more_packages-}; do
  if command -v dpkg >/dev/null 2>&1; then
    dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed' || missing="$missing $package"
  fi
done
if ! command -v apt-get >/dev/null 2>&1; then
  echo "rwkv: no apt-get here; needed are a C++20 compiler, CMake 3.24, Eigen 3.4, nlohmann_json, CLI11, doctest" \
       "${more_packages:+and $more_packages}" >&2
elif [ -n "$missing" ]; then
  echo "rwkv: installing$missing" >&2
  as_root=
  if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    if ! command -v sudo >/dev/null 2>&1; then
      echo "rwkv: there is no sudo; as root, run: apt-get install$missing" >&2
      exit 1
    fi
  fi
  $as_root apt-get update -q >/dev/null
  # shellcheck disable=SC2086 # a list of words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
fi
if command -v cmake >/dev/null 2>&1 && ! cmake --list-presets >/dev/null 2>&1; then
  echo "rwkv: CMake 3.24 or newer is needed, this is $(cmake --version | head -n 1); Debian 12 and Ubuntu 24.04 have it" >&2
  exit 1
fi
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
