// SPDX-License-Identifier: MIT
// What a model is: its generation and its sizes.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/to_text.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// The generations of RWKV, and those of their variants that have tensors of their own. Names and shapes of tensors
/// tell them apart, but for v6c, which looks like v6b and has to be asked for.
enum class Generation { v1, v2, v3, v4, v5_0, v5_1, v5_2, v6, v6a, v6b, v6c, v7, v7a, v7b, v8_rc00 };

[[nodiscard]] constexpr std::string_view name(Generation generation) noexcept {
  constexpr std::string_view names[] = {"1",  "2",  "3",  "4", "5.0", "5.1", "5.2",   "6",
                                        "6a", "6b", "6c", "7", "7a",  "7b",  "8-rc00"};
  return names[static_cast<int>(generation)];
}

/// Widths of the narrow matrices that low-rank parts of a model are made of; 0 where it has no such part.
struct LowRank {
  Index mix = 0;    ///< RWKV-6: time_maa_w1, each of its slices
  Index decay = 0;  ///< RWKV-6: time_decay_w1; RWKV-7: w1
  Index rate = 0;   ///< RWKV-7: a1, the in-context learning rate
  Index value = 0;  ///< RWKV-7: v1, the residual of the values
  Index gate = 0;   ///< RWKV-6a: gate_w1; RWKV-7: g1
  Index embed = 0;  ///< RWKV-7a and 7b: s1
  Index query = 0;  ///< RWKV-7b: qq, the queries and keys of its attention
  Index kept = 0;   ///< RWKV-7b: k1 and v1, what the attention keeps of a token

  friend constexpr bool operator==(const LowRank&, const LowRank&) noexcept = default;
};

/// The generation and the sizes of a model: all that detect() reads off its tensors.
struct Config {
  Generation generation = Generation::v4;
  Index n_layer = 0;
  Index n_embd = 0;     ///< C, the width of the residual stream
  Index n_att = 0;      ///< A, the width of the time mixing; C in most models
  Index n_ffn = 0;      ///< F, the hidden units of the channel mixing; 4 C in most models
  Index n_head = 0;     ///< H; 0 in generations without heads
  Index head_size = 0;  ///< N; A = H N
  Index n_vocab = 0;    ///< V
  LowRank low_rank = {};
  /// Block 0 has a second channel mixing, `ffnPre`, in place of its time mixing (RWKV-2 to 4neo, by option).
  bool has_ffn_pre = false;
  /// The bonus of RWKV-5.0 and 5.1 is stored as its logarithm, `time_first`, instead of as it is, `time_faaaa`.
  bool has_time_first = false;
  /// Tokens that are remembered one by one: RWKV-1 and 7b read no more than that, the copy head of RWKV-1 to 4 points
  /// to the last so many. 0: none, and no limit.
  Index n_ctx = 0;
  Index n_copy = 0;  ///< width of the copy head (head_q, head_k); 0: there is none
  /// RWKV-1: a factor for each position before the head.
  bool has_time_out = false;
  /// Of the normalisation of heads in RWKV-5 to 7. Official checkpoints do not store it: 1e-5 times the square of
  /// head_size_divisor, which is 8 in all published ones. RWKV-5.0 models of the summer of 2023, and rwkv.cpp with all
  /// RWKV-5, have 1e-5. Where a checkpoint tells (group_norm_eps_key), detect() takes that.
  double group_norm_eps = 64e-5;

  friend constexpr bool operator==(const Config&, const Config&) noexcept = default;
};

/// Whether a model of this generation may have a second channel mixing in place of its first time mixing.
[[nodiscard]] constexpr bool may_have_ffn_pre(Generation generation) noexcept {
  return generation >= Generation::v2 && generation <= Generation::v4;
}

/// Throws ArgumentError unless the heads make up the attention.
inline void check_heads(const Config& config) {
  if (config.n_head > 0 && config.head_size > 0 && config.n_att % config.n_head == 0 &&
      config.head_size == config.n_att / config.n_head) {
    return;
  }
  throw ArgumentError({.item = "Config::n_head, head_size",
                       .expected = "numbers whose product is n_att = " + std::to_string(config.n_att),
                       .found = std::to_string(config.n_head) + " and " + std::to_string(config.head_size)});
}

/// Throws ArgumentError unless a model of these sizes can be: none is missing, heads make up the attention, low-rank
/// parts have a width, and n_ctx is there exactly where tokens are remembered one by one.
inline void check(const Config& config) {
  const auto require = [&](bool is_met, const char* what, const char* expected, Index found) {
    if (is_met) return;
    throw ArgumentError({.item = "Config of an RWKV-" + std::string(name(config.generation)) + ": " + what,
                         .expected = expected,
                         .found = std::to_string(found)});
  };
  const Generation generation = config.generation;
  const std::pair<const char*, Index> sizes[]{{"n_layer", config.n_layer},
                                              {"n_embd", config.n_embd},
                                              {"n_att", config.n_att},
                                              {"n_ffn", config.n_ffn},
                                              {"n_vocab", config.n_vocab}};
  for (const auto& [what, size] : sizes) require(size > 0, what, "1 or more", size);
  const bool is_v6 = generation >= Generation::v6 && generation <= Generation::v6c;
  const bool is_v7 = generation >= Generation::v7;
  if (generation == Generation::v1 || generation >= Generation::v5_0) check_heads(config);
  const LowRank& low_rank = config.low_rank;
  require(!is_v6 || low_rank.mix > 0, "low_rank.mix", "1 or more", low_rank.mix);
  require(!(is_v6 || is_v7) || low_rank.decay > 0, "low_rank.decay", "1 or more", low_rank.decay);
  require(!is_v7 || low_rank.rate > 0, "low_rank.rate", "1 or more", low_rank.rate);
  require(!is_v7 || config.n_layer == 1 || low_rank.value > 0, "low_rank.value", "1 or more", low_rank.value);
  const bool has_n_ctx = generation == Generation::v1 || generation == Generation::v7b || config.n_copy > 0;
  constexpr Index max_n_ctx = Index{1} << 22;  // twice as many are still exact as a float of the State
  require(!has_n_ctx || (config.n_ctx > 0 && config.n_ctx <= max_n_ctx), "n_ctx", "1 to 4194304", config.n_ctx);
  require(has_n_ctx || config.n_ctx == 0, "n_ctx", "0: the model has no limit", config.n_ctx);
  require(!config.has_ffn_pre || may_have_ffn_pre(generation), "has_ffn_pre", "0: RWKV-2 to 4 may have it", 1);
  const bool is_eps = config.group_norm_eps >= 0 && config.group_norm_eps < 1;  // false for NaN
  if (is_eps) return;
  throw ArgumentError({.item = "group_norm_eps",
                       .expected = "a number from 0 to below 1",
                       .found = detail::to_text(config.group_norm_eps)});
}

RWKV_NAMESPACE_END
