#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds everything in release mode and runs all tests. Arguments go to ctest: `sh cmake/test.sh -R io/`.
. "$(dirname "$0")/bootstrap.sh"
cmake --preset release -DRWKV_BUILD_TESTS=ON
cmake --build --preset release -j "$jobs"
exec ctest --preset release -j "$jobs" "$@"
