// SPDX-License-Identifier: MIT
#include "rwkv/convert/input_moments.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/core/eigen.hpp"
#include "rwkv/io/open.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::fixture;

namespace {

std::vector<Token> some_text(Index n, Index n_vocab) {
  std::vector<Token> text;
  for (Index i = 0; i < n; ++i) text.push_back(static_cast<Token>((i * i + 7 * i) % n_vocab));
  return text;
}

/// The mean of x x^T of a matrix by forward(), in double.
RowMatrix<double> expected_moments(const Checkpoint& checkpoint, const TensorView& matrix,
                                   std::span<const Token> text) {
  Workspace workspace;
  RowMatrix<double> sum = RowMatrix<double>::Zero(matrix.shape[1], matrix.shape[1]);
  workspace.observe_products([&](const TensorView& weight, MatrixView<const float> x) {
    if (weight.data != matrix.data) return;
    const RowMatrix<double> rows = map_matrix(x).cast<double>();
    sum += rows.transpose() * rows;
  });
  const Model model(checkpoint);
  TextWindows windows(model, text);
  while (!windows.rest().empty()) (void)windows.read(workspace);
  return sum / static_cast<double>(text.size());
}

void check_moments(const Checkpoint& checkpoint, const TensorView& matrix, std::span<const Token> text,
                   const std::optional<Buffer<float>>& found) {
  REQUIRE(found.has_value());
  const RowMatrix<double> expected = expected_moments(checkpoint, matrix, text);
  REQUIRE(found->size() == expected.size());
  const Index n = expected.rows();
  double difference = 0;
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) {
      difference = std::max(difference, std::abs(static_cast<double>((*found)[i * n + j]) - expected(i, j)));
    }
  }
  CHECK(difference <= 1e-5 * expected.diagonal().maxCoeff());  // sums of 300 products in float
}

Checkpoint small_v7() { return synthetic({Generation::v7, 3, 64, 64, 128, 2, 32, 96, {8, 8, 8, 8, 8}}, DType::f32, 5); }

}  // namespace

TEST_SUITE_BEGIN("convert/input_moments");

TEST_CASE("the moments of forward(), whatever the order they are asked in") {
  for (const Checkpoint& checkpoint : {open_checkpoint(fixture("v4.safetensors")), small_v7()}) {
    const auto text = some_text(300, 16);  // three windows
    Workspace workspace;
    Index n_read = 0;
    InputMoments moments(checkpoint, text, workspace, [&](Index n) { n_read += n; });
    const Index n_layer = Model(checkpoint).config().n_layer;
    for (const char* const name :
         {"blocks.0.att.output.weight", "blocks.1.att.key.weight", "blocks.1.ffn.value.weight", "head.weight"}) {
      CAPTURE(name);
      check_moments(checkpoint, checkpoint.at(name), text, moments.take(checkpoint.at(name)));
    }
    CHECK(n_read == (n_layer + 1) * 300);
    for (const char* const name : {"blocks.1.ffn.key.weight", "blocks.0.ffn.key.weight", "blocks.0.ffn.key.weight"}) {
      CAPTURE(name);
      check_moments(checkpoint, checkpoint.at(name), text, moments.take(checkpoint.at(name)));
    }
    CHECK(n_read == (n_layer + 1 + 2 + 1 + 1) * 300);  // each is of an earlier layer, or was taken
    CHECK(workspace.product_observer() == nullptr);
  }
}

TEST_CASE("nothing for what the model does not multiply by, and nothing is read for it") {
  const Checkpoint checkpoint = small_v7();
  const auto text = some_text(5, 96);
  Workspace workspace;
  InputMoments moments(checkpoint, text, workspace, [](Index) { FAIL("reads"); });
  for (const char* const name : {"emb.weight", "blocks.0.att.w1", "blocks.0.ln1.weight"}) {
    CAPTURE(name);
    CHECK(!moments.take(checkpoint.at(name)).has_value());
  }
  CHECK(!moments.take(make_tensor({1, 1}, std::vector<float>(1))).has_value());
}

TEST_CASE("any number of threads gives the same") {
  const Checkpoint checkpoint = small_v7();
  const auto text = some_text(140, 96);
  const auto found = [&](int n_threads) {
    Workspace workspace({.n_threads = n_threads});
    return *InputMoments(checkpoint, text, workspace).take(checkpoint.at("blocks.2.ffn.value.weight"));
  };
  CHECK(rwkv_test::max_abs_difference(found(1), found(3)) == 0);
}

TEST_CASE("a reading that was given up begins anew") {
  const Checkpoint checkpoint = small_v7();
  const auto text = some_text(300, 96);
  Workspace workspace;
  struct Enough {};
  int n_calls = 0;
  InputMoments moments(checkpoint, text, workspace, [&](Index) {
    if (++n_calls == 5) throw Enough{};
  });
  const TensorView& weight = checkpoint.at("blocks.1.att.key.weight");
  CHECK_THROWS_AS((void)moments.take(weight), Enough);
  CHECK(workspace.product_observer() == nullptr);
  check_moments(checkpoint, weight, text, moments.take(weight));
}

TEST_CASE("texts that cannot be read") {
  const Checkpoint checkpoint = small_v7();
  Workspace workspace;
  CHECK_THROWS_WITH_AS(InputMoments(checkpoint, {}, workspace), "text for calibration: is empty", ArgumentError);
  const Token beyond = 1'000'000;
  CHECK_THROWS_AS(InputMoments(checkpoint, {&beyond, 1}, workspace), ArgumentError);
}

TEST_SUITE_END();
