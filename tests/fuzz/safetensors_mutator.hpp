// SPDX-License-Identifier: MIT
// Keeps safetensors files whole while they are changed: with a wrong length of the header, nothing behind it is read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

/// Changes the header and its length, or one time in eight any bytes.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  std::uint64_t length = 0;
  if (size >= sizeof length) std::memcpy(&length, data, sizeof length);
  if (length == 0 || length > size - sizeof length || seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::uint8_t* const header = data + sizeof length;
  const std::vector<std::uint8_t> rest(header + length, data + size);
  std::vector<std::uint8_t> changed(header, header + length);
  changed.resize(length + (max_size - size));
  length = LLVMFuzzerMutate(changed.data(), length, changed.size());
  std::memcpy(data, &length, sizeof length);
  std::copy_n(changed.begin(), length, header);
  std::copy(rest.begin(), rest.end(), header + length);
  return sizeof length + length + rest.size();
}
