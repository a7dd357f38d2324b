// SPDX-License-Identifier: MIT
#include "rwkv/inspect/text_trace.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/eval/score.hpp"
#include "rwkv/inspect/layer_memory.hpp"
#include "rwkv/load.hpp"
#include "support/golden.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

const std::vector<Token> text{1, 5, 2, 19, 7, 3, 3, 0, 11, 4, 6};

bool go_on(Index) { return true; }

TextTrace traced(const Checkpoint& checkpoint, std::span<const Token> tokens, const TextTraceOptions& options = {}) {
  Workspace workspace({2});
  std::optional<TextTrace> trace = trace_text(Model(checkpoint), checkpoint, tokens, go_on, workspace, options);
  REQUIRE(trace);
  return std::move(*trace);
}

using Row = std::vector<double>;

Row read_row(const Checkpoint& checkpoint, const std::string& name, Index row = 0, Index n = 0) {
  const Buffer<double> all = read_all<double>(checkpoint.at(name));
  if (n == 0) n = all.size();
  return {all.begin() + row * n, all.begin() + (row + 1) * n};
}

/// Layer norm with eps 1e-5, as torch.nn.LayerNorm.
Row layer_norm(const Checkpoint& checkpoint, const std::string& name, const Row& x) {
  const Row weight = read_row(checkpoint, name + ".weight"), bias = read_row(checkpoint, name + ".bias");
  const auto n = static_cast<double>(x.size());
  double mean = 0, variance = 0;
  for (const double value : x) mean += value / n;
  for (const double value : x) variance += (value - mean) * (value - mean) / n;
  Row y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    y.push_back((x[i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i]);
  }
  return y;
}

/// x W for W [n_in, n_out].
Row times(const Row& x, const Checkpoint& checkpoint, const std::string& name) {
  const Row w = read_row(checkpoint, name);
  const std::size_t n_out = w.size() / x.size();
  Row y(n_out);
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t o = 0; o < n_out; ++o) y[o] += x[i] * w[i * n_out + o];
  }
  return y;
}

/// The mean log-decays of layer 0 by the equations, with the official names of mix, bias and the two matrices. In
/// RWKV-6 for mixes that do not depend on the input (time_maa_w2 = 0).
Row mean_decays_of_first_layer(const Checkpoint& checkpoint, Generation generation) {
  const bool is_v7 = generation == Generation::v7;
  const std::string att = "blocks.0.att.";
  const Row mu = read_row(checkpoint, att + (is_v7 ? "x_w" : "time_maa_w"));  // the share of the token before
  const Row bias = read_row(checkpoint, att + (is_v7 ? "w0" : "time_decay"));
  Row mean(bias.size()), previous(mu.size());
  for (const Token token : text) {
    const Row embedded = read_row(checkpoint, "emb.weight", token, std::ssize(mu));
    const Row x = layer_norm(checkpoint, "blocks.0.ln1", layer_norm(checkpoint, "blocks.0.ln0", embedded));
    Row z;
    for (std::size_t i = 0; i < x.size(); ++i) z.push_back(x[i] + (previous[i] - x[i]) * mu[i]);
    Row low = times(z, checkpoint, att + (is_v7 ? "w1" : "time_decay_w1"));
    for (double& value : low) value = std::tanh(value);
    const Row up = times(low, checkpoint, att + (is_v7 ? "w2" : "time_decay_w2"));
    for (std::size_t c = 0; c < mean.size(); ++c) {
      const double input = bias[c] + up[c];
      const double log_w = is_v7 ? -std::exp(-0.5) / (1 + std::exp(-input)) : -std::exp(input);
      mean[c] += log_w / static_cast<double>(text.size());
    }
    previous = x;
  }
  return mean;
}

}  // namespace

TEST_SUITE_BEGIN("inspect/text_trace");

TEST_CASE("in every generation surprises add up to the score, and the State is that of the text") {
  for (const Config& config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    const Checkpoint checkpoint = synthetic(config, DType::f32, 3);
    const Model model(checkpoint);
    Workspace workspace({2});
    const TextTrace trace = traced(checkpoint, text);
    REQUIRE(trace.tokens.size() == text.size());
    CHECK(std::isnan(trace.tokens[0].found.log_p));
    CHECK(trace.tokens[0].rank == 0);
    CHECK(trace.tokens[0].expected.empty());
    double sum = 0;
    Index n_best = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      CHECK(trace.tokens[i].found.token == text[i]);
      if (i > 0) sum += trace.tokens[i].found.log_p;
      n_best += trace.tokens[i].rank == 1 ? 1 : 0;
    }
    const std::vector<Passage> passages{{text, 1}};
    score(
        model, passages,
        [&](std::size_t, const Score& expected) {
          CHECK(sum == doctest::Approx(expected.log_p).epsilon(1e-5));  // steps and sequences differ by roundings
          CHECK(n_best == expected.n_best);
        },
        go_on, workspace);
    State state = model.new_state();
    model.forward(text, state, workspace);
    CHECK(rwkv_test::max_abs_difference(trace.state.values(), state.values()) < 1e-4);
  }
}

TEST_CASE("candidates are sorted, complete, and among them the token that came has its rank") {
  const Checkpoint checkpoint = synthetic(rwkv_test::small_model(Generation::v7), DType::f32, 3);
  const TextTrace all = traced(checkpoint, text, {.n_expected = 100});
  for (std::size_t i = 1; i <= text.size(); ++i) {
    CAPTURE(i);
    const auto& expected = i < text.size() ? all.tokens[i].expected : all.next;
    REQUIRE(expected.size() == 20);
    double total = 0;
    for (const LikelyToken& each : expected) total += each.p();
    CHECK(total == doctest::Approx(1).epsilon(1e-12));
    CHECK(std::ranges::is_sorted(expected, [](const auto& a, const auto& b) { return a.log_p > b.log_p; }));
    if (i == text.size()) continue;
    const auto& [found, rank, same] = all.tokens[i];
    CHECK(same[static_cast<std::size_t>(rank - 1)].token == found.token);
    CHECK(same[static_cast<std::size_t>(rank - 1)].log_p == found.log_p);
    CHECK(found.bits() == doctest::Approx(-std::log2(found.p())));
  }
  const TextTrace few = traced(checkpoint, text, {.n_expected = 3});
  REQUIRE(few.tokens[4].expected.size() == 3);
  CHECK(few.tokens[4].expected[2].token == all.tokens[4].expected[2].token);
  CHECK(traced(checkpoint, text, {.n_expected = 0}).next.empty());
}

TEST_CASE("norms are taken after every token, or so many times that they fit") {
  const Config& config = rwkv_test::small_model(Generation::v6);
  const Checkpoint checkpoint = synthetic(config, DType::f32, 3);
  const Model model(checkpoint);
  const TextTrace all = traced(checkpoint, text);
  CHECK(all.n_head == 2);
  REQUIRE(all.norms_after.size() == text.size());
  REQUIRE(all.norms.size() == text.size() * 2 * 2);
  Workspace workspace({1});
  State state = model.new_state();
  for (std::size_t i = 0; i < text.size(); ++i) {
    CHECK(all.norms_after[i] == static_cast<Index>(i) + 1);
    model.forward(std::span(text).subspan(i, 1), state, workspace);
    for (const std::size_t layer : {0u, 1u}) {
      const auto norms = layer_memory(state, config, static_cast<Index>(layer)).norms();
      for (const std::size_t head : {0u, 1u}) {
        CHECK(all.norms[(i * 2 + layer) * 2 + head] == doctest::Approx(norms[head]).epsilon(1e-5));
      }
    }
  }
  const TextTrace few = traced(checkpoint, text, {.n_norms = 3});
  CHECK(few.norms_after == std::vector<Index>{4, 8, 11});
  CHECK(few.norms.size() == 3 * 2 * 2);
  CHECK(few.norms[3 * 2 * 2 - 1] == doctest::Approx(all.norms.back()).epsilon(1e-5));
  CHECK(traced(checkpoint, text, {.n_norms = 1}).norms_after == std::vector<Index>{11});
}

TEST_CASE("decays that depend on the text are those of the equations, averaged over its tokens") {
  for (const Generation generation : {Generation::v6, Generation::v7}) {
    CAPTURE(name(generation));
    const Checkpoint checkpoint =
        synthetic(rwkv_test::small_model(generation), DType::f32, 3).transformed([](Checkpoint::Entry entry) {
          if (entry.name.ends_with("time_maa_w2")) {
            const std::vector<float> zeros(static_cast<std::size_t>(entry.tensor.n_elements()));
            entry.tensor = make_tensor(entry.tensor.shape, zeros);
          }
          return entry;
        });
    const Decays decays = traced(checkpoint, text, {.n_norms = 2}).decays;
    CHECK(decays.source == DecaySource::text);
    const Row expected = mean_decays_of_first_layer(checkpoint, generation);
    REQUIRE(decays.layers.at(0).size() == expected.size());
    for (std::size_t c = 0; c < expected.size(); ++c) {
      CHECK(decays.layers[0][c] == doctest::Approx(expected[c]).epsilon(1e-5));
    }
    const Decays bias = stored_decays(checkpoint, rwkv_test::small_model(generation));
    CHECK(rwkv_test::max_abs_difference(bias.layers[0], decays.layers[0]) > 1e-3);
  }
  const Checkpoint fixed = synthetic(rwkv_test::small_model(Generation::v4), DType::f32, 3);
  const Decays decays = traced(fixed, text).decays;
  CHECK(decays.source == DecaySource::weights);
  CHECK(decays.layers == stored_decays(fixed, rwkv_test::small_model(Generation::v4)).layers);
}

TEST_CASE("the share of zeros is that of the hidden units of each layer") {
  const Config& config = rwkv_test::small_model(Generation::v7);
  // Keys of layer 0 are 0, so all its units are; those of layer 1 are half positive, half negative.
  const Checkpoint checkpoint = synthetic(config, DType::f32, 3).transformed([](Checkpoint::Entry entry) {
    if (entry.name == "blocks.0.ffn.key.weight")
      entry.tensor = make_tensor(entry.tensor.shape, std::vector<float>(512));
    return entry;
  });
  const auto shares = traced(checkpoint, text).zero_shares;
  REQUIRE(shares.size() == 2);
  CHECK(shares[0] == 1.0);
  CHECK(shares[1].value() > 0.3);
  CHECK(shares[1].value() < 0.7);
  const Checkpoint old = synthetic(rwkv_test::small_model(Generation::v1), DType::f32, 3);
  CHECK_FALSE(traced(old, text).zero_shares.at(0));
}

TEST_CASE("surprises are those of the reference's logits") {
  RWKV_NEEDS_SHARED();
  for (const std::string model_name : {"v4", "v5.2", "v6.0", "v7.0"}) {
    CAPTURE(model_name);
    const std::string path = "testdata/models/" + model_name + "/" + model_name + "-fp32";
    const rwkv_test::Golden golden(path + ".golden.safetensors");
    const std::vector<Token> tokens = golden.tokens();
    const std::vector<double> logits = golden.values("logits_f64");
    const Checkpoint checkpoint = open_checkpoint(rwkv_test::shared_file(path + ".pth"));
    const TextTrace trace = traced(checkpoint, tokens);
    const std::size_t n_vocab = logits.size() / tokens.size();
    for (std::size_t i = 1; i < tokens.size(); ++i) {
      double sum = 0;
      const double* const row = logits.data() + (i - 1) * n_vocab;
      for (std::size_t k = 0; k < n_vocab; ++k) sum += std::exp(row[k]);
      const double expected = std::log2(sum) - row[tokens[i]] / std::log(2.0);
      CHECK(trace.tokens[i].found.bits() == doctest::Approx(expected).epsilon(1e-3));
    }
  }
}

TEST_CASE("reading ends where it is told to, and nobody observes products afterwards") {
  const Checkpoint checkpoint = synthetic(rwkv_test::small_model(Generation::v7), DType::f32, 3);
  const Model model(checkpoint);
  Workspace workspace({1});
  Index n_read = 0;
  const auto stop = [&](Index n) { return (n_read += n) < 5; };
  CHECK_FALSE(trace_text(model, checkpoint, text, stop, workspace));
  CHECK(n_read == 5);
  CHECK_FALSE(workspace.product_observer());
}

TEST_CASE("what cannot be traced is refused") {
  const Checkpoint checkpoint = synthetic(rwkv_test::small_model(Generation::v7), DType::f32, 3);
  const Model model(checkpoint);
  Workspace workspace({1});
  const auto trace = [&](const std::vector<Token>& tokens, const TextTraceOptions& options = {}) {
    static_cast<void>(trace_text(model, checkpoint, tokens, go_on, workspace, options));
  };
  CHECK_THROWS_WITH_AS(trace({}), doctest::Contains("text: is empty"), ArgumentError);
  CHECK_THROWS_AS(trace({1, 20}), ArgumentError);
  CHECK_THROWS_AS(trace({1}, {.n_expected = -1}), ArgumentError);
  CHECK_THROWS_AS(trace({1}, {.n_norms = 0}), ArgumentError);
  const Checkpoint broken = checkpoint.transformed([](Checkpoint::Entry entry) {
    if (entry.name == "head.weight") {
      entry.tensor = make_tensor(entry.tensor.shape, std::vector<float>(320, std::nanf("")));
    }
    return entry;
  });
  const Model of_broken(broken);
  CHECK_THROWS_WITH_AS(static_cast<void>(trace_text(of_broken, broken, text, go_on, workspace)),
                       doctest::Contains("NaN"), ModelError);
  CHECK_FALSE(workspace.product_observer());
}

TEST_SUITE_END();
