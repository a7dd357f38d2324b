// SPDX-License-Identifier: MIT
// Sorting by number: one function for everything that is not hot, because std::sort is a lot of code for each type.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/linkage.hpp"

RWKV_NAMESPACE_BEGIN

/// The numbers 0 .. n - 1, each before all that is_before(number, other) says it is before; others stay in order.
[[nodiscard]] RWKV_NOINLINE inline std::vector<std::size_t> sorted_order(
    std::size_t n, FunctionRef<bool(std::size_t, std::size_t)> is_before) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [is_before](std::size_t a, std::size_t b) { return is_before(a, b) || (!is_before(b, a) && a < b); });
  return order;
}

/// A copy of the values in that order.
template <class T>
[[nodiscard]] std::vector<T> sorted_copy(const std::vector<T>& values,
                                         FunctionRef<bool(const T&, const T&)> is_before) {
  std::vector<T> sorted;
  sorted.reserve(values.size());
  const auto by_number = [&](std::size_t a, std::size_t b) { return is_before(values[a], values[b]); };
  for (const std::size_t i : sorted_order(values.size(), by_number)) sorted.push_back(values[i]);
  return sorted;
}

RWKV_NAMESPACE_END
