// SPDX-License-Identifier: MIT
// After warm-up, reading tokens allocates nothing; nor does quantising rows.
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/model.hpp"
#include "rwkv/quant/quantise.hpp"
#include "support/count_allocations.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("allocation");

TEST_CASE("tokens, prompts and batches allocate nothing the second time, in every generation") {
  for (Config config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    const bool is_limited = config.generation == Generation::v1 || config.generation == Generation::v7b;
    if (is_limited) config.n_ctx = 400;  // RWKV-7b remembers every token: with a few more, the work is long
    Checkpoint checkpoint = synthetic(config, DType::bf16, 1);
    const Model model(checkpoint, config);
    Workspace workspace({3});
    auto state = model.new_state(), other = model.new_state(), copy = model.new_state();
    const std::vector<Token> prompt(is_limited ? 40 : 600, 7);
    const auto work = [&] {
      static_cast<void>(model.forward(prompt, state, workspace));
      for (int i = 0; i < 20; ++i) static_cast<void>(model.forward(std::span(prompt).first(1), state, workspace));
      copy = state;
      Sequence batch[] = {{std::span(prompt).first(1), &state}, {prompt, &other, Logits::all}};
      model.forward(batch, workspace);
    };
    work();
    work();  // what the first call needed in pieces is one piece now
    const long before = rwkv_test::n_allocations();
    work();
    // What RWKV-7b reads again grows with every token; scratch doubles, so that once may happen, and not 20 times.
    CHECK(rwkv_test::n_allocations() - before <= (config.generation == Generation::v7b ? 1 : 0));
  }
}

TEST_CASE("quantising rows allocates nothing") {
  const auto values = rwkv_test::random_values<float>(20 * 512, 1);
  const TensorView tensor = make_tensor({20, 512}, values);
  ThreadPool threads(2);
  std::vector<std::byte> blocks(20 * 1024);
  for (const DTypeInfo& type : dtype_infos) {
    if (type.block_elements == 1) continue;
    CAPTURE(type.name);
    for (const ScaleRule rule : {ScaleRule::plain, ScaleRule::search}) {
      const Quantiser quantiser(type.dtype, 512, {.rule = rule});
      const std::span<std::byte> room = std::span(blocks).first(static_cast<std::size_t>(20 * quantiser.row_bytes()));
      const long before = rwkv_test::n_allocations();
      quantiser.quantise(tensor, {0, 20}, room, threads);
      CHECK(rwkv_test::n_allocations() == before);
    }
  }
}

TEST_SUITE_END();
