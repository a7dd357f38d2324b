// SPDX-License-Identifier: MIT
// Where a number of bits is spent best.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "rwkv/core/dtype.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// A matrix, and what the types to choose from mean for it.
struct TypeChoice {
  struct Option {
    DType dtype;
    double bits;        // of the whole matrix
    double divergence;  // how much worse the model is with it; any unit
  };
  std::string name;
  double n_weights;
  std::vector<Option> options;  // as keep_hull leaves them
  std::size_t chosen = 0;

  [[nodiscard]] bool can_step() const noexcept { return chosen + 1 < options.size(); }
  [[nodiscard]] double step_bits() const { return options[chosen + 1].bits - options[chosen].bits; }
  /// The divergence that the next step saves, for each of its bits.
  [[nodiscard]] double step_gain() const {
    return (options[chosen].divergence - options[chosen + 1].divergence) / step_bits();
  }
};

/// Leaves the options of the lower convex hull, the smallest first: each step gains less than the one before.
inline void keep_hull(std::vector<TypeChoice::Option>& options) {
  std::sort(options.begin(), options.end(), [](const auto& a, const auto& b) {
    return std::pair(a.bits, a.divergence) < std::pair(b.bits, b.divergence);
  });
  std::vector<TypeChoice::Option> hull;
  for (const TypeChoice::Option& option : options) {
    if (!hull.empty() && option.divergence >= hull.back().divergence) continue;
    while (hull.size() > 1) {
      const auto &a = hull[hull.size() - 2], &b = hull.back();
      const double to_b = (a.divergence - b.divergence) / (b.bits - a.bits);
      if ((a.divergence - option.divergence) / (option.bits - a.bits) < to_b) break;
      hull.pop_back();
    }
    hull.push_back(option);
  }
  options = std::move(hull);
}

/// Steps up, one step after the other, where it gains most, as long as the mean over all weights is at most
/// `bits_per_weight`. Returns the smallest mean there is; if that is more, nothing fits.
inline double spend_bits(std::vector<TypeChoice>& choices, double bits_per_weight) {
  double n_weights = 0, smallest = 0;
  for (TypeChoice& choice : choices) {
    choice.chosen = 0;
    n_weights += choice.n_weights;
    smallest += choice.options.front().bits;
  }
  double bits_left = bits_per_weight * n_weights - smallest;
  for (;;) {
    TypeChoice* best = nullptr;
    for (TypeChoice& choice : choices) {
      if (!choice.can_step() || choice.step_bits() > bits_left) continue;
      if (best == nullptr || choice.step_gain() > best->step_gain()) best = &choice;
    }
    if (best == nullptr) return n_weights > 0 ? smallest / n_weights : 0;
    bits_left -= best->step_bits();
    ++best->chosen;
  }
}

}  // namespace detail

RWKV_NAMESPACE_END
