#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds everything in release mode and runs all tests: linked with the library compiled once, then with the headers
# alone. Arguments go to ctest: `sh cmake/test.sh -R io/`.
. "$(dirname "$0")/bootstrap.sh"
for preset in compiled release; do
  cmake --preset $preset -DRWKV_BUILD_TESTS=ON
  cmake --build --preset $preset -j "$jobs"
  ctest --preset $preset -j "$jobs" "$@"
done
