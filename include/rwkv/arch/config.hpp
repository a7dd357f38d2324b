// SPDX-License-Identifier: MIT
// What a model is: its generation and its sizes.
#pragma once

#include <string_view>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// The generations of RWKV that tensor names and shapes tell apart.
enum class Generation { v1, v2, v3, v4, v5_0, v5_1, v5_2, v6, v7 };

[[nodiscard]] constexpr std::string_view name(Generation generation) noexcept {
  constexpr std::string_view names[] = {"1", "2", "3", "4", "5.0", "5.1", "5.2", "6", "7"};
  return names[static_cast<int>(generation)];
}

struct Config {
  Generation generation = Generation::v4;
  Index n_layer = 0;
  Index n_embd = 0;     ///< C, the width of the residual stream
  Index n_att = 0;      ///< A, the width of the time mixing; C in most models
  Index n_ffn = 0;      ///< F, the hidden units of the channel mixing; 4 C in most models
  Index n_head = 0;     ///< H; 0 in generations without heads
  Index head_size = 0;  ///< N; A = H N
  Index n_vocab = 0;    ///< V
  /// Block 0 has a second channel mixing, `ffnPre`, in place of its time mixing (RWKV-v2 to v4neo, by option).
  bool has_ffn_pre = false;

  friend constexpr bool operator==(const Config&, const Config&) noexcept = default;
};

RWKV_NAMESPACE_END
