// SPDX-License-Identifier: MIT
// After warm-up, reading tokens allocates nothing.
#include "rwkv/load.hpp"
#include "support/count_allocations.hpp"
#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("allocation");

TEST_CASE("tokens, prompts and batches allocate nothing the second time") {
  RWKV_NEEDS_SHARED();
  const auto model = load_model(rwkv_test::shared_file("testdata/models/v4/v4-bf16.pth"));
  Workspace workspace({3});
  auto state = model.new_state(), other = model.new_state(), copy = model.new_state();
  std::vector<Token> prompt(600, 7);
  const auto work = [&] {
    static_cast<void>(model.forward(prompt, state, workspace));
    for (int i = 0; i < 20; ++i) static_cast<void>(model.forward(std::span(prompt).first(1), state, workspace));
    copy = state;
    Sequence batch[] = {{std::span<const Token>(prompt).first(1), &state}, {prompt, &other, Logits::all}};
    model.forward(batch, workspace);
  };
  work();
  work();  // what the first call needed in pieces is one piece now
  const long before = rwkv_test::n_allocations();
  work();
  CHECK(rwkv_test::n_allocations() == before);
}

TEST_SUITE_END();
