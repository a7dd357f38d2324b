#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the program in release mode and lets a small model, trained on fairy tales, tell the beginning of one.
. "$(dirname "$0")/bootstrap.sh"
cmake --preset release -DRWKV_BUILD_TESTS=OFF >&2
cmake --build --preset release --target rwkv_cli -j "$jobs" >&2
exec build/release/bin/rwkv generate -m examples/models/fairy-tales-v4.pth -p "Once upon a time" -n 600 --temperature 0.8 --seed 1
