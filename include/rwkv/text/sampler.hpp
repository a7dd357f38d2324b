// SPDX-License-Identifier: MIT
// From logits to the next token.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/text/logit_adjustment.hpp"
#include "rwkv/text/ranking.hpp"
#include "rwkv/text/sampler_options.hpp"
#include "rwkv/text/tokenizer.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Draws tokens as PIPELINE.sample_logits and PIPELINE.generate of pip rwkv (BlinkDL/ChatRWKV, utils.py) do, with what
/// others have found since. In this order:
///
/// 1. Logits. Each step rounds to float.
///    logit bias: logit[n] += bias.
///    repetition_penalty: for each token n accepted so far, its logit is divided by t if it is positive, else
///    multiplied (Keskar et al. 2019, CTRL, 4.1), where t = 1 + (repetition_penalty - 1) * repetition_decay^(tokens
///    since then). presence and frequency: logit[n] -= presence_penalty + weight[n] * frequency_penalty for each of
///    these tokens. bans: -infinity for banned tokens, and for those that would complete a banned string
///    (BannedStrings).
/// 2. p = softmax(logits), in double; softmax(logits / temperature) if temperature_first.
/// 3. typical_p: of the entropy e = -sum p ln p, the tokens in ascending order of |-ln p - e|, in float and then by id,
///    until their sum reaches typical_p (Meister et al. 2023, Locally Typical Sampling); then step 2 for them alone.
/// 4. top-p, top-k, top-a, min-p: each keeps the head of one ranking and looks at the p of before, so that their order
///    does not matter and the shortest head is kept. Top-p also keeps all tokens that tie with the last one it needs.
///    (Top-p: Holtzman et al. 2020; top-k: Fan et al. 2018; min-p: Nguyen et al. 2024; top-a: the first release of
///    BlinkDL/RWKV-LM, RWKV-v1, min_p_ratio and min_p_pow, which had no top-p before it either.)
/// 5. p = p^(1/temperature) unless temperature_first, then p /= sum. Temperature 0 stands for temperature 1 and a top_p
///    of 0: the maximum, and equal chances for tokens that share it.
/// 6. XTC, exclude top choices (p-e-w 2024, oobabooga/text-generation-webui pull request 6335): with chance
///    xtc_probability, of two and more tokens with p >= xtc_threshold all but the last in the ranking are dropped.
/// 7. mirostat 2.0 (Basu et al. 2021, algorithm 2): drops p < 2^-mu, but never all; p /= sum. When the token is
///    accepted, mu -= mirostat_rate * (-log2 p - mirostat); it begins as 2 * mirostat.
/// 8. With u uniform in [0, 1): the first token, by descending p, then by ascending id, where the sum of p exceeds u.
///
/// Differs from the original where that goes wrong: top_p >= 1 switches the filter off, where rounding could make the
/// original greedy. Equal logits, options and seeds draw equal tokens with every processor, compiler and standard
/// library (portable_math.hpp), unless the compiler is told to calculate otherwise (-ffast-math).
///
/// A value: copy it to fork a generation. Not for several threads at once. After the first call for a number of logits,
/// sample() and probabilities() do not allocate.
class Sampler {
public:
  /// Throws ArgumentError that names the option which makes no sense.
  explicit Sampler(SamplerOptions options = {}, std::uint64_t seed = 0);

  [[nodiscard]] const SamplerOptions& options() const noexcept { return options_; }

  /// Draws a token for logits [n_vocab]; takes one random number, and one before it if there may be XTC. The token is
  /// not accepted yet.
  /// Throws ArgumentError for NaN and +infinity, if nothing is left to draw, if a banned, biased or accepted token is
  /// not in the vocabulary, and if there are banned strings but no tokenizer.
  [[nodiscard]] Token sample(std::span<const float> logits);

  /// The probabilities [n_vocab] that the next sample() would draw from.
  /// Throws as sample(), and ArgumentError if the sizes differ.
  void probabilities(std::span<const float> logits, std::span<double> out);

  /// Tells that a token was generated, for the penalties: all weights fade, and that of the token grows by 1, or only
  /// comes into being if the token is an uncounted one. Tokens of a prompt do not count in the original. Mirostat
  /// learns from it if it is the one that was drawn last.
  void accept(Token token);

  /// Forgets the accepted tokens, and what mirostat learned. The random numbers go on.
  void reset() noexcept;

  [[nodiscard]] const Random& random() const noexcept { return random_; }
  void set_random(const Random& random) noexcept { random_ = random; }

  /// The tokens that never get a frequency penalty: in the original, spaces and digits (uncounted_tokens in
  /// tokenizer.hpp). None at first.
  void set_uncounted(std::vector<Token> tokens);

  /// The texts of the tokens: for the banned strings, and for set_uncounted as in the original.
  void set_tokenizer(const Tokenizer& tokenizer);

private:
  struct Kept {
    Index first, n;  // ranks
    double sum;      // of tempered() over them
  };
  struct Drawn {
    Token token;
    double p;
  };

  /// p of step 2, up to a factor; 1 for the maximum.
  [[nodiscard]] double weight(float logit) const noexcept;
  /// p of step 5, up to a factor; 1 for the maximum.
  [[nodiscard]] double tempered(float logit) const noexcept;

  /// Steps 1 to 7.
  Kept filter(std::span<const float> logits, Random& random);

  void keep_typical();                 // step 3
  [[nodiscard]] Index n_kept();        // step 4: how many ranks
  [[nodiscard]] Kept temper(Index n);  // step 5
  void exclude_top(Kept& kept);        // step 6
  void keep_expected(Kept& kept);      // step 7

  [[nodiscard]] float checked_maximum() const;
  [[nodiscard]] double sum_of_weights() const noexcept;

  SamplerOptions options_;
  Random random_;
  LogitAdjustment adjustment_;
  double mu_;  // of mirostat
  std::optional<Drawn> drawn_;
  std::vector<float> adjusted_;    // the logits after step 1
  std::vector<float> typicality_;  // of each token, step 3
  float maximum_ = 0;              // of adjusted_
  Ranking ranking_;
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/portable_math.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API Sampler::Sampler(SamplerOptions options, std::uint64_t seed)
    : options_(std::move(options)), random_(seed), mu_(2 * options_.mirostat) {
  check(options_);
}

RWKV_API Token Sampler::sample(std::span<const float> logits) {
  const Kept kept = filter(logits, random_);
  const double target = random_.uniform() * kept.sum;
  double sum = 0;
  drawn_.reset();
  for (Index rank = kept.first; rank < kept.first + kept.n && sum <= target; ++rank) {
    const Ranking::Candidate& candidate = ranking_[rank];
    const double p = tempered(candidate.logit);
    if (p == 0 && drawn_) break;  // underflow: rounding brought us here, and the token before is the last one there is
    drawn_ = {candidate.token, p / kept.sum};
    sum += p;
  }
  return drawn_->token;
}

RWKV_API void Sampler::probabilities(std::span<const float> logits, std::span<double> out) {
  if (out.size() != logits.size()) {
    throw ArgumentError({.item = "probabilities",
                         .expected = std::to_string(logits.size()) + " places, as there are logits",
                         .found = std::to_string(out.size())});
  }
  Random random = random_;
  const Kept kept = filter(logits, random);
  std::fill(out.begin(), out.end(), 0.0);
  const auto place = [&](const Ranking::Candidate& candidate) {
    out[static_cast<std::size_t>(candidate.token)] = tempered(candidate.logit) / kept.sum;
  };
  if (kept.n == ranking_.size()) {
    std::ranges::for_each(ranking_.candidates(), place);
  } else {
    for (Index rank = kept.first; rank < kept.first + kept.n; ++rank) place(ranking_[rank]);
  }
}

RWKV_API void Sampler::accept(Token token) {
  adjustment_.accept(token, options_);
  if (options_.mirostat > 0 && drawn_ && drawn_->token == token) {
    mu_ = std::fma(-options_.mirostat_rate, -portable_log2(drawn_->p) - options_.mirostat, mu_);
  }
  drawn_.reset();
}

RWKV_API void Sampler::reset() noexcept {
  adjustment_.reset();
  mu_ = 2 * options_.mirostat;
  drawn_.reset();
}

RWKV_API void Sampler::set_uncounted(std::vector<Token> tokens) { adjustment_.set_uncounted(std::move(tokens)); }

RWKV_API void Sampler::set_tokenizer(const Tokenizer& tokenizer) {
  set_uncounted(uncounted_tokens(tokenizer));
  if (!options_.banned_strings.empty()) adjustment_.set_banned_strings({options_.banned_strings, tokenizer});
}

RWKV_API double Sampler::weight(float logit) const noexcept {
  return options_.temperature_first ? tempered(logit) : exp_minus(static_cast<double>(maximum_) - logit);
}

RWKV_API double Sampler::tempered(float logit) const noexcept {
  const double below = static_cast<double>(maximum_) - logit;
  return exp_minus(options_.temperature > 0 ? below / options_.temperature : below);
}

RWKV_API Sampler::Kept Sampler::filter(std::span<const float> logits, Random& random) {
  adjusted_.assign(logits.begin(), logits.end());
  adjustment_.apply(options_, adjusted_);
  maximum_ = checked_maximum();
  if (options_.typical_p < 1) keep_typical();
  ranking_.assign(adjusted_, maximum_);
  Kept kept = temper(n_kept());
  if (options_.xtc_probability > 0 && random.uniform() < options_.xtc_probability) exclude_top(kept);
  if (options_.mirostat > 0) keep_expected(kept);
  return kept;
}

RWKV_API float Sampler::checked_maximum() const {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  float maximum = -infinity;
  for (std::size_t i = 0; i < adjusted_.size(); ++i) {
    const float logit = adjusted_[i];
    if (logit <= maximum) continue;  // almost always; never for NaN
    if (!(logit < infinity)) {
      throw ArgumentError({.item = "logit of token " + std::to_string(i),
                           .expected = "a number or -infinity",
                           .found = std::isnan(logit) ? "NaN" : "+infinity"});
    }
    maximum = logit;
  }
  if (maximum > -infinity) return maximum;
  throw ArgumentError({.item = "logits",
                       .problem = "there is no token to draw",
                       .found = std::to_string(adjusted_.size()) + " logits, all of them -infinity or banned"});
}

RWKV_API double Sampler::sum_of_weights() const noexcept {
  double sum = 0;
  for (const float logit : adjusted_) sum += weight(logit);
  return sum;
}

RWKV_API void Sampler::keep_typical() {
  // With x = -ln p + ln p_max: |-ln p - e| = |x - mean of x|, where ln p_max cancels.
  const bool is_tempered = options_.temperature_first && options_.temperature > 0;
  const auto distance = [&](float logit) {
    const double below = static_cast<double>(maximum_) - logit;
    return is_tempered ? below / options_.temperature : below;
  };
  double sum = 0, first_moment = 0;
  for (const float logit : adjusted_) {
    const double w = weight(logit);
    if (w == 0) continue;
    sum += w;
    first_moment = std::fma(w, distance(logit), first_moment);
  }
  const double mean = first_moment / sum;
  float best = -std::numeric_limits<float>::infinity();
  typicality_.resize(adjusted_.size());
  for (std::size_t i = 0; i < adjusted_.size(); ++i) {
    typicality_[i] = static_cast<float>(-std::abs(distance(adjusted_[i]) - mean));
    best = std::max(best, typicality_[i]);
  }
  ranking_.assign(typicality_, best);
  const auto logit_at = [&](Index rank) { return adjusted_[static_cast<std::size_t>(ranking_[rank].token)]; };
  double kept_sum = 0;
  Index n = 0;
  for (; n < ranking_.size() && (n == 0 || kept_sum < options_.typical_p * sum); ++n) kept_sum += weight(logit_at(n));
  for (Index rank = 0; rank < n; ++rank) typicality_[static_cast<std::size_t>(ranking_[rank].token)] = 1;
  for (std::size_t i = 0; i < adjusted_.size(); ++i) {
    if (typicality_[i] != 1) adjusted_[i] = -std::numeric_limits<float>::infinity();
  }
  maximum_ = checked_maximum();
}

RWKV_API Index Sampler::n_kept() {
  const double top_p = options_.temperature > 0 ? options_.top_p : 0;
  const Index most = options_.top_k > 0 ? std::min(options_.top_k, ranking_.size()) : ranking_.size();
  const double all = (top_p > 0 && top_p < 1) || options_.top_a > 0 ? sum_of_weights() : 0;
  double least = options_.min_p;  // of the weight: p < m * p_max is w < m. The maximum, w = 1, always stays
  if (options_.top_a > 0) {       // p < a * p_max^power is w < a * all^(1 - power)
    const double log_all = portable_log2(all) / std::numbers::log2e, power = options_.top_a_power - 1;
    const double factor = exp_minus(log_all * std::abs(power));
    least = std::max(least, power >= 0 ? options_.top_a * factor : options_.top_a / factor);
  }
  least = std::min(1.0, least);
  if (top_p >= 1 && least == 0) return most;

  double sum = 0;
  Index rank = 0;
  for (; rank < most; ++rank) {
    const float logit = ranking_[rank].logit;
    const double w = weight(logit);
    const bool has_enough = rank > 0 && top_p < 1 && sum >= top_p * all;
    if (w < least || (has_enough && logit != ranking_[rank - 1].logit)) break;
    sum += w;
  }
  return rank;
}

RWKV_API Sampler::Kept Sampler::temper(Index n) {
  Kept kept{0, n, 0};
  if (n == ranking_.size()) {
    for (const float logit : adjusted_) kept.sum += tempered(logit);
  } else {
    for (Index rank = 0; rank < n; ++rank) kept.sum += tempered(ranking_[rank].logit);
  }
  return kept;
}

RWKV_API void Sampler::exclude_top(Kept& kept) {
  const double least = options_.xtc_threshold * kept.sum;
  Index n_above = 0;
  while (n_above < kept.n && tempered(ranking_[n_above].logit) >= least) ++n_above;
  for (; kept.first + 1 < n_above; ++kept.first, --kept.n) kept.sum -= tempered(ranking_[kept.first].logit);
  // What is left may be lost in rounding, or be too small for a number.
  kept.sum = std::max({kept.sum, tempered(ranking_[kept.first].logit), std::numeric_limits<double>::min()});
}

RWKV_API void Sampler::keep_expected(Kept& kept) {
  const double least = kept.sum * exp_minus(std::max(mu_, 0.0) / std::numbers::log2e);
  double sum = 0;
  Index n = 0;
  for (; n < kept.n; ++n) {
    const double p = tempered(ranking_[kept.first + n].logit);
    if (n > 0 && p < least) break;
    sum += p;
  }
  kept = {kept.first, n, sum};
}

RWKV_NAMESPACE_END
#endif
