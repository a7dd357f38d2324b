// SPDX-License-Identifier: MIT
// Which token is the most likely, the second, the third: sorted only as far as somebody asks.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <vector>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// The tokens in descending order of their logits, equal logits in ascending order of their ids.
///
/// A counting sort puts the tokens into buckets by their distance to the maximum; a bucket is sorted when a rank in it
/// is first asked for. Of 65536 tokens a sampler looks at a few, and a full sort would take longer than the softmax. No
/// allocation after the first call with the same number of logits.
class Ranking {
public:
  struct Candidate {
    float logit;
    Token token;
  };

  /// Takes the tokens whose logit is not -infinity. No logit may be NaN or above `maximum`, which must be finite.
  void assign(std::span<const float> logits, float maximum) {
    constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
    std::array<std::size_t, n_buckets> counts{};
    for (const float logit : logits) {
      if (logit != minus_infinity) ++counts[bucket(logit, maximum)];
    }
    std::size_t n = 0;
    for (std::size_t i = 0; i < n_buckets; ++i) {
      ends_[i] = n;  // for now the begin: the loop below moves it
      n += counts[i];
    }
    candidates_.reserve(logits.size());
    candidates_.resize(n);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] == minus_infinity) continue;
      candidates_[ends_[bucket(logits[i], maximum)]++] = {logits[i], static_cast<Token>(i)};
    }
    n_sorted_ = 0;
    next_bucket_ = 0;
  }

  [[nodiscard]] Index size() const noexcept { return static_cast<Index>(candidates_.size()); }

  /// The candidate of a rank, 0 .. size() - 1.
  [[nodiscard]] const Candidate& operator[](Index rank) {
    const auto position = static_cast<std::size_t>(rank);
    while (position >= n_sorted_) sort_next_bucket();
    return candidates_[position];
  }

  /// All candidates in some order, in which those of the ranks asked for so far come first and are sorted.
  [[nodiscard]] std::span<const Candidate> candidates() const noexcept { return candidates_; }

private:
  static constexpr std::size_t n_buckets = 2048;
  static constexpr float buckets_per_unit = 64;  // the last bucket takes what is 32 and more below: p < 1.3e-14 p_max

  /// Monotone in the logit, because float subtraction and multiplication are.
  static std::size_t bucket(float logit, float maximum) noexcept {
    const float position = (maximum - logit) * buckets_per_unit;  // may be infinite: compared before it is converted
    constexpr std::size_t last = n_buckets - 1;
    return position < static_cast<float>(last) ? static_cast<std::size_t>(position) : last;
  }

  void sort_next_bucket() {
    const std::size_t end = ends_[next_bucket_++];
    std::sort(candidates_.begin() + static_cast<Index>(n_sorted_), candidates_.begin() + static_cast<Index>(end),
              [](const Candidate& a, const Candidate& b) {
                return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
              });
    n_sorted_ = end;
  }

  std::vector<Candidate> candidates_;
  std::array<std::size_t, n_buckets> ends_{};  // of each bucket in candidates_
  std::size_t n_sorted_ = 0, next_bucket_ = 0;
};

RWKV_NAMESPACE_END
