// SPDX-License-Identifier: MIT
// What logits say of the token that came next.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>

#include "rwkv/core/error.hpp"
#include "rwkv/core/portable_math.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// What a model gave the token that did come next.
struct Prediction {
  double log_p;  ///< ln softmax(logits)[next], in double; NaN if a logit is NaN or +infinity, or all are -infinity
  bool is_best;  ///< whether no other token has a larger logit, and none with a lower id the same
};

/// Logits are [n_vocab], `next` is one of 0 .. n_vocab - 1.
[[nodiscard]] inline Prediction predict(std::span<const float> logits, Token next) noexcept {
  const auto best = std::max_element(logits.begin(), logits.end());
  const double maximum = *best;
  double sum = 0;
  bool is_valid = std::isfinite(maximum);
  for (const float logit : logits) {
    is_valid = is_valid && !std::isnan(logit);
    sum += exp_minus(maximum - logit);
  }
  if (!is_valid) return {std::numeric_limits<double>::quiet_NaN(), false};
  return {logits[static_cast<std::size_t>(next)] - maximum - std::log(sum), best - logits.begin() == next};
}

RWKV_NAMESPACE_END
