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

RWKV_NAMESPACE_END
