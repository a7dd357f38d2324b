// SPDX-License-Identifier: MIT
#include "rwkv/core/to_text.hpp"

#include <clocale>
#include <limits>

#include "support/support.hpp"

using rwkv::detail::to_text;

TEST_SUITE_BEGIN("core/to_text");

TEST_CASE("the shortest number that is read back, of each precision, with a point in every locale") {
  const std::string locale = std::setlocale(LC_NUMERIC, nullptr);
  for (const char* const name : {"C", "de_DE.UTF-8", "fr_FR.UTF-8"}) {  // those there are
    std::setlocale(LC_NUMERIC, name);
    CHECK(to_text(0.1) == "0.1");
    CHECK(to_text(0.1f) == "0.1");
    CHECK(to_text(static_cast<double>(0.1f)) == "0.10000000149011612");
    CHECK(to_text(-4.5) == "-4.5");
    CHECK(to_text(65519.0f) == "65519");
    CHECK(to_text(1e-7) == "1e-07");
    CHECK(to_text(std::numeric_limits<double>::lowest()) == "-1.7976931348623157e+308");
    CHECK(to_text(std::numeric_limits<float>::infinity()) == "inf");
    CHECK(to_text(4.5, 3) == "4.500");
    CHECK(to_text(-2.0 / 3, 2) == "-0.67");
    CHECK(to_text(std::numeric_limits<double>::lowest(), 3).size() == 1 + 309 + 1 + 3);
  }
  std::setlocale(LC_NUMERIC, locale.c_str());
}

TEST_SUITE_END();
