// SPDX-License-Identifier: MIT
#include "rwkv/quant/quantise.hpp"

#include "rwkv/io/open.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::random_values;

TEST_SUITE_BEGIN("quant/quantise");

TEST_CASE("the blocks are those that ggml makes, byte for byte") {
  RWKV_NEEDS_SHARED();
  const std::string folder = "spec/golden/formats/";
  const Checkpoint plain = open_checkpoint(rwkv_test::shared_file(folder + "v7_F32.bin"));
  for (const auto& [file, dtype] : {std::pair{"v7_Q8_0.bin", DType::q8_0}, std::pair{"v7_Q4_0.bin", DType::q4_0},
                                    std::pair{"v7_Q5_1.bin", DType::q5_1}}) {
    CAPTURE(file);
    const Checkpoint blocks = open_checkpoint(rwkv_test::shared_file(folder + file));
    int n_tensors = 0;
    for (const auto& [name, expected] : blocks.entries()) {
      if (expected.dtype != dtype) continue;
      CAPTURE(name);
      ++n_tensors;
      const TensorView found = quantised(plain.at(name), dtype);
      REQUIRE(found.n_bytes() == expected.n_bytes());
      CHECK(std::memcmp(found.data, expected.data, static_cast<std::size_t>(found.n_bytes())) == 0);
    }
    CHECK(n_tensors > 5);
  }
}

TEST_CASE("numbers come back within half a step of their block") {
  constexpr Index n_blocks = 100;
  for (const auto& [dtype, steps] :
       {std::pair{DType::q8_0, 254}, std::pair{DType::q4_0, 16}, std::pair{DType::q4_1, 15}, std::pair{DType::q5_0, 32},
        std::pair{DType::q5_1, 31}}) {
    CAPTURE(name(dtype));
    const auto values = random_values<float>(n_blocks * 32, 7);
    const auto found = read_all<float>(quantised(make_tensor({n_blocks, 32}, values), dtype));
    for (Index block = 0; block < n_blocks; ++block) {
      double low = 0, high = 0;
      for (Index i = 32 * block; i < 32 * (block + 1); ++i) {
        low = std::min(low, static_cast<double>(values[static_cast<std::size_t>(i)]));
        high = std::max(high, static_cast<double>(values[static_cast<std::size_t>(i)]));
      }
      // Symmetric types span twice the largest magnitude, and their last step but one way is cut off.
      const double span = 2 * std::max(-low, high), step = span / steps;
      const bool is_symmetric = dtype == DType::q4_0 || dtype == DType::q5_0;
      const double bound = (is_symmetric ? 1.0 : 0.5) * step + span * 0x1p-10;  // scale and minimum in f16
      for (Index i = 32 * block; i < 32 * (block + 1); ++i) {
        CHECK(std::abs(static_cast<double>(found[i]) - static_cast<double>(values[static_cast<std::size_t>(i)])) <=
              bound);
      }
    }
  }
}

TEST_CASE("zeros stay zeros") {
  const std::vector<float> zeros(64);
  for (const DType dtype : {DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1}) {
    for (const float value : read_all<float>(quantised(make_tensor({2, 32}, zeros), dtype))) CHECK(value == 0);
  }
}

TEST_CASE("what cannot be quantised is refused") {
  const std::vector<float> values(96, 1.0f);
  const TensorView tensor = make_tensor({3, 32}, values);
  CHECK_THROWS_WITH_AS(static_cast<void>(quantised(tensor, DType::q4_k)), doctest::Contains("multiple of 32"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(static_cast<void>(quantised(tensor, DType::iq4_nl)), doctest::Contains("found iq4_nl"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(static_cast<void>(quantised(make_tensor({2, 48}, values), DType::q8_0)),
                       doctest::Contains("found [2, 48]"), ArgumentError);
  for (const float bad : {INFINITY, NAN, 65536.0f}) {
    const std::vector<float> numbers(32, bad);
    CHECK_THROWS_WITH_AS(static_cast<void>(quantised(make_tensor({32}, numbers), DType::q8_0)),
                         doctest::Contains("numbers of up to 65504"), ArgumentError);
  }
}

TEST_SUITE_END();
