// SPDX-License-Identifier: MIT
#include "rwkv/workspace.hpp"

#include <cstdint>

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("workspace");

TEST_CASE("scratch of nested frames is aligned, does not overlap, and is one piece the second time") {
  Workspace workspace({1});
  for (int round = 0; round < 3; ++round) {
    Workspace::Frame outer(workspace);
    float* const a = outer.take<float>(1000);
    std::fill_n(a, 1000, 1.0f);
    {
      Workspace::Frame inner(workspace);
      float* const b = inner.take<float>(100'000);
      double* const c = inner.take<double>(3);
      CHECK(reinterpret_cast<std::uintptr_t>(b) % 64 == 0);
      CHECK(reinterpret_cast<std::uintptr_t>(c) % 64 == 0);
      std::fill_n(b, 100'000, 2.0f);
      c[2] = 3.0;
    }
    Workspace::Frame again(workspace);
    std::fill_n(again.take<float>(50'000), 50'000, 4.0f);
    CHECK(std::all_of(a, a + 1000, [](float value) { return value == 1.0f; }));
    // One chunk, a power of two: less than twice what was taken. A second chunk beside it would be more.
    if (round == 2) CHECK(workspace.n_bytes() < 2 * 101'100 * 4);
  }
}

TEST_CASE("results stay where they are while frames come and go") {
  Workspace workspace({1});
  const auto results = workspace.results<float>(10);
  std::ranges::fill(results, 5.0f);
  {
    Workspace::Frame frame(workspace);
    std::fill_n(frame.take<float>(1000), 1000, 1.0f);
  }
  CHECK(std::ranges::all_of(results, [](float value) { return value == 5.0f; }));
  CHECK(workspace.results<float>(10).data() == results.data());
}

TEST_CASE("an instruction set that the processor lacks is refused, and the chosen one is told") {
  CHECK(Workspace({1, Isa::scalar}).isa() == Isa::scalar);
  CHECK(Workspace({1}).isa() == best_isa());
  for (const Isa isa : all_isas) {
    if (is_available(isa)) continue;
    CHECK_THROWS_WITH_AS(Workspace({1, isa}), doctest::Contains("does not have it"), UnsupportedError);
  }
  CHECK_THROWS_AS(Workspace({-3}), ArgumentError);
}

TEST_SUITE_END();
