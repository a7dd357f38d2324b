#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds everything in release mode and runs the tests: all of them linked with the library compiled once, then those of
# whole models with the headers alone. Arguments go to ctest: `sh cmake/test.sh -R io/`.
more_packages=libbenchmark-dev
. "$(dirname "$0")/bootstrap.sh"
test_preset() {  # preset, arguments of its cmake, arguments of its ctest
  preset=$1 options=$2
  shift 2
  cmake --preset "$preset" -DRWKV_BUILD_TESTS=ON $options
  cmake --build --preset "$preset" -j "$jobs"
  ctest --preset "$preset" -j "$jobs" "$@"
}
test_preset compiled -DRWKV_BUILD_BENCH=ON "$@"  # benchmarks are built, so that they stay whole; nothing is timed
test_preset headers "" --no-tests=ignore "$@"
