// SPDX-License-Identifier: MIT
// What the golden files of tests/model_test.cpp do not show.
#include "rwkv/arch/v6.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/model.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::max_abs_difference;

TEST_SUITE_BEGIN("arch/v6");

TEST_CASE("RWKV-6c is RWKV-6b with keys k (1 - w): where w is the same for all tokens, a scale of the key matrix") {
  const Config config = rwkv_test::small_model(Generation::v6b);
  Config damped = config;
  damped.generation = Generation::v6c;
  Checkpoint plain("6b"), scaled("6b, scaled");
  const Checkpoint random = synthetic(config, DType::f32, 1);
  for (const auto& [name, tensor] : random.entries()) {
    auto values = read_all<double>(tensor);
    if (name.ends_with("time_decay_w2")) std::ranges::fill(values, 0.0);  // the decay does not depend on x
    if (name.ends_with("time_decay")) {
      for (Index c = 0; c < values.size(); ++c) values[c] = -2 + 0.2 * static_cast<double>(c);
    }
    plain.add(name, make_tensor<double>(DType::f64, tensor.shape, std::as_const(values).span()));
    if (name.ends_with("att.key.weight")) {
      for (Index c = 0; c < config.n_att; ++c) {
        const double w = std::exp(-std::exp(-2 + 0.2 * static_cast<double>(c)));
        for (Index i = 0; i < config.n_embd; ++i) values[c * config.n_embd + i] *= 1 - w;
      }
    }
    scaled.add(name, make_tensor<double>(DType::f64, tensor.shape, std::as_const(values).span()));
  }
  const BasicModel<double> model(plain, damped), expected_model(scaled, config);
  Workspace workspace({2});
  const std::vector<Token> tokens{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4};
  auto state = model.new_state(), expected_state = expected_model.new_state();
  const auto logits = model.forward(tokens, state, workspace);
  const std::vector<double> values(logits.begin(), logits.end());
  CHECK(max_abs_difference(values, expected_model.forward(tokens, expected_state, workspace)) < 1e-12);
  CHECK(max_abs_difference(state.values(), expected_state.values()) < 1e-12);

  const BasicModel<double> undamped(plain, config);
  auto plain_state = undamped.new_state();
  CHECK(max_abs_difference(values, undamped.forward(tokens, plain_state, workspace)) > 1e-3);
}

TEST_SUITE_END();
