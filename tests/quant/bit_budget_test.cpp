// SPDX-License-Identifier: MIT
#include "rwkv/quant/bit_budget.hpp"

#include "support/support.hpp"

using namespace rwkv;
using detail::TypeChoice;

TEST_SUITE_BEGIN("quant/bit_budget");

TEST_CASE("the hull of the options: dominated ones and those above a line between two others are left out") {
  std::vector<TypeChoice::Option> options{{DType::q4_0, 4, 10}, {DType::q4_1, 4, 12}, {DType::q5_0, 5, 9.5},
                                          {DType::q5_1, 6, 2},  {DType::q6_k, 7, 3},  {DType::q8_0, 8, 1}};
  detail::keep_hull(options);
  REQUIRE(options.size() == 3);
  CHECK(options[0].dtype == DType::q4_0);
  CHECK(options[1].dtype == DType::q5_1);
  CHECK(options[2].dtype == DType::q8_0);
}

TEST_CASE("bits go where they gain most, and to what fits when the best does not") {
  std::vector<TypeChoice> choices{
      {"a", 10, {{DType::q4_0, 40, 8}, {DType::q5_0, 50, 4}, {DType::q8_0, 80, 1}}},
      {"b", 10, {{DType::q4_0, 40, 9}, {DType::q8_0, 80, 0}}},
  };
  const auto chosen = [&](double bits) {
    CHECK(detail::spend_bits(choices, bits) == 4);
    return std::pair(choices[0].chosen, choices[1].chosen);
  };
  using Steps = std::pair<std::size_t, std::size_t>;
  CHECK(chosen(3.9) == Steps{0, 0});
  CHECK(chosen(4.0) == Steps{0, 0});
  CHECK(chosen(4.4) == Steps{0, 0});
  CHECK(chosen(4.5) == Steps{1, 0});  // 0.4 a bit, before 0.225
  CHECK(chosen(6.0) == Steps{2, 0});  // 40 bits for b do not fit, 30 for a do
  CHECK(chosen(6.5) == Steps{1, 1});
  CHECK(chosen(9.0) == Steps{2, 1});
}

TEST_SUITE_END();
