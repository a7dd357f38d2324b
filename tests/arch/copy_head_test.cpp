// SPDX-License-Identifier: MIT
#include "rwkv/arch/copy_head.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/model.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::max_abs_difference;
using rwkv_test::random_values;

namespace {

const Config config{Generation::v4, 2, 16, 16, 32, 0, 0, 20, {}, false, false, 5, 6};

struct Matrix {
  Index n_cols;
  std::vector<double> values;
  [[nodiscard]] double at(Index row, Index col) const { return values[static_cast<std::size_t>(row * n_cols + col)]; }
};

Matrix stored(const Checkpoint& checkpoint, const std::string& name) {
  const auto buffer = read_all<double>(checkpoint.at(name));
  return {checkpoint.at(name).shape[checkpoint.at(name).shape.rank() - 1], {buffer.begin(), buffer.end()}};
}

double dot(const Matrix& a, Index row_a, const Matrix& b, Index row_b) {
  double sum = 0;
  for (Index c = 0; c < a.n_cols; ++c) sum += a.at(row_a, c) * b.at(row_b, c);
  return sum;
}

/// x W^T
Matrix product(const Matrix& x, const Matrix& w) {
  Matrix y{static_cast<Index>(w.values.size()) / w.n_cols, {}};
  for (Index row = 0; row < static_cast<Index>(x.values.size()) / x.n_cols; ++row) {
    for (Index out = 0; out < y.n_cols; ++out) y.values.push_back(dot(x, row, w, out));
  }
  return y;
}

/// An RWKV-4 with a copy head, random and large enough to matter, and the same without.
struct Models {
  Checkpoint with{"with"}, without{"without"};
  Models() {
    const Checkpoint all = synthetic(config, DType::f32, 3);
    for (const auto& [name, tensor] : all.entries()) {
      with.add(name, tensor);
      if (!name.starts_with("head_") && name != "copy_mask") without.add(name, tensor);
    }
  }
};

}  // namespace

TEST_SUITE_BEGIN("arch/copy_head");

TEST_CASE("an RWKV-4 with a copy head raises the logits of the last n_ctx tokens by q k / d") {
  const Models models;
  const BasicModel<double> model(models.with), plain(models.without);
  CHECK(model.config() == config);
  const std::vector<Token> tokens{3, 7, 3, 0, 19, 7, 7, 2, 3, 11, 4, 3, 1};  // more than twice n_ctx
  const auto n_tokens = static_cast<Index>(tokens.size());
  Workspace workspace({2});

  // By the definition: y = LN_out(x) of the layers alone, scores of all pairs, none more than n_ctx - 1 back.
  auto plain_state = plain.new_state();
  auto rows = plain.embed(tokens, workspace);
  plain.apply_layers(0, config.n_layer, rows, plain_state, workspace);
  const auto plain_logits = plain.apply_head(rows, Logits::all, plain_state, workspace).span();
  Matrix expected{config.n_vocab, {plain_logits.begin(), plain_logits.end()}};
  Matrix y{config.n_embd, {rows.x.begin(), rows.x.end()}};
  const Matrix weight = stored(models.with, "ln_out.weight"), bias = stored(models.with, "ln_out.bias");
  for (Index t = 0; t < n_tokens; ++t) {
    double* const row = y.values.data() + t * y.n_cols;
    double mean = 0, variance = 0;
    for (Index c = 0; c < y.n_cols; ++c) mean += row[c] / static_cast<double>(y.n_cols);
    for (Index c = 0; c < y.n_cols; ++c) variance += (row[c] - mean) * (row[c] - mean) / static_cast<double>(y.n_cols);
    for (Index c = 0; c < y.n_cols; ++c) {
      row[c] = (row[c] - mean) / std::sqrt(variance + 1e-5) * weight.at(0, c) + bias.at(0, c);
    }
  }
  const Matrix q = product(y, stored(models.with, "head_q.weight")),
               k = product(y, stored(models.with, "head_k.weight"));
  double largest = 0;
  for (Index t = 0; t < n_tokens; ++t) {
    for (Index i = std::max<Index>(0, t - config.n_ctx + 1); i <= t; ++i) {
      const double score = dot(q, t, k, i) / static_cast<double>(config.n_copy);
      expected.values[static_cast<std::size_t>(t * config.n_vocab + tokens[static_cast<std::size_t>(i)])] += score;
      largest = std::max(largest, std::abs(score));
    }
  }
  CHECK(largest > 0.1);  // it does something

  for (const std::size_t chunk : {1u, 4u, 13u}) {
    CAPTURE(chunk);
    auto state = model.new_state();
    std::vector<double> logits;
    for (std::size_t first = 0; first < tokens.size(); first += chunk) {
      BasicSequence<double> sequence{std::span(tokens).subspan(first, std::min(chunk, tokens.size() - first)), &state,
                                     Logits::all};
      model.forward(std::span(&sequence, 1), workspace);
      logits.insert(logits.end(), sequence.logits.span().begin(), sequence.logits.span().end());
    }
    CHECK(max_abs_difference(logits, expected.values) < 1e-12);  // roundings of sums of 16 products near 1
  }
}

TEST_CASE("what was read without wanting logits is remembered too") {
  const Models models;
  const Model model(models.with);
  Workspace workspace({1});
  auto silent = model.new_state(), loud = model.new_state();
  const std::vector<Token> first{3, 7, 3, 0, 19, 7, 7}, second{2};
  Sequence sequence{first, &silent, Logits::none};
  model.forward(std::span(&sequence, 1), workspace);
  model.forward(first, loud, workspace);
  CHECK(silent == loud);
  CHECK(silent.tensor("head_tokens")[0] == 7);  // position 5, in a ring of 5
  const auto logits = model.forward(second, silent, workspace);
  const std::vector<float> expected(logits.begin(), logits.end());
  CHECK(max_abs_difference(model.forward(second, loud, workspace), expected) == 0);
}

TEST_SUITE_END();
