// SPDX-License-Identifier: MIT
#include "rwkv/state.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/model.hpp"
#include "rwkv/state_file.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::TemporaryFile;

namespace {

template <class Scalar>
BasicModel<Scalar> small_model(Index n_embd = 16) {
  return BasicModel<Scalar>(synthetic({Generation::v4, 2, n_embd, n_embd, 32, 0, 0, 20}, DType::f32, 1));
}

template <class Scalar>
BasicState<Scalar> used_state(const BasicModel<Scalar>& model) {
  Workspace workspace({1});
  auto state = model.new_state();
  const std::vector<Token> tokens{3, 1, 4, 1, 5};
  static_cast<void>(model.forward(tokens, state, workspace));
  return state;
}

}  // namespace

TEST_SUITE_BEGIN("state");

TEST_CASE("a saved state comes back bit for bit, in both precisions") {
  const TemporaryFile file(".safetensors");
  const auto model = small_model<float>();
  const auto state = used_state(model);
  save_state(state, file.path());
  CHECK(load_state(model.new_state(), file.path()) == state);
  const auto exact = small_model<double>();
  const auto exact_state = used_state(exact);
  save_state(exact_state, file.path());
  CHECK(load_state(exact.new_state(), file.path()) == exact_state);
}

TEST_CASE("tensors have names, shapes and initial values") {
  const auto state = small_model<float>().new_state();
  CHECK(state.tensor("blocks.1.att.xx").size() == 16);
  for (const float value : state.tensor("blocks.0.att.pp")) CHECK(value == -1e30f);
  for (const float value : state.tensor("blocks.1.ffn.xx")) CHECK(value == 0.0f);
  CHECK(state.layout().size() == 2 * 5 * 16);
}

TEST_CASE("a file of another model is refused with the tensor") {
  const TemporaryFile file(".safetensors");
  save_state(used_state(small_model<float>(24)), file.path());
  CHECK_THROWS_WITH_AS(static_cast<void>(load_state(small_model<float>().new_state(), file.path())),
                       doctest::Contains("'blocks.0.att.xx': expected real numbers of shape [16], found f32 [24]"),
                       ModelError);
  CHECK_THROWS_AS(static_cast<void>(load_state(small_model<float>().new_state(), "/nonexistent")), IoError);
}

TEST_SUITE_END();
