// SPDX-License-Identifier: MIT
#include "rwkv/nn/rows.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("nn/rows");

TEST_CASE("every row is visited once") {
  Workspace workspace({3});
  for (const Index n_rows : {0, 1, 4, 5, 100}) {
    std::vector<int> visits(static_cast<std::size_t>(n_rows));
    for_rows(n_rows, workspace, [&](Index row) { ++visits[static_cast<std::size_t>(row)]; });
    CHECK(std::all_of(visits.begin(), visits.end(), [](int n) { return n == 1; }));
  }
}

TEST_SUITE_END();
