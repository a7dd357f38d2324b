#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds everything in release mode and runs all tests: linked with the library compiled once, then with the headers
# alone. Arguments go to ctest: `sh cmake/test.sh -R io/`.
more_packages=libbenchmark-dev
. "$(dirname "$0")/bootstrap.sh"
for preset in compiled release; do
  bench=OFF
  if [ $preset = compiled ]; then bench=ON; fi  # built, so that it stays whole; nothing is timed
  cmake --preset $preset -DRWKV_BUILD_TESTS=ON -DRWKV_BUILD_BENCH=$bench
  cmake --build --preset $preset -j "$jobs"
  ctest --preset $preset -j "$jobs" "$@"
done
