// SPDX-License-Identifier: MIT
#include "rwkv/core/random.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/random");

TEST_CASE("SplitMix64 and xoshiro256** give the numbers of their reference code") {
  // prng.di.unimi.it: xoshiro256starstar.c with the state e220a8397b1dcdaf 6e789e6aa1b965f4 06c45d188009454f
  // f88bb8a8724c81ec, which is what splitmix64.c gives from 0; evaluated with a transcription to Python integers.
  Random random(0);
  for (const std::uint64_t expected : {11091344671253066420u, 13793997310169335082u, 1900383378846508768u,
                                       7684712102626143532u, 13521403990117723737u, 18442103541295991498u}) {
    CHECK(random.next() == expected);
  }
}

TEST_CASE("uniform numbers are in the unit interval with mean 1/2, normal ones have mean 0 and variance 1") {
  Random random(7);
  constexpr int n = 100'000;
  double sum = 0, normal_sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform();
    REQUIRE((u >= 0 && u < 1));
    sum += u;
    const double z = random.normal();
    REQUIRE(std::isfinite(z));
    normal_sum += z;
    squares += z * z;
  }
  // Five standard errors: 0.289 / sqrt(n), 1 / sqrt(n), sqrt(2 / n).
  CHECK(std::abs(sum / n - 0.5) < 5 * 0.289 / std::sqrt(n));
  CHECK(std::abs(normal_sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
}

TEST_CASE("a copy continues the same sequence, another seed another one") {
  Random a(1), b = a;
  CHECK(a.next() == b.next());
  CHECK(a == b);
  CHECK(Random(1).next() != Random(2).next());
}

TEST_SUITE_END();
