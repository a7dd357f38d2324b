// SPDX-License-Identifier: MIT
#include "rwkv/text/ranking.hpp"

#include <numeric>

#include "support/support.hpp"

using namespace rwkv;

namespace {

/// The finite logits' tokens in order, by a full sort.
std::vector<Token> sorted_tokens(const std::vector<float>& logits) {
  std::vector<Token> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto logit = [&](Token token) { return logits[static_cast<std::size_t>(token)]; };
  std::erase_if(tokens, [&](Token token) { return std::isinf(logit(token)); });
  std::stable_sort(tokens.begin(), tokens.end(), [&](Token a, Token b) { return logit(a) > logit(b); });
  return tokens;
}

float maximum(const std::vector<float>& logits) { return *std::max_element(logits.begin(), logits.end()); }

}  // namespace

TEST_SUITE_BEGIN("text/ranking");

TEST_CASE("ranks are those of a full sort, whatever the spread, with ties by id and without -infinity") {
  for (const double scale : {1e-30, 0.1, 2.5, 30.0, 100.0, 1e38}) {  // from all within 8 of the maximum to few
    CAPTURE(scale);
    std::vector<float> logits = rwkv_test::random_values<float>(5000, 1, scale / 5);
    for (std::size_t i = 0; i < logits.size(); i += 7) logits[i] = logits[i / 2];  // ties
    for (std::size_t i = 3; i < logits.size(); i += 50) logits[i] = -std::numeric_limits<float>::infinity();
    const std::vector<Token> expected = sorted_tokens(logits);
    Ranking ranking;
    ranking.assign(logits, maximum(logits));
    REQUIRE(ranking.size() == static_cast<Index>(expected.size()));
    for (Index rank = 0; rank < ranking.size(); ++rank) {
      REQUIRE(ranking[rank].token == expected[static_cast<std::size_t>(rank)]);
    }
  }
}

TEST_CASE("the first candidates are those of the ranks asked for, and all are there") {
  const std::vector<float> logits = rwkv_test::random_values<float>(1000, 2, 3);
  const std::vector<Token> expected = sorted_tokens(logits);
  Ranking ranking;
  for (const Index n : {1, 10, 500, 3}) {
    ranking.assign(logits, maximum(logits));
    CHECK(ranking[n - 1].token == expected[static_cast<std::size_t>(n - 1)]);
    std::vector<Token> tokens;
    for (const Ranking::Candidate& candidate : ranking.candidates()) tokens.push_back(candidate.token);
    CHECK(std::equal(tokens.begin(), tokens.begin() + n, expected.begin()));
    std::sort(tokens.begin(), tokens.end());
    std::vector<Token> all(logits.size());
    std::iota(all.begin(), all.end(), 0);
    CHECK(tokens == all);
  }
}

TEST_CASE("the largest floats do not overflow into the wrong order") {
  const float largest = std::numeric_limits<float>::max();
  Ranking ranking;
  const std::vector<float> logits{-largest, 0, largest, -1e38f, 1e38f};
  ranking.assign(logits, largest);
  std::vector<Token> tokens;
  for (Index rank = 0; rank < 5; ++rank) tokens.push_back(ranking[rank].token);
  CHECK(tokens == std::vector<Token>{2, 4, 1, 3, 0});
}

TEST_SUITE_END();
