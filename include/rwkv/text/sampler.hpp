// SPDX-License-Identifier: MIT
// From logits to the next token.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/text/ranking.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// How a Sampler chooses. The defaults are those of PIPELINE.sample_logits; its generate loop also has
/// presence_penalty = frequency_penalty = 0.2.
struct SamplerOptions {
  double temperature = 1;        ///< >= 0; p becomes p^(1/temperature) after the filters; 0 means the most likely token
  double top_p = 0.85;           ///< >= 0; keeps the most likely tokens until their sum reaches it; 1 and above: all
  Index top_k = 0;               ///< >= 0; keeps that many tokens; 0: all
  double top_a = 0;              ///< 0 .. 1; drops p < top_a * p_max^top_a_power; 0: none; the first RWKV used 0.02
  double top_a_power = 2;        ///< >= 0
  double min_p = 0;              ///< 0 .. 1; drops p < min_p * p_max
  double presence_penalty = 0;   ///< taken from the logit of every token that was accepted before
  double frequency_penalty = 0;  ///< taken from it again for every time it was accepted, faded by age
  double penalty_decay = 0.996;  ///< 0 .. 1; what remains of such a time after one more token
  std::vector<Token> banned{};   ///< never drawn
};

/// Draws tokens as PIPELINE.sample_logits and PIPELINE.generate of pip rwkv (BlinkDL/ChatRWKV, utils.py) do:
///
/// 1. logit[n] -= presence_penalty + weight[n] * frequency_penalty for each token n accepted so far; banned: -infinity.
/// 2. p = softmax(logits), in double.
/// 3. top-p, top-k, top-a, min-p: each keeps the head of one ranking and looks at the p of step 2, so that their order
///    does not matter and the shortest head is kept. Top-p also keeps all tokens that tie with the last one it needs.
///    The top-a of the first release (BlinkDL/RWKV-LM, RWKV-v1: min_p_ratio, min_p_pow) had no top-p before it either.
/// 4. p = p^(1/temperature), then p /= sum. Temperature 0 stands for temperature 1 and top_p 0: the maximum, and equal
///    chances for tokens that share it.
/// 5. With u uniform in [0, 1): the first token, by descending p, then by ascending id, where the sum of p exceeds u.
///
/// Differs from the original where that goes wrong: top_p >= 1 switches the filter off, where rounding could make the
/// original greedy. Equal logits, options and seeds draw equal tokens wherever std::exp rounds alike.
///
/// A value: copy it to fork a generation. Not for several threads at once. After the first call for a number of logits,
/// sample() and probabilities() do not allocate.
class Sampler {
public:
  /// Throws ArgumentError that names the option which makes no sense.
  explicit Sampler(SamplerOptions options = {}, std::uint64_t seed = 0);

  [[nodiscard]] const SamplerOptions& options() const noexcept { return options_; }

  /// Draws a token for logits [n_vocab]; takes one random number. The token is not accepted yet.
  /// Throws ArgumentError for NaN and +infinity, if nothing is left to draw, and if a banned or accepted token is not
  /// in the vocabulary.
  [[nodiscard]] Token sample(std::span<const float> logits);

  /// The probabilities [n_vocab] that the next sample() would draw from.
  /// Throws as sample(), and ArgumentError if the sizes differ.
  void probabilities(std::span<const float> logits, std::span<double> out);

  /// Tells that a token was generated, for the penalties: all weights fade, and that of the token grows by 1, or only
  /// comes into being if the token is an uncounted one. Tokens of a prompt do not count in the original.
  void accept(Token token);

  /// Forgets the accepted tokens. The random numbers go on.
  void reset() noexcept { accepted_.clear(); }

  /// The tokens that never get a frequency penalty: in the original, spaces and digits (uncounted_tokens in
  /// tokenizer.hpp). None at first.
  void set_uncounted(std::vector<Token> tokens);

private:
  struct Accepted {
    Token token;
    double weight;
  };
  struct Kept {
    Index n;     // the first n ranks
    double sum;  // of tempered() over them
  };

  static void check(const SamplerOptions& options);

  static std::string to_text(double value);

  /// p^(1/temperature) of step 4, up to a factor; 1 for the maximum.
  [[nodiscard]] double tempered(float logit) const noexcept;

  /// Steps 1 to 4, as far as they need the whole vocabulary.
  Kept filter(std::span<const float> logits);

  void adjust(std::span<const float> logits);

  [[nodiscard]] float checked_maximum() const;

  /// Step 3: how many ranks are kept. `all` is the sum of the weights w = exp(logit - maximum), so p = w / all.
  [[nodiscard]] Index n_kept(double all);

  SamplerOptions options_;
  Random random_;
  std::vector<Token> uncounted_;    // sorted
  std::vector<Accepted> accepted_;  // in the order of their first time
  std::vector<float> adjusted_;     // the logits after step 1
  float maximum_ = 0;               // of adjusted_
  Ranking ranking_;
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API Sampler::Sampler(SamplerOptions options, std::uint64_t seed) : options_(std::move(options)), random_(seed) {
  check(options_);
}

RWKV_API Token Sampler::sample(std::span<const float> logits) {
  const Kept kept = filter(logits);
  const double target = random_.uniform() * kept.sum;
  double sum = 0;
  Token token = ranking_[0].token;
  for (Index rank = 0; rank < kept.n && sum <= target; ++rank) {
    const double p = tempered(ranking_[rank].logit);
    if (p == 0) break;  // underflow: rounding brought us here, and the token before is the last one there is
    token = ranking_[rank].token;
    sum += p;
  }
  return token;
}

RWKV_API void Sampler::probabilities(std::span<const float> logits, std::span<double> out) {
  if (out.size() != logits.size()) {
    throw ArgumentError({.item = "probabilities",
                         .expected = std::to_string(logits.size()) + " places, as there are logits",
                         .found = std::to_string(out.size())});
  }
  const Kept kept = filter(logits);
  std::fill(out.begin(), out.end(), 0.0);
  for (const auto& [logit, token] : ranking_.candidates().first(static_cast<std::size_t>(kept.n))) {
    out[static_cast<std::size_t>(token)] = tempered(logit) / kept.sum;
  }
}

RWKV_API void Sampler::accept(Token token) {
  const double count = std::binary_search(uncounted_.begin(), uncounted_.end(), token) ? 0 : 1;
  bool is_new = true;
  for (Accepted& accepted : accepted_) {
    accepted.weight *= options_.penalty_decay;
    if (accepted.token != token) continue;
    accepted.weight += count;
    is_new = false;
  }
  if (is_new) accepted_.push_back({token, count});
}

RWKV_API void Sampler::set_uncounted(std::vector<Token> tokens) {
  std::sort(tokens.begin(), tokens.end());
  uncounted_ = std::move(tokens);
}

RWKV_API void Sampler::check(const SamplerOptions& options) {
  constexpr double largest = std::numeric_limits<double>::max(), infinity = std::numeric_limits<double>::infinity();
  const auto within = [](const char* option, double value, double low, double high) {
    if (value >= low && value <= high) return;  // false for NaN
    throw ArgumentError({.item = std::string("option ") + option,
                         .expected = "a number from " + to_text(low) + " to " + to_text(high),
                         .found = to_text(value)});
  };
  within("temperature", options.temperature, 0, largest);
  within("top_p", options.top_p, 0, infinity);
  within("top_k", static_cast<double>(options.top_k), 0, infinity);
  within("top_a", options.top_a, 0, 1);
  within("top_a_power", options.top_a_power, 0, largest);
  within("min_p", options.min_p, 0, 1);
  within("presence_penalty", options.presence_penalty, -largest, largest);
  within("frequency_penalty", options.frequency_penalty, -largest, largest);
  within("penalty_decay", options.penalty_decay, 0, 1);
  for (const Token token : options.banned) within("banned", token, 0, infinity);
}

RWKV_API std::string Sampler::to_text(double value) {  // std::to_string asks the locale
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

RWKV_API double Sampler::tempered(float logit) const noexcept {
  const double below = static_cast<double>(logit) - maximum_;
  return std::exp(options_.temperature > 0 ? below / options_.temperature : below);
}

RWKV_API Sampler::Kept Sampler::filter(std::span<const float> logits) {
  adjust(logits);
  maximum_ = checked_maximum();
  ranking_.assign(adjusted_, maximum_);
  double all = 0;  // the softmax divides by it
  for (const float logit : adjusted_) all += std::exp(static_cast<double>(logit) - maximum_);
  Kept kept{n_kept(all), 0};
  if (kept.n == ranking_.size() && options_.temperature == 1) return {kept.n, all};
  for (const auto& candidate : ranking_.candidates().first(static_cast<std::size_t>(kept.n))) {
    kept.sum += tempered(candidate.logit);
  }
  return kept;
}

RWKV_API void Sampler::adjust(std::span<const float> logits) {
  adjusted_.assign(logits.begin(), logits.end());
  const auto logit_of = [&](Token token, const char* what) -> float& {
    const auto position = static_cast<std::size_t>(token);  // a negative token becomes a huge position
    if (position < adjusted_.size()) return adjusted_[position];
    throw ArgumentError({.item = what + std::to_string(token),
                         .expected = "one below " + std::to_string(adjusted_.size()) + ", as there are logits"});
  };
  for (const auto& [token, weight] : accepted_) {
    float& logit = logit_of(token, "accepted token ");
    logit = static_cast<float>(logit - (options_.presence_penalty + weight * options_.frequency_penalty));
  }
  for (const Token token : options_.banned) {
    logit_of(token, "banned token ") = -std::numeric_limits<float>::infinity();
  }
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

RWKV_API Index Sampler::n_kept(double all) {
  const double top_p = options_.temperature > 0 ? options_.top_p : 0;
  const Index most = options_.top_k > 0 ? std::min(options_.top_k, ranking_.size()) : ranking_.size();
  // p < a * p_max^power is w < a * all^(1 - power), and p < m * p_max is w < m. The maximum, w = 1, always stays.
  const double top_a = options_.top_a > 0 ? options_.top_a * std::pow(all, 1 - options_.top_a_power) : 0;
  const double least = std::min(1.0, std::max(top_a, options_.min_p));
  if (top_p >= 1 && least == 0 && most == ranking_.size()) return most;  // nothing to rank

  double sum = 0;
  Index rank = 0;
  for (; rank < most; ++rank) {
    const float logit = ranking_[rank].logit;
    const double weight = std::exp(static_cast<double>(logit) - maximum_);
    const bool has_enough = rank > 0 && top_p < 1 && sum >= top_p * all;
    if (weight < least || (has_enough && logit != ranking_[rank - 1].logit)) break;
    sum += weight;
  }
  return rank;
}

RWKV_NAMESPACE_END
#endif
