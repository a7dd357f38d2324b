// SPDX-License-Identifier: MIT
// What the tests of quantisers share: the types, matrices of several kinds, errors of blocks.
#pragma once

#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "rwkv/quant/quantise.hpp"
#include "support/support.hpp"

namespace rwkv_test {

/// The nine types of blocks.
inline std::vector<rwkv::DType> block_types() {
  std::vector<rwkv::DType> types;
  for (const rwkv::DTypeInfo& type : rwkv::dtype_infos) {
    if (type.block_elements > 1) types.push_back(type.dtype);
  }
  return types;
}

/// Numbers in rows of 512, of a kind that matrices have or that quantisers dislike.
struct Numbers {
  std::string_view kind;
  std::vector<float> values;

  [[nodiscard]] rwkv::TensorView tensor() const {
    return rwkv::make_tensor({static_cast<rwkv::Index>(values.size()) / 512, 512}, values);
  }
};

inline std::vector<Numbers> kinds_of_numbers() {
  constexpr rwkv::Index n = 8 * 512;
  const std::vector<float> normal = random_values<float>(n, 11);
  std::vector<Numbers> kinds{{"normal", normal},        {"cubes of normal", normal}, {"all positive", normal},
                             {"far from zero", normal}, {"one outlier", normal},     {"tiny", normal},
                             {"huge", normal},          {"few values", normal}};
  for (float& x : kinds[1].values) x = x * x * x;
  for (float& x : kinds[2].values) x = std::abs(x);
  for (float& x : kinds[3].values) x = x - 10;
  for (std::size_t i = 100; i < n; i += 256) kinds[4].values[i] = 40;
  for (float& x : kinds[5].values) x *= 1e-6f;  // f16 holds the scales of such blocks with few digits
  for (float& x : kinds[6].values) x *= 12000;  // up to four deviations: below 65504
  for (float& x : kinds[7].values) x = std::round(x);
  return kinds;
}

/// Of each block of a quantised copy, sum w (x - decoded)^2 in double; w has one number for each of 512 columns.
inline std::vector<double> block_errors(const Numbers& numbers, const rwkv::TensorView& blocks,
                                        std::span<const float> weights = {}) {
  const auto decoded = rwkv::read_all<double>(blocks);
  const auto size = static_cast<std::size_t>(rwkv::info(blocks.dtype).block_elements);
  std::vector<double> errors(numbers.values.size() / size);
  for (std::size_t i = 0; i < numbers.values.size(); ++i) {
    const double difference = static_cast<double>(numbers.values[i]) - decoded[static_cast<rwkv::Index>(i)];
    const double weight = weights.empty() ? 1.0 : static_cast<double>(weights[i % 512]);
    errors[i / size] += weight * difference * difference;
  }
  return errors;
}

inline double total(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

}  // namespace rwkv_test
