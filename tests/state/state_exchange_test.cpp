// SPDX-License-Identifier: MIT
#include "rwkv/state/state_exchange.hpp"

#include "support/states.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::counted;
using rwkv_test::LayoutOnly;

namespace {

using Values = std::vector<float>;

constexpr Config v4_config{Generation::v4, 2, 2, 2, 8, 0, 0, 10};

/// Two layers of two channels, in generations with heads two heads of one channel each.
Config config_of(Generation generation) {
  if (generation == Generation::v4) return v4_config;
  return {generation, 2, 2, 2, 8, 2, 1, 10, {.mix = 1, .decay = 1, .rate = 1, .value = 1, .gate = 0, .embed = 1}};
}

constexpr Generation with_matrices[] = {Generation::v5_0, Generation::v5_1, Generation::v5_2, Generation::v6,
                                        Generation::v6a,  Generation::v6b,  Generation::v6c,  Generation::v7};

Values values_of(const TensorView& tensor) {
  const auto values = read_all<float>(tensor);
  return {values.begin(), values.end()};
}

}  // namespace

TEST_SUITE_BEGIN("state/state_exchange");

TEST_CASE("pip: RWKV-4 has att_x, aa, bb, pp, ffn_x for each layer") {
  const LayoutOnly model(v4_config);
  auto state = model.new_state();
  float value = 0;
  for (const std::string layer : {"blocks.0.", "blocks.1."}) {
    for (const std::string part : {"att.xx", "att.aa", "att.bb", "att.pp", "ffn.xx"}) {
      for (float& each : state.tensor(layer + part)) each = ++value;
    }
  }
  const auto tensors = to_pip_state(state);
  REQUIRE(tensors.size() == 10);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    CAPTURE(i);
    CHECK(tensors[i].dtype == DType::f32);
    CHECK(tensors[i].shape == Shape{2});
    const auto first = static_cast<float>(2 * i + 1);
    CHECK(values_of(tensors[i]) == Values{first, first + 1});
  }
  CHECK(from_pip_state(model, tensors) == state);
}

TEST_CASE("pip: RWKV-5 to 7 have att_x, S, ffn_x for each layer") {
  // One layer, two channels, one head: S is a matrix of two rows.
  const LayoutOnly one({Generation::v7, 1, 2, 2, 8, 1, 2, 10, {.decay = 1, .rate = 1}});
  const auto tensors = to_pip_state(counted(one.new_state()));
  REQUIRE(tensors.size() == 3);
  CHECK(values_of(tensors[0]) == Values{1, 2});
  CHECK(tensors[1].shape == Shape{1, 2, 2});
  CHECK(values_of(tensors[1]) == Values{3, 4, 5, 6});
  CHECK(values_of(tensors[2]) == Values{7, 8});
  for (const Generation generation : with_matrices) {
    CAPTURE(name(generation));
    const LayoutOnly model(config_of(generation));
    const auto state = counted(model.new_state());
    const auto list = to_pip_state(state);
    REQUIRE(list.size() == 6);
    CHECK(list[4].shape == Shape{2, 1, 1});
    CHECK(from_pip_state(model, list) == state);
  }
}

TEST_CASE("rwkv.cpp: RWKV-4 has ffn_x, att_x, aa, bb, pp for each layer") {
  const LayoutOnly model(v4_config);
  auto state = model.new_state();
  float value = 0;
  for (const std::string layer : {"blocks.0.", "blocks.1."}) {
    for (const std::string part : {"ffn.xx", "att.xx", "att.aa", "att.bb", "att.pp"}) {
      for (float& each : state.tensor(layer + part)) each = ++value;
    }
  }
  CHECK(to_rwkvcpp_state(state) == Values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20});
  CHECK(from_rwkvcpp_state(model, to_rwkvcpp_state(state)) == state);
}

TEST_CASE("rwkv.cpp: RWKV-5 to 7 have ffn_x, att_x, S row by row for each layer") {
  for (const Generation generation : with_matrices) {
    CAPTURE(name(generation));
    Config config = config_of(generation);
    config.n_head = 1;
    config.head_size = 2;
    const LayoutOnly model(config);
    auto state = model.new_state();
    float value = 0;
    for (const std::string layer : {"blocks.0.", "blocks.1."}) {
      for (const std::string part : {"ffn.xx", "att.xx", "att.S"}) {
        for (float& each : state.tensor(layer + part)) each = ++value;
      }
    }
    CHECK(to_rwkvcpp_state(state) == Values{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
    CHECK(from_rwkvcpp_state(model, to_rwkvcpp_state(state)) == state);
  }
}

TEST_CASE("double States go out in double to Python and rounded to rwkv.cpp, and take floats and halves") {
  const LayoutOnly<double> model(v4_config);
  auto state = counted(model.new_state());
  for (double& each : state.values()) each += 0x1p-40;
  const auto tensors = to_pip_state(state);
  CHECK(tensors[0].dtype == DType::f64);
  CHECK(from_pip_state(model, tensors) == state);
  const auto rounded = from_rwkvcpp_state(model, to_rwkvcpp_state(state));
  CHECK(rounded == counted(model.new_state()));
  auto mixed = tensors;
  const std::vector<std::uint16_t> halves{0x3c00, 0x4000};  // 1, 2
  mixed[0] = make_tensor(DType::f16, {2}, std::span<const std::uint16_t>(halves));
  CHECK(from_pip_state(model, mixed).tensor("blocks.0.att.xx")[1] == 2.0);
}

TEST_CASE("sizes that do not fit are refused") {
  const LayoutOnly model(v4_config);
  auto tensors = to_pip_state(model.new_state());
  const std::vector<float> values(21);
  tensors[3] = make_tensor({1, 2}, std::span(values).first(2));
  CHECK_THROWS_WITH_AS(static_cast<void>(from_pip_state(model, tensors)),
                       doctest::Contains("tensor '3': expected real numbers of shape [2], found f32 [1, 2]"),
                       ModelError);
  tensors.pop_back();
  CHECK_THROWS_WITH_AS(static_cast<void>(from_pip_state(model, tensors)),
                       doctest::Contains("state: is of another model: expected 10 tensors, found 9"), ModelError);
  for (const std::size_t n : {0u, 19u, 21u}) {
    CHECK_THROWS_WITH_AS(static_cast<void>(from_rwkvcpp_state(model, std::span(values).first(n))),
                         doctest::Contains("state: is of another model: expected 20 numbers, found"), ModelError);
  }
}

TEST_CASE("models that other programs do not run have no layout there") {
  Config ffn_pre = v4_config, copying = v4_config;
  ffn_pre.has_ffn_pre = true;
  copying.n_ctx = copying.n_copy = 2;
  for (const auto& [config, found] :
       {std::pair{ffn_pre, "found RWKV-4 with a state tensor 'blocks.0.ffnPre.xx'"},
        std::pair{copying, "found RWKV-4 with a state tensor 'head_k'"},
        std::pair{config_of(Generation::v7a),
                  "state: other programs have no layout for States of this kind of model: "
                  "expected RWKV-4 to 7, without ffnPre and copy head, found RWKV-7a"}}) {
    const LayoutOnly model(config);
    CHECK_THROWS_WITH_AS(static_cast<void>(to_pip_state(model.new_state())), doctest::Contains(found),
                         UnsupportedError);
    CHECK_THROWS_AS(static_cast<void>(from_pip_state(model, {})), UnsupportedError);
    CHECK_THROWS_AS(static_cast<void>(to_rwkvcpp_state(model.new_state())), UnsupportedError);
    CHECK_THROWS_AS(static_cast<void>(from_rwkvcpp_state(model, {})), UnsupportedError);
  }
}

TEST_SUITE_END();
