// SPDX-License-Identifier: MIT
// What the golden files of tests/model_test.cpp do not show.
#include "rwkv/arch/v7b.hpp"

#include "rwkv/arch/detect.hpp"
#include "rwkv/load.hpp"
#include "support/golden.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::Golden;
using rwkv_test::max_abs_difference;
using rwkv_test::shared_file;

TEST_SUITE_BEGIN("arch/v7b");

TEST_CASE("the context is as long as one asks for, and no longer") {
  RWKV_NEEDS_SHARED();
  const Checkpoint checkpoint = open_checkpoint(shared_file("spec/golden/models/v7b.safetensors"));
  const Golden golden("spec/golden/models/v7b.expect.safetensors");
  Config config = detect(checkpoint);
  config.n_ctx = 20;
  const Model model(checkpoint, config);
  Workspace workspace({2});
  auto state = model.new_state();
  CHECK(state.tensor("blocks.2.qkv.kc").size() == 20 * 32);
  CHECK(state.tensor("tokens").size() == 20);
  const auto tokens = golden.tokens();
  // In float, and the golden was computed in double: the bound of all goldens.
  const auto logits = model.forward(tokens, state, workspace);
  const auto expected = golden.values("logits");
  CHECK(max_abs_difference(logits, std::span(expected).last(logits.size())) < 1e-4);
  const auto before = state;
  CHECK_THROWS_WITH_AS(model.forward(std::span(tokens).first(1), state, workspace),
                       "tokens: expected at most 0 more, for the context of 20 tokens that this RWKV-7b model has, "
                       "found 1",
                       ArgumentError);
  CHECK(state == before);
}

TEST_CASE("the tokens of the State are marked as such, within the vocabulary") {
  RWKV_NEEDS_SHARED();
  const auto model = load_model(shared_file("spec/golden/models/v7b.safetensors"));
  const auto state = model.new_state();
  int n_found = 0;
  for (const StateLayout::Entry& entry : state.layout().entries()) {
    if (entry.name != "tokens") continue;
    CHECK(entry.limit == model.config().n_vocab);
    ++n_found;
  }
  CHECK(n_found == 1);  // one for all layers
}

TEST_SUITE_END();
