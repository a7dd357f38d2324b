// SPDX-License-Identifier: MIT
// The Config of a small model of every generation.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "rwkv/arch/config.hpp"

namespace rwkv_test {

/// One of each generation that names and shapes tell apart, all low-rank widths different. With tokens below 20.
inline const std::vector<rwkv::Config>& small_models() {
  using rwkv::Generation;
  static const std::vector<rwkv::Config> configs{
      {Generation::v1, 2, 16, 18, 40, 2, 9, 20, {}, false, false, 12, 4, true},
      {Generation::v2, 2, 16, 16, 32, 0, 0, 20, {}, false, false, 6, 4},
      {Generation::v3, 3, 16, 16, 32, 0, 0, 20, {}, true, false, 6, 4},
      {Generation::v4, 2, 16, 24, 32, 0, 0, 20},
      {Generation::v5_0, 2, 16, 16, 32, 2, 8, 20, {}, false, true},
      {Generation::v5_1, 2, 16, 16, 32, 2, 8, 20},
      {Generation::v5_2, 2, 16, 16, 32, 2, 8, 20},
      {Generation::v6, 2, 16, 16, 32, 2, 8, 20, {.mix = 3, .decay = 5}},
      {Generation::v6a, 2, 16, 16, 32, 2, 8, 20, {.mix = 3, .decay = 5, .gate = 6}},
      {Generation::v6b, 2, 16, 16, 32, 2, 8, 20, {.mix = 3, .decay = 5}},
      {Generation::v7, 2, 16, 16, 32, 2, 8, 20, {0, 3, 5, 7, 9}},
      {Generation::v7a, 2, 16, 16, 32, 2, 8, 20, {0, 3, 5, 7, 9, 6}},
      {Generation::v7b, 2, 16, 16, 32, 2, 8, 20, {0, 3, 5, 7, 9, 6, 10, 11}, false, false, 4096},
      {Generation::v8_rc00, 2, 16, 16, 32, 2, 8, 20, {0, 3, 5, 7, 9}},
  };
  return configs;
}

inline const rwkv::Config& small_model(rwkv::Generation generation) {
  const auto found = std::ranges::find(small_models(), generation, &rwkv::Config::generation);
  if (found == small_models().end()) throw std::logic_error("there is no small model of this generation");
  return *found;
}

/// The same for texts of bytes.
inline rwkv::Config small_byte_model(rwkv::Generation generation) {
  rwkv::Config config = small_model(generation);
  config.n_vocab = 256;
  return config;
}

}  // namespace rwkv_test
