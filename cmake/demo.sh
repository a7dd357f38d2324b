#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the program in release mode and lets the model in it, trained on fairy tales, tell one.
. "$(dirname "$0")/bootstrap.sh"
cmake --preset compiled -DRWKV_BUILD_TESTS=OFF >&2
cmake --build --preset compiled --target rwkv_cli -j "$jobs" >&2
exec build/compiled/bin/rwkv generate -n 400 --temperature 0.8
