// SPDX-License-Identifier: MIT
// Weights of every type, made of random numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "rwkv/core/float16.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/core/tensor.hpp"
#include "support/support.hpp"

namespace rwkv_test {

/// `values` rounded to the type, as bytes that start at an odd address.
struct Stored {
  rwkv::DType dtype;
  std::vector<std::byte> bytes;
  [[nodiscard]] const std::byte* data() const { return bytes.data() + 1; }
  [[nodiscard]] rwkv::TensorView view(const rwkv::Shape& shape) const { return {dtype, shape, data(), nullptr}; }
  [[nodiscard]] double at(rwkv::Index i) const { return rwkv::read_element<double>(dtype, data(), i); }
};

template <class Number>
void append(std::vector<std::byte>& bytes, Number number) {
  const auto* const from = reinterpret_cast<const std::byte*>(&number);
  bytes.insert(bytes.end(), from, from + sizeof(number));
}

inline Stored stored(rwkv::DType dtype, const std::vector<float>& values) {
  Stored result{dtype, std::vector<std::byte>(1)};
  for (const float value : values) {
    switch (dtype) {
      case rwkv::DType::f16: append(result.bytes, rwkv::f32_to_f16(value)); break;
      case rwkv::DType::bf16: append(result.bytes, rwkv::f32_to_bf16(value)); break;
      case rwkv::DType::f64: append(result.bytes, static_cast<double>(value) * (1 + 1e-12)); break;
      default: append(result.bytes, value);
    }
  }
  return result;
}

/// Blocks of random bits, with scales and minima of reasonable size.
inline Stored random_blocks(rwkv::DType dtype, rwkv::Index n, std::uint64_t seed) {
  const rwkv::DTypeInfo& type = rwkv::info(dtype);
  Stored result{dtype,
                std::vector<std::byte>(static_cast<std::size_t>(1 + n / type.block_elements * type.block_bytes))};
  rwkv::Random random(seed);
  for (std::byte& byte : result.bytes) byte = static_cast<std::byte>(random.next() >> 56);
  for (rwkv::Index block = 0; block < n / type.block_elements; ++block) {
    const auto set_f16 = [&](rwkv::Index at) {
      const std::uint16_t bits = rwkv::f32_to_f16(static_cast<float>(random.normal()));
      std::memcpy(result.bytes.data() + 1 + block * type.block_bytes + at, &bits, sizeof(bits));
    };
    const bool has_minimum = dtype == rwkv::DType::q4_1 || dtype == rwkv::DType::q5_1 || dtype == rwkv::DType::q4_k ||
                             dtype == rwkv::DType::q5_k;
    set_f16(dtype == rwkv::DType::q6_k ? 208 : 0);
    if (has_minimum) set_f16(2);
  }
  return result;
}

/// Normal values, of blocks random ones.
inline Stored random_stored(rwkv::DType dtype, rwkv::Index n, std::uint64_t seed) {
  const bool has_blocks = rwkv::info(dtype).block_elements > 1;
  return has_blocks ? random_blocks(dtype, n, seed) : stored(dtype, random_values<float>(n, seed));
}

}  // namespace rwkv_test
