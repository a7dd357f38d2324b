// SPDX-License-Identifier: MIT
// PyTorch's files, the zip form and the older one, and whatever else open_checkpoint tells apart.
#include "fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return rwkv_fuzz::only_errors([&] { rwkv_fuzz::touch(rwkv_fuzz::open(data, size)); });
}
