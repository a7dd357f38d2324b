// SPDX-License-Identifier: MIT
#include "rwkv/core/portable_math.hpp"

#include <nlohmann/json.hpp>

#include "support/support.hpp"

using namespace rwkv;

namespace {

double number(const nlohmann::json& hexadecimal) { return std::stod(hexadecimal.get<std::string>()); }

}  // namespace

TEST_SUITE_BEGIN("core/portable_math");

TEST_CASE("the bits are those of the fixture, whatever was compiled") {
  const auto file = nlohmann::json::parse(rwkv_test::read_file(rwkv_test::fixture("portable_math.json")));
  REQUIRE(file["exp_minus"].size() == 403);
  for (const auto& pair : file["exp_minus"]) {
    CAPTURE(pair);
    CHECK(exp_minus(number(pair[0])) == number(pair[1]));
  }
  REQUIRE(file["log2"].size() == 204);
  for (const auto& pair : file["log2"]) {
    CAPTURE(pair);
    CHECK(portable_log2(number(pair[0])) == number(pair[1]));
  }
}

TEST_CASE("exp_minus keeps its bound") {
  Random random(1);
  for (int i = 0; i < 300000; ++i) {
    const double u = random.uniform(), x = i % 3 == 0 ? 708 * u : i % 3 == 1 ? 20 * u : std::exp(-40 * u);
    const long double exact = std::exp(-static_cast<long double>(x));
    const auto error = static_cast<double>(std::abs((exp_minus(x) - exact) / exact));
    if (error < (8 + 2 * x) * 0x1p-53) continue;
    CAPTURE(x);
    FAIL_CHECK(error);
  }
}

TEST_CASE("exp_minus at its ends") {
  CHECK(exp_minus(0) == 1);
  CHECK(exp_minus(std::numeric_limits<double>::denorm_min()) == 1);
  CHECK(exp_minus(std::nextafter(708, 0)) > 0);
  CHECK(exp_minus(708) == 0);
  CHECK(exp_minus(1e300) == 0);
  CHECK(exp_minus(std::numeric_limits<double>::infinity()) == 0);
}

TEST_CASE("exp_minus never rises") {
  for (double x = 0; x < 1; x = std::nextafter(x + 1e-5, 2)) {
    const double next = std::nextafter(x, 2);
    CAPTURE(x);
    CHECK(exp_minus(next) <= exp_minus(x) * (1 + 0x1p-50));
  }
}

TEST_CASE("portable_log2 keeps its bound, and is exact for powers of 2") {
  Random random(2);
  for (int i = 0; i < 300000; ++i) {
    const double u = random.uniform(), x = i % 2 == 0 ? 2 * u + 0x1p-60 : std::exp(700 * (2 * u - 1));
    const long double exact = std::log2(static_cast<long double>(x));
    const double error = static_cast<double>(std::abs(portable_log2(x) - exact));
    if (error < 0x1p-51 + 0x1p-53 * std::abs(static_cast<double>(exact))) continue;
    CAPTURE(x);
    FAIL_CHECK(error);
  }
  for (int n = -1022; n < 1024; ++n) CHECK(portable_log2(std::ldexp(1, n)) == n);
}

TEST_SUITE_END();
