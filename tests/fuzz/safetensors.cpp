// SPDX-License-Identifier: MIT
// safetensors files in official names, in those of Hugging Face libraries and of web-rwkv.
#include "fuzz.hpp"
#include "safetensors_mutator.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return rwkv_fuzz::only_errors([&] { rwkv_fuzz::touch(rwkv_fuzz::open(data, size)); });
}
