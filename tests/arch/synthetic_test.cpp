// SPDX-License-Identifier: MIT
#include "rwkv/arch/synthetic.hpp"

#include "rwkv/model.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

/// A model whose rows are whole blocks of every type.
Config blocks_of_256() {
  return {Generation::v7, 1, 256, 256, 512, 4, 64, 300, {.decay = 8, .rate = 8, .value = 8, .gate = 8}};
}

}  // namespace

TEST_SUITE_BEGIN("arch/synthetic");

TEST_CASE("weights of every type are uniform, of the size that keeps activations, and the model runs") {
  for (const DTypeInfo& type : dtype_infos) {
    if (!type.is_real || type.dtype == DType::f64) continue;
    CAPTURE(type.name);
    const Checkpoint checkpoint = synthetic(blocks_of_256(), type.dtype, 1);
    const TensorView& head = checkpoint.at("head.weight");
    CHECK(head.dtype == type.dtype);
    CHECK(checkpoint.at("blocks.0.att.w1").dtype == (type.block_elements > 1 ? DType::bf16 : type.dtype));
    const double limit = std::sqrt(3.0 / 256);
    double mean = 0, square = 0, largest = 0;
    const Buffer<double> values = read_all<double>(head);
    for (const double value : values) {
      mean += value / static_cast<double>(values.size());
      square += value * value / static_cast<double>(values.size());
      largest = std::max(largest, std::abs(value));
    }
    // Uniform numbers in +-limit: mean 0 +- 0.58 limit / sqrt(76800), mean square limit^2 / 3. Codes differ: half a
    // step of q4_0 is limit / 16, 16 codes from -limit to limit have 255 / 225 of that square, those of iq4_nl are
    // denser near 0.
    CHECK(std::abs(mean) < limit / 14);
    CHECK(largest < 1.01 * limit);
    CHECK(square > 0.8 * limit * limit / 3);
    CHECK(square < 1.14 * limit * limit / 3);

    const Model model(checkpoint);
    Workspace workspace({1});
    auto state = model.new_state();
    for (const float logit : model.forward(std::vector<Token>{1, 2, 3}, state, workspace)) {
      REQUIRE(std::isfinite(logit));
    }
  }
}

TEST_CASE("types that hold no weights, and rows that are no whole blocks, are refused") {
  CHECK_THROWS_WITH_AS(static_cast<void>(synthetic(blocks_of_256(), DType::i8, 1)), doctest::Contains("found i8"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(static_cast<void>(synthetic(rwkv_test::small_model(Generation::v7), DType::q8_0, 1)),
                       doctest::Contains("'emb.weight': expected rows of whole blocks of 32"), ArgumentError);
}

TEST_SUITE_END();
