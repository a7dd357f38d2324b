// SPDX-License-Identifier: MIT
#include "rwkv/eval/comparison.hpp"

#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::random_values;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<float> logits_of(const std::vector<double>& p) {
  std::vector<float> logits;
  for (const double value : p) logits.push_back(static_cast<float>(std::log(value)));
  return logits;
}

}  // namespace

TEST_SUITE_BEGIN("eval/comparison");

TEST_CASE("two coins give the divergence by hand, in the direction that is told") {
  // KL(1/2, 1/2 || 1/4, 3/4) = ln 2 - ln 3 / 2. Logits are float, so their error is some 1e-8.
  Comparison comparison;
  comparison.add(logits_of({0.5, 0.5}), logits_of({0.25, 0.75}), 0);
  const ComparisonResult result = comparison.result();
  CHECK(result.n == 1);
  CHECK(result.mean_kl == doctest::Approx(std::log(2.0) - std::log(3.0) / 2).epsilon(1e-7));
  CHECK(result.top1_agreement == 0);  // the tie of the first goes to token 0
  CHECK(result.perplexity_a == doctest::Approx(2).epsilon(1e-7));
  CHECK(result.perplexity_b == doctest::Approx(4).epsilon(1e-7));
  CHECK(result.perplexity_ratio == doctest::Approx(2).epsilon(1e-7));
}

TEST_CASE("a model is no distance from itself, nor from itself with all logits moved") {
  std::vector<float> a = random_values<float>(1000, 1, 5);
  for (float& logit : a) logit = std::round(logit * 1024) / 1024;  // so that moving them rounds nothing
  std::vector<float> moved = a;
  for (float& logit : moved) logit += 4096;
  Comparison comparison;
  comparison.add(a, a, 3);
  CHECK(comparison.result().mean_kl == 0);
  comparison.add(a, moved, 5);
  CHECK(comparison.result().max_kl < 1e-14);
  CHECK(comparison.result().top1_agreement == 1);
  CHECK(comparison.result().perplexity_ratio == doctest::Approx(1).epsilon(1e-14));
}

TEST_CASE("logits beyond the range of exp stay finite") {
  Comparison comparison;
  comparison.add(std::vector<float>{3e38f, 3e38f, -3e38f}, std::vector<float>{-1e30f, -1e30f, -3e38f}, 1);
  CHECK(comparison.result().mean_kl == 0);
  CHECK(comparison.result().perplexity_a == doctest::Approx(2).epsilon(1e-14));
}

TEST_CASE("what one model excludes costs nothing, what only the other excludes costs all") {
  Comparison comparison;
  comparison.add(std::vector<float>{0, -infinity}, std::vector<float>{0, 0}, 0);
  CHECK(comparison.result().mean_kl == doctest::Approx(std::log(2.0)).epsilon(1e-7));
  comparison.add(std::vector<float>{0, 0}, std::vector<float>{0, -infinity}, 1);
  CHECK(comparison.result().max_kl == std::numeric_limits<double>::infinity());
  CHECK(comparison.result().perplexity_b == std::numeric_limits<double>::infinity());
}

TEST_CASE("mean, worst and 99th percentile of a hundred places, the same in two halves merged") {
  // Place i has p = (1/2, 1/2), q = (x, 1 - x): KL = -ln 2 - (ln x + ln(1 - x)) / 2, growing as x leaves 1/2.
  Comparison whole, first, second;
  whole.reserve(100);
  std::vector<double> expected;
  for (int i = 0; i < 100; ++i) {
    const double x = 0.5 + 0.0049 * ((i * 37) % 100);
    const std::vector<float> a{0, 0}, b = logits_of({x, 1 - x});
    whole.add(a, b, 0);
    (i < 40 ? first : second).add(a, b, 0);
    expected.push_back(-std::log(2.0) - (std::log(x) + std::log(1 - x)) / 2);
  }
  double sum = 0;
  for (const double kl : expected) sum += kl;
  std::sort(expected.begin(), expected.end());
  first.merge(second);
  for (const ComparisonResult& result : {whole.result(), first.result()}) {
    CHECK(result.n == 100);
    CHECK(result.mean_kl == doctest::Approx(sum / 100).epsilon(1e-6));
    CHECK(result.kl_99 == doctest::Approx(expected[98]).epsilon(1e-6));
    CHECK(result.max_kl == doctest::Approx(expected[99]).epsilon(1e-6));
  }
  CHECK(std::ranges::equal(first.divergences(), whole.divergences()));
}

TEST_CASE("nothing compared is no difference") {
  CHECK(Comparison().result().n == 0);
  CHECK(Comparison().result().mean_kl == 0);
  CHECK(Comparison().result().perplexity_a == 1);
}

TEST_CASE("what cannot be compared is refused, and nothing is added") {
  Comparison comparison;
  const auto add = [&](const std::vector<float>& a, const std::vector<float>& b, Token next) {
    comparison.add(a, b, next);
  };
  const float nan32 = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(add({1, 2}, {1, 2, 3}, 0), doctest::Contains("expected 2, found 3"), ArgumentError);
  CHECK_THROWS_WITH_AS(add({1, 2}, {1, 2}, 2), doctest::Contains("next token: expected one below 2"), ArgumentError);
  CHECK_THROWS_AS(add({1, 2}, {1, 2}, -1), ArgumentError);
  CHECK_THROWS_AS(add({}, {}, 0), ArgumentError);
  CHECK_THROWS_WITH_AS(add({1, nan32}, {1, 2}, 0), doctest::Contains("logits: expected numbers"), ArgumentError);
  CHECK_THROWS_AS(add({nan32, 1}, {1, 2}, 0), ArgumentError);
  CHECK_THROWS_AS(add({1, 2}, {infinity, 2}, 0), ArgumentError);
  CHECK_THROWS_AS(add({-infinity, -infinity}, {1, 2}, 0), ArgumentError);
  CHECK(comparison.result().n == 0);
}

TEST_SUITE_END();
