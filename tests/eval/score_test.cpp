// SPDX-License-Identifier: MIT
#include "rwkv/eval/score.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

Model small(std::uint64_t seed = 1, Generation generation = Generation::v7) {
  return Model(synthetic(rwkv_test::small_model(generation), DType::f32, seed));
}

/// Passages of many lengths; some give much, some give all.
std::vector<Passage> passages() {
  Random random(4);
  std::vector<Passage> result;
  for (const auto& [n, n_given] :
       {std::pair<Index, Index>{5, 1}, {700, 1}, {1500, 1300}, {2, 1}, {1, 1}, {40, 40}, {30, 29}, {300, 2}}) {
    Passage& passage = result.emplace_back();
    for (Index i = 0; i < n; ++i) passage.tokens.push_back(static_cast<Token>(random.next() % 20));
    passage.n_given = n_given;
  }
  return result;
}

/// The logits after each token, one by one.
std::vector<std::vector<float>> stepped(const Model& model, std::span<const Token> tokens, Workspace& workspace) {
  State state = model.new_state();
  std::vector<std::vector<float>> result;
  for (const Token& token : tokens) {
    const auto logits = model.forward(std::span(&token, 1), state, workspace);
    result.emplace_back(logits.begin(), logits.end());
  }
  return result;
}

/// The definition, by the exponential of the standard library.
Score expected_score(const Model& model, const Passage& passage, Workspace& workspace) {
  Score score;
  const auto logits = stepped(model, passage.tokens, workspace);
  for (std::size_t i = static_cast<std::size_t>(passage.n_given); i < passage.tokens.size(); ++i) {
    const std::vector<float>& row = logits[i - 1];
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit));
    const auto next = static_cast<std::size_t>(passage.tokens[i]);
    score.log_p += row[next] - std::log(sum);
    score.n_best += *std::ranges::max_element(row) == row[next] ? 1 : 0;
    ++score.n;
  }
  return score;
}

bool go_on(Index) { return true; }

}  // namespace

TEST_SUITE_BEGIN("eval/score");

TEST_CASE("passages have the scores of the definition, however many are read together") {
  const std::vector<Passage> all = passages();
  for (const Generation generation : {Generation::v4, Generation::v7}) {
    const Model model = small(1, generation);
    Workspace workspace({2});
    std::vector<Score> expected;
    for (const Passage& passage : all) expected.push_back(expected_score(model, passage, workspace));
    for (const Index n_together : {1, 3, 100}) {
      CAPTURE(n_together);
      std::vector<int> n_calls(all.size());
      Index n_read = 0;
      const auto on_score = [&](std::size_t i, const Score& score) {
        CAPTURE(i);
        ++n_calls[i];
        CHECK(score.n == expected[i].n);
        CHECK(score.n_best == expected[i].n_best);
        // Logits of batches and steps differ by roundings of float, 1e-6 or less for each token.
        CHECK(std::abs(score.log_p - expected[i].log_p) < 1e-5 * static_cast<double>(1 + score.n));
      };
      const auto on_read = [&](Index n) {
        n_read += n;
        return true;
      };
      CHECK(score(model, all, on_score, on_read, workspace, {n_together}));
      CHECK(n_calls == std::vector<int>(all.size(), 1));
      // The last token of a passage is never read, nor anything where nothing is scored.
      CHECK(n_read == 4 + 699 + 1499 + 1 + 29 + 299);
    }
  }
}

TEST_CASE("reading ends when the callback says so") {
  const Model model = small();
  Workspace workspace({1});
  int n_passes = 0;
  const bool is_done = score(
      model, passages(), [](std::size_t, const Score&) {}, [&](Index) { return ++n_passes < 2; }, workspace, {2});
  CHECK(!is_done);
  CHECK(n_passes == 2);
}

TEST_CASE("no passages, no calls") {
  const Model model = small();
  Workspace workspace({1});
  CHECK(score(
      model, {}, [](std::size_t, const Score&) { FAIL("called"); }, [](Index) { return false; }, workspace));
}

TEST_CASE("two models are compared place by place") {
  const Model a = small(1), b = small(2);
  Workspace workspace_a({2}), workspace_b({1});
  const std::vector<Passage> all = passages();
  const auto on_compared = [&](std::size_t i, const Comparison& found) {
    CAPTURE(i);
    Comparison expected;
    const auto logits_a = stepped(a, all[i].tokens, workspace_a), logits_b = stepped(b, all[i].tokens, workspace_b);
    for (std::size_t k = static_cast<std::size_t>(all[i].n_given); k < all[i].tokens.size(); ++k) {
      expected.add(logits_a[k - 1], logits_b[k - 1], all[i].tokens[k]);
    }
    CHECK(found.result().n == expected.result().n);
    CHECK(found.result().mean_kl == doctest::Approx(expected.result().mean_kl).epsilon(1e-4));
    CHECK(found.result().perplexity_b == doctest::Approx(expected.result().perplexity_b).epsilon(1e-4));
    if (found.result().n > 100) CHECK(found.result().mean_kl > 0);
  };
  // on_compared uses the workspaces, too: what they hold of the pass must not be needed any more.
  std::vector<std::pair<std::size_t, Comparison>> found;
  CHECK(compare(a, b, all, [&](std::size_t i, const Comparison& each) { found.emplace_back(i, each); }, go_on,
                workspace_a, workspace_b, {3}));
  CHECK(found.size() == all.size());
  for (const auto& [i, each] : found) on_compared(i, each);
}

TEST_CASE("a model is no distance from itself") {
  const Model model = small();
  Workspace workspace_a({1}), workspace_b({3});
  const auto on_compared = [](std::size_t, const Comparison& found) {
    CHECK(found.result().max_kl == 0);  // any number of threads gives the same bits
    CHECK(found.result().perplexity_ratio == 1);
  };
  CHECK(compare(model, model, passages(), on_compared, go_on, workspace_a, workspace_b));
}

TEST_CASE("passages that cannot be scored are refused before anything is read") {
  const Model model = small();
  Workspace workspace({1});
  const auto refuse = [&](Passage passage, const char* phrase, ScoreOptions options = {}) {
    const std::vector<Passage> all{{{1, 2}, 1}, std::move(passage)};
    const auto on_score = [](std::size_t, const Score&) { FAIL("scored"); };
    CHECK_THROWS_WITH_AS(score(model, all, on_score, go_on, workspace, options), doctest::Contains(phrase),
                         ArgumentError);
  };
  refuse({{1, 2, 3}, 0}, "expected 1 to 3 given tokens");
  refuse({{1, 2, 3}, 4}, "expected 1 to 3 given tokens");
  refuse({{}, 1}, "passage");
  refuse({{1, 20}, 1}, "token: expected 0 to 19");
  refuse({{1, 2}, 1}, "n_together", {0});
  const Config config{Generation::v4, 1, 16, 16, 32, 0, 0, 21};
  const Model other(synthetic(config, DType::f32, 1));
  Workspace second({1});
  CHECK_THROWS_WITH_AS(compare(
                           model, other, {}, [](std::size_t, const Comparison&) {}, go_on, workspace, second),
                       doctest::Contains("the same vocabulary"), ArgumentError);
}

TEST_CASE("a prediction by hand") {
  const std::vector<float> logits{0, std::log(2.0f), 0};
  CHECK(predict(logits, 1).log_p == doctest::Approx(std::log(0.5)).epsilon(1e-7));
  CHECK(predict(logits, 1).is_best);
  CHECK(predict(logits, 0).log_p == doctest::Approx(std::log(0.25)).epsilon(1e-7));
  CHECK(!predict(logits, 0).is_best);
  CHECK(predict(std::vector<float>{1, 1}, 0).is_best);
  CHECK(!predict(std::vector<float>{1, 1}, 1).is_best);
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan32 = std::numeric_limits<float>::quiet_NaN();
  CHECK(predict(std::vector<float>{0, -infinity}, 1).log_p == -infinity);
  for (const std::vector<float>& bad :
       {std::vector<float>{0, nan32}, {nan32, 0}, {0, infinity}, {-infinity, -infinity}}) {
    CHECK(std::isnan(predict(bad, 0).log_p));
  }
}

TEST_SUITE_END();
