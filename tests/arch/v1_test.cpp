// SPDX-License-Identifier: MIT
// What the golden files of tests/model_test.cpp do not show.
#include "rwkv/arch/v1.hpp"

#include "rwkv/load.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::max_abs_difference;
using rwkv_test::shared_file;

namespace {

/// The model of the specification (n_ctx = 24) with some of its tensors replaced by one value.
Checkpoint model_with(const std::string& ending, float value) {
  const Checkpoint all = open_checkpoint(shared_file("spec/golden/models/v1_late.safetensors"));
  Checkpoint changed("changed");
  for (const auto& [name, tensor] : all.entries()) {
    const std::vector<float> values(static_cast<std::size_t>(tensor.n_elements()), value);
    changed.add(name, name.ends_with(ending) ? make_tensor(tensor.shape, values) : tensor);
  }
  return changed;
}

std::vector<float> last_logits(const Checkpoint& checkpoint) {
  const Model model(checkpoint);
  Workspace workspace({1});
  auto state = model.new_state();
  const std::vector<Token> tokens{1, 2, 3, 2, 1};
  const auto logits = model.forward(tokens, state, workspace);
  return {logits.begin(), logits.end()};
}

}  // namespace

TEST_SUITE_BEGIN("arch/v1");

TEST_CASE("mish agrees with its definition, from where it vanishes to where it is the identity") {
  for (double x = -40; x <= 40; x += 0.0625) {
    const double expected = x * std::tanh(std::log1p(std::exp(x)));
    CHECK(std::abs(v1::mish(x) - expected) <= 1e-15 * std::abs(x));
    CHECK(std::abs(v1::mish(static_cast<float>(x)) - expected) <= 4e-7 * std::abs(x));
  }
  CHECK(v1::mish(1e30f) == 1e30f);
  CHECK(v1::mish(-1e30f) == 0);
}

TEST_CASE("more tokens than the context has are refused, and change nothing") {
  RWKV_NEEDS_SHARED();
  const auto model = load_model(shared_file("spec/golden/models/v1_late.safetensors"));
  const std::vector<Token> tokens(25, 3);
  const std::span<const Token> all(tokens);
  Workspace workspace({2});
  auto state = model.new_state();
  CHECK_THROWS_WITH_AS(model.forward(all, state, workspace),
                       "tokens: expected at most 24 more, for the context of 24 tokens that this RWKV-1 model has, "
                       "found 25",
                       ArgumentError);
  CHECK(state == model.new_state());
  model.forward(all.first(20), state, workspace);
  const auto before = state;
  CHECK_THROWS_WITH_AS(model.forward(all.first(5), state, workspace), doctest::Contains("at most 4 more"),
                       ArgumentError);
  auto fresh = model.new_state();
  Sequence batch[] = {{all.first(3), &fresh}, {all.first(5), &state}};
  CHECK_THROWS_AS(model.forward(batch, workspace), ArgumentError);
  auto rows = model.embed(all.first(5), workspace);
  CHECK_THROWS_AS(model.apply_layers(0, 3, rows, state, workspace), ArgumentError);
  CHECK_THROWS_AS(model.apply_head(rows, Logits::last, state, workspace), ArgumentError);
  CHECK(state == before);
  CHECK(fresh == model.new_state());
  model.forward(all.first(4), state, workspace);  // full to the last place
  CHECK_THROWS_WITH_AS(model.forward(all.first(1), state, workspace), doctest::Contains("at most 0 more"),
                       ArgumentError);
}

TEST_CASE("keys are kept within -60 and 30") {
  RWKV_NEEDS_SHARED();
  CHECK(last_logits(model_with("attn.key.bias", 1e4f)) == last_logits(model_with("attn.key.bias", 1e6f)));
  CHECK(last_logits(model_with("attn.key.bias", -1e4f)) == last_logits(model_with("attn.key.bias", -1e6f)));
  for (const float logit : last_logits(model_with("attn.key.bias", -1e4f))) CHECK(std::isfinite(logit));
}

TEST_CASE("heads that do not divide the channels, and the attention models, are refused") {
  RWKV_NEEDS_SHARED();
  const auto with = [](const std::string& name, const Shape& shape) {
    const Checkpoint all = open_checkpoint(shared_file("spec/golden/models/v1_late.safetensors"));
    Checkpoint changed("changed");
    const auto tensor = make_tensor(shape, std::vector<float>(static_cast<std::size_t>(shape[0] * shape[1])));
    for (const auto& [each, original] : all.entries()) changed.add(each, each == name ? tensor : original);
    if (!all.contains(name)) changed.add(name, tensor);
    return changed;
  };
  CHECK_THROWS_WITH_AS(Model{with("blocks.0.attn.time_w", {3, 24})},
                       "changed: tensor 'blocks.0.attn.time_w': expected heads of equal size, 2 to 1024 channels, that "
                       "make up 32 channels, "
                       "the rows of 'blocks.0.attn.key.weight', found shape [3, 24]",
                       ModelError);
  CHECK_THROWS_WITH_AS(Model{with("blocks.0.attn.query.weight", {32, 32})}, doctest::Contains("attention models"),
                       UnsupportedError);
  CHECK_THROWS_WITH_AS(Model{with("blocks.0.attn.tiny_att.qkv.weight", {32, 32})},
                       doctest::Contains("'blocks.0.attn.tiny_att.qkv.weight'"), UnsupportedError);
}

TEST_SUITE_END();
