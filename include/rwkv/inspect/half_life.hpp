// SPDX-License-Identifier: MIT
// How long a model remembers: the decays of its time mixing, and their half-lives.
#pragma once

#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "rwkv/arch/config.hpp"
#include "rwkv/core/buffer.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

/// Where log-decays come from.
enum class DecaySource {
  none,     ///< RWKV-1 weighs tokens by their distance: there is no decay
  weights,  ///< RWKV-2 to 5: the decay of every token
  bias,     ///< RWKV-6 and later: the part that does not depend on the input
  text      ///< RWKV-6 and later: the mean over the tokens of a text
};

/// What is left of a memory after one more token, as its logarithm.
struct Decays {
  DecaySource source = DecaySource::none;
  /// [n_layer][A], ln w <= 0 for each channel; in RWKV-5.0 and 5.1 [n_layer][H], for each head. In matrix-valued States
  /// channels are those of the keys. A layer without time mixing (Config::has_ffn_pre) has no values.
  std::vector<std::vector<double>> layers = {};
};

/// Whether the decay of a token depends on the text before it.
[[nodiscard]] constexpr bool has_decay_by_input(Generation generation) noexcept { return generation >= Generation::v6; }

/// Whether there is one decay for all channels of a head.
[[nodiscard]] constexpr bool has_decay_by_head(Generation generation) noexcept {
  return generation == Generation::v5_0 || generation == Generation::v5_1;
}

/// Tokens until half of a memory is left, ln 2 / -ln w: infinity for ln w = 0, 0 for -infinity.
[[nodiscard]] inline double half_life(double log_decay) noexcept {
  return log_decay < 0 ? std::numbers::ln2 / -log_decay : std::numeric_limits<double>::infinity();
}

/// ln w from what decays are stored as, with what the low-rank part adds to it:
///
///   RWKV-2 to 6     ln w = -e^x                      x = time_decay (+ tanh(z decay_w1) decay_w2 in RWKV-6)
///   RWKV-7 and on   ln w = -e^{-1/2} sigmoid(x)      x = w0 + tanh(z w1) w2
///
/// The equations of v2::Wkv, v4::Wkv, v5::TimeMix, v6::TimeMix and v7::TimeMix.
[[nodiscard]] inline double log_decay(Generation generation, double x) noexcept {
  if (generation < Generation::v7) return -std::exp(x);
  return -std::exp(-0.5) / (1 + std::exp(-x));
}

/// The official names of what a layer stores of its decay: the bias, [A] or [H], and the matrix [D, A] by which the
/// low-rank part is multiplied last, "" where there is none.
struct DecayNames {
  std::string bias, up;
};

[[nodiscard]] inline DecayNames decay_names(Generation generation, Index layer) {
  const std::string part = "blocks." + std::to_string(layer) + ".att.";
  if (generation >= Generation::v7) return {part + "w0", part + "w2"};
  return {part + "time_decay", has_decay_by_input(generation) ? part + "time_decay_w2" : ""};
}

/// Decays as the weights tell them: exactly where they do not depend on the text, else those of a low-rank part that is
/// 0. What they are in a text is in trace_text().
/// Throws ModelError naming the tensor if one is missing, ArgumentError if it holds no real numbers.
[[nodiscard]] inline Decays stored_decays(const Checkpoint& checkpoint, const Config& config) {
  const Generation generation = config.generation;
  if (generation == Generation::v1) return {};
  Decays result{has_decay_by_input(generation) ? DecaySource::bias : DecaySource::weights};
  for (Index layer = 0; layer < config.n_layer; ++layer) {
    std::vector<double>& decays = result.layers.emplace_back();
    if (config.has_ffn_pre && layer == 0) continue;
    const Buffer<double> stored = read_all<double>(checkpoint.at(decay_names(generation, layer).bias));
    for (const double x : stored.span()) decays.push_back(log_decay(generation, x));
  }
  return result;
}

RWKV_NAMESPACE_END
