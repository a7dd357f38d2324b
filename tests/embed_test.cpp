// SPDX-License-Identifier: MIT
#include "rwkv/embed.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::max_abs_difference;

namespace {

std::vector<Token> random_tokens(Index n, std::uint64_t seed) {
  Random random(seed);
  std::vector<Token> tokens;
  for (Index i = 0; i < n; ++i) tokens.push_back(static_cast<Token>(random.next() % 20));
  return tokens;
}

Config with_room(Config config) {
  if (config.generation == Generation::v1) config.n_ctx = 3000;
  return config;
}

/// LN_out of the residual stream, in double, from the parts of a pass. [T, n_embd]
std::vector<double> expected_hidden(const Checkpoint& checkpoint, const Model& model, const std::vector<Token>& tokens,
                                    Workspace& workspace) {
  const std::string norm = model.config().generation == Generation::v1 ? "ln_f" : "ln_out";
  const auto weight = read_all<double>(checkpoint.at(norm + ".weight")),
             bias = read_all<double>(checkpoint.at(norm + ".bias"));
  Activations rows = model.embed(tokens, workspace);
  State state = model.new_state();
  model.apply_layers(0, model.config().n_layer, rows, state, workspace);
  const Index n = model.config().n_embd;
  std::vector<double> result;
  for (Index t = 0; t < std::ssize(tokens); ++t) {
    const float* const x = rows.x.data() + t * n;
    double mean = 0, variance = 0;
    for (Index i = 0; i < n; ++i) mean += x[i] / static_cast<double>(n);
    for (Index i = 0; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean) / static_cast<double>(n);
    for (Index i = 0; i < n; ++i) result.push_back((x[i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i]);
  }
  return result;
}

}  // namespace

TEST_SUITE_BEGIN("embed");

TEST_CASE("the hidden states are those that the head sees, in every generation, and the State is that of forward") {
  for (const Config& each : rwkv_test::small_models()) {
    CAPTURE(name(each.generation));
    const Config config = with_room(each);
    const Checkpoint checkpoint = synthetic(config, DType::f32, 1);
    const Model model(checkpoint, config);
    Workspace workspace({2});
    const std::vector<Token> tokens = random_tokens(300, 1), other = random_tokens(7, 2);
    State a = model.new_state(), b = model.new_state();
    Sequence batch[]{{tokens, &a, Logits::all}, {other, &b, Logits::last}};
    model.forward_hidden(batch, workspace);
    CHECK(batch[0].logits.size() == 0);
    CHECK(batch[0].hidden.n_rows == 300);
    CHECK(batch[1].hidden.n_rows == 1);
    CHECK(batch[1].hidden.n_cols == config.n_embd);
    const std::vector<float> hidden(batch[0].hidden.span().begin(), batch[0].hidden.span().end());
    const std::vector<float> of_last(batch[1].hidden.span().begin(), batch[1].hidden.span().end());
    // Passes of 256 rows and of 300 add up in another order.
    CHECK(max_abs_difference(hidden, expected_hidden(checkpoint, model, tokens, workspace)) < 1e-3);
    State c = model.new_state();
    Sequence last{other, &c, Logits::all};
    model.forward_hidden(std::span(&last, 1), workspace);
    CHECK(max_abs_difference(last.hidden.rows(6, 1).span(), of_last) < 1e-4);

    State e = model.new_state(), f = model.new_state();
    Sequence heads[]{{tokens, &e, Logits::none}, {other, &f, Logits::last}};
    model.forward(heads, workspace);
    CHECK(e == a);
    CHECK(f == b);
    CHECK(heads[1].hidden.size() == 0);
    CHECK(heads[1].logits.n_cols == config.n_vocab);
  }
}

TEST_CASE("an embedding is the mean over the tokens, of length 1") {
  for (const Generation generation : {Generation::v4, Generation::v7}) {
    const Config& config = rwkv_test::small_model(generation);
    const Checkpoint checkpoint = synthetic(config, DType::f32, 1);
    const Model model(checkpoint, config);
    Workspace workspace({2});
    std::vector<std::vector<Token>> texts;
    for (const Index n : {1, 2000, 5, 1024, 1025, 300})
      texts.push_back(random_tokens(n, static_cast<std::uint64_t>(n)));
    for (Index i = 0; i < 20; ++i) texts.push_back(random_tokens(3 + i, 1));  // more than are read together
    const auto found = embed(model, texts, workspace);
    REQUIRE(found.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      CAPTURE(i);
      const std::vector<double> hidden = expected_hidden(checkpoint, model, texts[i], workspace);
      std::vector<double> sum(static_cast<std::size_t>(config.n_embd));
      for (std::size_t k = 0; k < hidden.size(); ++k) sum[k % sum.size()] += hidden[k];
      double square = 0;
      for (const double value : sum) square += value * value;
      for (double& value : sum) value /= std::sqrt(square);
      CHECK(max_abs_difference(found[i], sum) < 1e-4);
    }
  }
}

TEST_CASE("texts without tokens, or with foreign ones, are refused") {
  const Model model(synthetic(rwkv_test::small_model(Generation::v7), DType::f32, 1));
  Workspace workspace({1});
  const auto embedded = [&](const std::vector<std::vector<Token>>& texts) { return embed(model, texts, workspace); };
  CHECK(embedded({}).empty());
  CHECK_THROWS_WITH_AS((void)embedded({{1}, {}}), doctest::Contains("at least one token"), ArgumentError);
  CHECK_THROWS_WITH_AS((void)embedded({{1}, {20}}), doctest::Contains("token: expected 0 to 19"), ArgumentError);
}

TEST_SUITE_END();
