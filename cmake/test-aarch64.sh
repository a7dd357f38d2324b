#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds what depends on the processor for AArch64 and runs its tests in an emulator, without those that take minutes
# there. Arguments go to ctest in their place: `sh cmake/test-aarch64.sh -R .` runs all.
more_packages='g++-aarch64-linux-gnu qemu-user'
. "$(dirname "$0")/bootstrap.sh"
cmake --preset aarch64
cmake --build --preset aarch64 -j "$jobs"
if [ $# = 0 ]; then
  # The last one limits its address space, which the emulator does not do.
  set -- -E 'agree with the goldens|rounded activations change|same bits, for logits|quantised ones too|system refuses'
fi
ctest --preset aarch64 -j "$jobs" "$@"
