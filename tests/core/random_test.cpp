// SPDX-License-Identifier: MIT
#include "rwkv/core/random.hpp"

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/random");

TEST_CASE("SplitMix64 and xoshiro256** give the numbers of their reference code") {
  // The state after seeding is the output of SplitMix64 from that seed; from 0 it begins e220a8397b1dcdaf,
  // 6e789e6aa1b965f4, 06c45d188009454f, f88bb8a8724c81ec (prng.di.unimi.it/splitmix64.c). The first output of
  // xoshiro256** is rotl(s1 * 5, 7) * 9.
  Random random(0);
  const std::uint64_t s1 = 0x6e789e6aa1b965f4u;
  CHECK(random.next() == std::rotl(s1 * 5, 7) * 9);
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
