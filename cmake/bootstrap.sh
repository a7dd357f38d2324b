# SPDX-License-Identifier: MIT
# Sourced by demo.sh and test.sh: goes to the top of the source tree and installs what the build needs and the system
# lacks, with the package manager of Debian and Ubuntu. Elsewhere it only tells.
set -eu
cd "$(dirname "$0")/.."

missing=
for package in g++ make cmake libeigen3-dev nlohmann-json3-dev libcli11-dev doctest-dev; do
  if command -v dpkg >/dev/null 2>&1; then
    dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed' || missing="$missing $package"
  fi
done
if ! command -v apt-get >/dev/null 2>&1; then
  echo "rwkv: no apt-get here; needed are a C++20 compiler, CMake 3.24, Eigen 3.4, nlohmann_json, CLI11 and doctest." >&2
elif [ -n "$missing" ]; then
  echo "rwkv: installing$missing" >&2
  as_root=
  if [ "$(id -u)" != 0 ]; then as_root=sudo; fi
  $as_root apt-get update -q >/dev/null
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends $missing >/dev/null
fi
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
