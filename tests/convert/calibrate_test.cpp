// SPDX-License-Identifier: MIT
#include "rwkv/convert/calibrate.hpp"

#include "rwkv/io/open.hpp"
#include "rwkv/model.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::fixture;

namespace {

/// Logits after each token of the text: their inputs are those of the head.
std::vector<Token> some_text(Index n, Index n_vocab) {
  std::vector<Token> text;
  for (Index i = 0; i < n; ++i) text.push_back(static_cast<Token>(i * 7 % n_vocab));
  return text;
}

}  // namespace

TEST_SUITE_BEGIN("convert/calibrate");

TEST_CASE("the mean square of what a matrix is multiplied by, over all windows") {
  const Checkpoint checkpoint = open_checkpoint(fixture("v4.safetensors"));
  const Model model(checkpoint);
  const auto text = some_text(300, model.config().n_vocab);  // three windows
  Workspace workspace;
  Index n_read = 0;
  const Importance found = measure_importance(checkpoint, text, workspace, [&](Index n) { n_read += n; });
  CHECK(n_read == 300);

  // The same by one token after the other, in another order of sums: float activations, so 1e-5.
  const TensorView& key = checkpoint.at("blocks.1.ffn.key.weight");
  std::vector<double> sums(static_cast<std::size_t>(key.shape[1]));
  workspace.observe_products([&](const TensorView& weight, MatrixView<const float> x) {
    if (weight.data != key.data) return;
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(x.data[i]) * x.data[i];
  });
  State state = model.new_state();
  for (const Token& token : text) (void)model.forward({&token, 1}, state, workspace);
  workspace.observe_products(nullptr);
  const std::vector<float>& means = found.at("blocks.1.ffn.key.weight");
  REQUIRE(means.size() == sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) CHECK(means[i] == doctest::Approx(sums[i] / 300).epsilon(1e-5));
}

TEST_CASE("all matrices that are multiplied by, and no others") {
  const Checkpoint checkpoint = open_checkpoint(fixture("v4.safetensors"));
  Workspace workspace;
  const auto found = measure_importance(checkpoint, some_text(3, 16), workspace);
  for (const Checkpoint::Entry& entry : checkpoint.entries()) {
    CAPTURE(entry.name);
    CHECK(found.contains(entry.name) == (entry.tensor.shape.rank() == 2 && entry.name != "emb.weight"));
  }
}

TEST_CASE("texts that cannot be read, and one that is given up") {
  const Checkpoint checkpoint = open_checkpoint(fixture("v4.safetensors"));
  Workspace workspace;
  CHECK_THROWS_WITH_AS((void)measure_importance(checkpoint, {}, workspace), "text for calibration: is empty",
                       ArgumentError);
  const Token beyond = 1'000'000;
  CHECK_THROWS_AS((void)measure_importance(checkpoint, {&beyond, 1}, workspace), ArgumentError);
  struct Enough {};
  const auto text = some_text(5, 16);
  CHECK_THROWS_AS((void)measure_importance(checkpoint, text, workspace, [](Index) { throw Enough{}; }), Enough);
  CHECK(workspace.product_observer() == nullptr);
}

TEST_SUITE_END();
