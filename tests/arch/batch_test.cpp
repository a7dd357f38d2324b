// SPDX-License-Identifier: MIT
#include "rwkv/arch/batch.hpp"

#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::random_values;

TEST_SUITE_BEGIN("arch/batch");

TEST_CASE("token shift blends each row with the one before it, across calls and within a batch") {
  const Index n = 5;
  const auto rows = random_values<double>(8 * n, 1);
  const auto mu = random_values<double>(n, 2);
  Workspace workspace({2});
  // One sequence of rows 0..4 in two calls, another of rows 5..7, in one batch with the second call.
  std::vector<double> first_state(2 + n), second_state(2 + n), empty_state(2 + n), y(rows.size());
  const auto shift = [&](Index first, Index n_rows, std::vector<Segment<double>> segments) {
    const Mix<double> mix{mu.data(), {y.data() + first * n, n_rows, n}};
    token_shift<double>({rows.data() + first * n, n_rows, n}, 2, std::span(&mix, 1), {segments, workspace});
  };
  shift(0, 2, {{0, 2, first_state.data()}});
  shift(2, 6, {{0, 3, first_state.data()}, {3, 0, empty_state.data()}, {3, 3, second_state.data()}});
  CHECK(empty_state == std::vector<double>(2 + n));
  for (Index row = 0; row < 8; ++row) {
    for (Index c = 0; c < n; ++c) {
      const bool is_first = row == 0 || row == 5;
      const double before = is_first ? 0 : rows[static_cast<std::size_t>((row - 1) * n + c)];
      const double m = mu[static_cast<std::size_t>(c)];
      const double expected = rows[static_cast<std::size_t>(row * n + c)] * m + before * (1 - m);
      CHECK(y[static_cast<std::size_t>(row * n + c)] == doctest::Approx(expected).epsilon(1e-14));
    }
  }
  CHECK(std::equal(first_state.begin() + 2, first_state.end(), rows.begin() + 4 * n));
  CHECK(std::equal(second_state.begin() + 2, second_state.end(), rows.begin() + 7 * n));
  CHECK(first_state[0] == 0);
}

TEST_SUITE_END();
