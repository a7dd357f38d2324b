// SPDX-License-Identifier: MIT
// The trained models of examples/models: what they know, and that they say the same in every way of computing it.
#include <algorithm>
#include <cmath>

#include "rwkv/load.hpp"
#include "rwkv/text/tokenizer.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::fixture;

namespace {

struct DemoModel {
  std::string file;
  /// Of tests/data/fairy-tales.txt, by examples/train/export.py (PyTorch, float).
  double bits_per_byte;

  [[nodiscard]] std::string path() const { return fixture("../../examples/models/" + file); }
  [[nodiscard]] Model load() const { return load_model(path()); }
  [[nodiscard]] Tokenizer tokenizer() const { return tokenizer_for(load().config().n_vocab, path()); }
};

const DemoModel models[] = {{"fairy-tales-v7.safetensors", 1.26149}, {"fairy-tales-v4.safetensors", 1.35531}};

Token argmax(std::span<const float> logits) {
  return static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
}

/// The logarithm of the probability of a token.
double log_probability(std::span<const float> logits, Token token) {
  const double largest = logits[static_cast<std::size_t>(argmax(logits))];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return logits[static_cast<std::size_t>(token)] - largest - std::log(sum);
}

constexpr int n_generated = 60;

/// The most likely tokens after a text, which is read `piece` tokens at a time.
std::vector<Token> continued(const Model& model, std::span<const Token> text, std::size_t piece, Workspace& workspace) {
  State state = model.new_state();
  std::span<const float> logits;
  for (std::size_t i = 0; i < text.size(); i += piece) {
    logits = model.forward(text.subspan(i, std::min(piece, text.size() - i)), state, workspace);
  }
  std::vector<Token> tokens{argmax(logits)};
  while (tokens.size() < n_generated) {
    tokens.push_back(argmax(model.forward(std::span(&tokens.back(), 1), state, workspace)));
  }
  return tokens;
}

/// The same for many texts, all in one batch.
std::vector<std::vector<Token>> continued(const Model& model, const std::vector<std::vector<Token>>& texts,
                                          Workspace& workspace) {
  std::vector<State> states(texts.size(), model.new_state());
  std::vector<Sequence> batch;
  for (std::size_t i = 0; i < texts.size(); ++i) batch.push_back({texts[i], &states[i]});
  std::vector<std::vector<Token>> tokens(texts.size());
  while (tokens[0].size() < n_generated) {
    model.forward(batch, workspace);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      tokens[i].push_back(argmax(batch[i].logits.span()));
      batch[i].tokens = std::span(&tokens[i].back(), 1);
    }
  }
  return tokens;
}

}  // namespace

TEST_SUITE_BEGIN("demo_model");

TEST_CASE("the demo models predict a text as well as PyTorch says they do") {
  const std::string text = rwkv_test::read_file(fixture("fairy-tales.txt"));
  for (const DemoModel& demo : models) {
    CAPTURE(demo.file);
    const Model model = demo.load();
    const Tokenizer tokenizer = demo.tokenizer();
    Workspace workspace;
    State state = model.new_state();
    const std::vector<Token> tokens = tokenizer.encode(text);
    CHECK(tokenizer.decode(tokens) == text);
    double sum = 0, n_bytes = 0;
    Sequence sequence{std::span(tokens).first(tokens.size() - 1), &state, Logits::all};
    model.forward(std::span(&sequence, 1), workspace);
    for (std::size_t i = 1; i < tokens.size(); ++i) {
      sum += log_probability(sequence.logits.rows(static_cast<Index>(i) - 1, 1).span(), tokens[i]);
      n_bytes += static_cast<double>(tokenizer.bytes(tokens[i]).size());
    }
    const double bits_per_byte = -sum / std::log(2.0) / n_bytes;
    CHECK(bits_per_byte == doctest::Approx(demo.bits_per_byte).epsilon(0.001));
  }
}

TEST_CASE("the likeliest continuation is the same token by token, at once, in a batch and with any threads") {
  for (const DemoModel& demo : models) {
    CAPTURE(demo.file);
    const Model model = demo.load();
    const Tokenizer tokenizer = demo.tokenizer();
    std::vector<std::vector<Token>> texts;
    for (const char* text :
         {"Once upon a time there was a king who", "\"Dear child,\" said the old woman, \"", "The"}) {
      texts.push_back(tokenizer.encode(text));
    }
    Workspace alone({1});
    std::vector<std::vector<Token>> expected;
    for (const auto& text : texts) expected.push_back(continued(model, text, text.size(), alone));
    for (const int n_threads : {1, 2, 5}) {
      CAPTURE(n_threads);
      Workspace workspace({n_threads});
      for (std::size_t i = 0; i < texts.size(); ++i) {
        CHECK(continued(model, texts[i], 1, workspace) == expected[i]);
        CHECK(continued(model, texts[i], texts[i].size(), workspace) == expected[i]);
      }
      CHECK(continued(model, texts, workspace) == expected);
    }
  }
}

TEST_SUITE_END();
