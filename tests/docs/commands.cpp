// SPDX-License-Identifier: MIT
// What is wrong with commands in the documentation is found without running them.
#include "docs/workplace.hpp"
#include "support/support.hpp"

using rwkv_test::wrong_commands;

TEST_SUITE_BEGIN("docs");

TEST_CASE("commands: flags that the program has not are found, in synopses, too") {
  CHECK(wrong_commands("rwkv chat -m MODEL [--system TEXT]    --what stands here explains", "") == "");
  CHECK(wrong_commands("rwkv chat --sistem TEXT", "") == "rwkv has no --sistem\n");
  CHECK(wrong_commands("rwkv eval perplexity|lambada FILE [--against MODEL]", "") == "");
  CHECK(wrong_commands("build/compiled/bin/rwkv bench -q  # quickly", "") == "build/compiled/bin/rwkv has no -q\n");
  CHECK(wrong_commands("rwkv sing", "") == "rwkv has no command sing\n");
}

TEST_CASE("commands: scripts, their flags, presets, targets and variables that do not exist are found") {
  CHECK(wrong_commands("sh cmake/demo.sh", "") == "");
  CHECK(wrong_commands("python3 train.py --text a \\\n    --vocab b", "examples/train") == "");
  CHECK(wrong_commands("sh cmake/opera.sh", "") == "there is no cmake/opera.sh\n");
  CHECK(wrong_commands("python3 bench/pictures.py --loud", "") == "python3 has no --loud\n");
  CHECK(wrong_commands("cmake --preset release && ctest --preset debug", "") == "ctest knows nothing of debug\n");
  CHECK(wrong_commands("cmake -DRWKV_FAST=ON --build --target rwkv_cli", "") == "cmake knows nothing of RWKV_FAST\n");
  CHECK(wrong_commands("CC=clang frobnicate x", "") == "nothing is known of frobnicate\n");
}

TEST_SUITE_END();
