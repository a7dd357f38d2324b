// SPDX-License-Identifier: MIT
// Files of rwkv.cpp, and the way back to official tensors.
#include "fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return rwkv_fuzz::only_errors([&] { rwkv_fuzz::touch(rwkv_fuzz::open(data, size)); });
}
