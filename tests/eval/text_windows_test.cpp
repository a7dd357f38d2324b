// SPDX-License-Identifier: MIT
#include "rwkv/eval/text_windows.hpp"

#include "rwkv/io/open.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::fixture;
using rwkv_test::max_abs_difference;

namespace {

std::vector<Token> some_text(Index n) {
  std::vector<Token> text;
  for (Index i = 0; i < n; ++i) text.push_back(static_cast<Token>(i * 5 % 16));
  return text;
}

}  // namespace

TEST_SUITE_BEGIN("eval/text_windows");

TEST_CASE("windows give the logits of the whole text") {
  const Model model(open_checkpoint(fixture("v4.safetensors")));
  const auto text = some_text(300);
  Workspace workspace, whole_workspace;
  State state = model.new_state();
  Sequence whole{text, &state, Logits::all};
  model.forward({&whole, 1}, whole_workspace);
  TextWindows windows(model, text);
  Index place = 0;
  for (Sequence window = windows.read(workspace); !window.tokens.empty(); window = windows.read(workspace)) {
    CHECK(max_abs_difference(window.logits.span(), whole.logits.rows(place, std::ssize(window.tokens)).span()) < 1e-4);
    place += std::ssize(window.tokens);
    CHECK(std::ssize(windows.rest()) == 300 - place);
  }
  CHECK(place == 300);
}

TEST_CASE("a model with a context of fixed length begins anew") {
  RWKV_NEEDS_SHARED();
  const Model model(open_checkpoint(rwkv_test::shared_file("testdata/models/v1/v1-fp32.pth")));
  const Index n_ctx = model.config().n_ctx;
  REQUIRE(n_ctx > 0);
  const auto text = some_text(3 * n_ctx + 1);
  Workspace workspace, other;
  TextWindows windows(model, text);
  Index place = 0;
  State state = model.new_state();
  for (Sequence window = windows.read(workspace); !window.tokens.empty(); window = windows.read(workspace)) {
    if (place == 2 * n_ctx) {
      Sequence fresh{window.tokens, &state, Logits::all};
      model.forward({&fresh, 1}, other);
      CHECK(max_abs_difference(window.logits.span(), fresh.logits.span()) < 1e-5);
    }
    place += std::ssize(window.tokens);
  }
  CHECK(place == 3 * n_ctx + 1);
}

TEST_SUITE_END();
