// SPDX-License-Identifier: MIT
#include "rwkv/arch/sparse.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/model.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

/// Logits of a text read in one go, then token by token, from a new State.
std::vector<float> read(const Model& model, State& state, Workspace& workspace) {
  constexpr std::array<Token, 30> text{1, 5, 2, 19, 7, 3, 3, 0, 11, 4, 6, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 1, 2};
  Sequence sequence{std::span(text).first(20), &state, Logits::all};
  model.forward(std::span(&sequence, 1), workspace);
  std::vector<float> logits(sequence.logits.span().begin(), sequence.logits.span().end());
  for (const Token token : std::span(text).subspan(20)) {
    const auto next = model.forward(std::span(&token, 1), state, workspace);
    logits.insert(logits.end(), next.begin(), next.end());
  }
  return logits;
}

}  // namespace

TEST_SUITE_BEGIN("arch/sparse");

TEST_CASE("in every generation and type, skipping what is zero changes rounding only, and States fit both") {
  for (Config config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    if (config.n_ctx > 0) config.n_ctx = std::max<Index>(config.n_ctx, 40);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Checkpoint stored = synthetic(config, dtype, 1);
      const Checkpoint arranged = sparse_channel_mix(stored);
      const bool has_squared_relu = config.generation != Generation::v1;
      Index n_changed = 0;
      for (const Checkpoint::Entry& entry : arranged.entries()) {
        n_changed += entry.tensor.shape == stored.at(entry.name).shape ? 0 : 1;
      }
      CHECK((n_changed >= config.n_layer) == has_squared_relu);
      const Model model(stored), sparse(arranged);
      Workspace workspace({2});
      State state = model.new_state(), sparse_state = sparse.new_state();
      const auto logits = read(model, state, workspace);
      const auto sparse_logits = read(sparse, sparse_state, workspace);
      // Sums of 32 to 40 products of size 1 in another order, through two or three layers.
      CHECK(rwkv_test::max_abs_difference(sparse_logits, logits) < 2e-5);
      CHECK(sparse.state_layout() == model.state_layout());
      const Token token = 3;
      CHECK_NOTHROW(sparse.forward(std::span(&token, 1), state, workspace));
    }
  }
}

TEST_CASE("matrices in blocks, and those already stored by input, stay as they are") {
  Config config = rwkv_test::small_model(Generation::v7);
  config.n_embd = config.n_att = 64;
  config.n_head = 8;
  config.n_ffn = 128;
  const Checkpoint blocks = synthetic(config, DType::q8_0, 1);
  CHECK(sparse_channel_mix(blocks).at("blocks.0.ffn.value.weight").data == blocks.at("blocks.0.ffn.value.weight").data);
  const Checkpoint once = sparse_channel_mix(synthetic(config, DType::f32, 1));
  const Checkpoint twice = sparse_channel_mix(once);
  CHECK(twice.at("blocks.1.ffn.value.weight").data == once.at("blocks.1.ffn.value.weight").data);
  CHECK(twice.metadata() == once.metadata());
}
