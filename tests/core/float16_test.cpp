// SPDX-License-Identifier: MIT
#include "rwkv/core/float16.hpp"

#include <limits>

#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/float16");

TEST_CASE("f16: every finite pattern widens and narrows to itself") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float wide = f16_to_f32(half);
    if (std::isnan(wide)) {
      CHECK(std::isnan(f16_to_f32(f32_to_f16(wide))));
    } else {
      REQUIRE(f32_to_f16(wide) == half);
    }
  }
}

TEST_CASE("f16: values of IEEE 754 binary16") {
  CHECK(f16_to_f32(0x3c00) == 1.0f);
  CHECK(f16_to_f32(0xc000) == -2.0f);
  CHECK(f16_to_f32(0x7bff) == 65504.0f);
  CHECK(f16_to_f32(0x0400) == 0x1p-14f);
  CHECK(f16_to_f32(0x0001) == 0x1p-24f);
  CHECK(f16_to_f32(0x7c00) == std::numeric_limits<float>::infinity());
  CHECK(std::signbit(f16_to_f32(0x8000)));
}

TEST_CASE("f16: narrowing rounds to the nearest, ties to even") {
  CHECK(f32_to_f16(1.0f + 0x1p-11f) == 0x3c00);             // a tie between 0x3c00 and 0x3c01
  CHECK(f32_to_f16(1.0f + 3 * 0x1p-11f) == 0x3c02);         // a tie between 0x3c01 and 0x3c02
  CHECK(f32_to_f16(1.0f + 0x1p-11f + 0x1p-20f) == 0x3c01);  // just above a tie
  CHECK(f32_to_f16(65519.996f) == 0x7bff);
  CHECK(f32_to_f16(65520.0f) == 0x7c00);
  CHECK(f32_to_f16(0x1p-25f) == 0x0000);  // a tie between 0 and the smallest subnormal
  CHECK(f32_to_f16(0x1.000002p-25f) == 0x0001);
  CHECK(f32_to_f16(0x1.ff8p-15f) == 0x03ff);  // the largest subnormal
  CHECK(f32_to_f16(0x1.ffcp-15f) == 0x0400);  // a tie that rounds up into the normal range
}

TEST_CASE("bf16: every pattern widens and narrows to itself, ties go to even") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float wide = bf16_to_f32(half);
    if (std::isnan(wide)) {
      CHECK(std::isnan(bf16_to_f32(f32_to_bf16(wide))));
    } else {
      REQUIRE(f32_to_bf16(wide) == half);
    }
  }
  CHECK(f32_to_bf16(1.0f + 0x1p-8f) == 0x3f80);
  CHECK(f32_to_bf16(1.0f + 3 * 0x1p-8f) == 0x3f82);
  CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7f80);
}

TEST_SUITE_END();
