// SPDX-License-Identifier: MIT
// What is done to logits before a token is drawn: biases, penalties, bans.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/text/banned_strings.hpp"
#include "rwkv/text/sampler_options.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Step 1 of a Sampler, and what it remembers of the tokens accepted so far. The options are those of the Sampler and
/// the same in all calls. Where a product meets a sum they are fused on purpose: portable_math.hpp tells why.
class LogitAdjustment {
public:
  /// All weights fade; that of the token grows by 1, or by 0 if it is an uncounted one.
  void accept(Token token, const SamplerOptions& options) {
    const double count = std::binary_search(uncounted_.begin(), uncounted_.end(), token) ? 0 : 1;
    bool is_new = true;
    for (Accepted& accepted : accepted_) {
      const bool is_it = accepted.token == token;
      accepted.weight = std::fma(accepted.weight, options.penalty_decay, is_it ? count : 0);
      accepted.recency = is_it ? 1 : accepted.recency * options.repetition_decay;
      is_new = is_new && !is_it;
    }
    if (is_new) accepted_.push_back({token, count, 1});
    if (banned_strings_) banned_strings_->accept(token);
  }

  /// Forgets the accepted tokens.
  void reset() noexcept {
    accepted_.clear();
    if (banned_strings_) banned_strings_->reset();
  }

  void set_uncounted(std::vector<Token> tokens) {
    std::ranges::sort(tokens);
    uncounted_ = std::move(tokens);
  }
  void set_banned_strings(BannedStrings strings) { banned_strings_ = std::move(strings); }

  /// Throws ArgumentError if a banned, biased or accepted token is not in the vocabulary, and if there are banned
  /// strings but set_banned_strings was not called.
  void apply(const SamplerOptions& options, std::span<float> logits) const {
    for (const auto& [token, bias] : options.logit_bias) {
      float& logit = logit_of(token, "biased token ", logits);
      logit = static_cast<float>(logit + bias);
    }
    for (const Accepted& accepted : accepted_)
      penalise(accepted, options, logit_of(accepted.token, "accepted token ", logits));
    for (const Token token : options.banned) logit_of(token, "banned token ", logits) = minus_infinity;
    if (options.banned_strings.empty()) return;
    if (!banned_strings_) {
      throw ArgumentError({.item = "option banned_strings",
                           .problem = "the texts of the tokens are not known",
                           .hint = "Call Sampler::set_tokenizer first."});
    }
    banned_strings_->for_each_completing([logits](Token token) {  // a tokenizer may have more tokens than a model
      if (static_cast<std::size_t>(token) < logits.size()) logits[static_cast<std::size_t>(token)] = minus_infinity;
    });
  }

private:
  static constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

  struct Accepted {
    Token token;
    double weight;   // of frequency_penalty
    double recency;  // repetition_decay^(tokens since)
  };

  static float& logit_of(Token token, const char* what, std::span<float> logits) {
    const auto position = static_cast<std::size_t>(token);  // a negative token becomes a huge position
    if (position < logits.size()) return logits[position];
    throw ArgumentError({.item = what + std::to_string(token),
                         .expected = "one below " + std::to_string(logits.size()) + ", as there are logits"});
  }

  static void penalise(const Accepted& accepted, const SamplerOptions& options, float& logit) noexcept {
    if (options.repetition_penalty != 1) {
      const double factor = std::fma(options.repetition_penalty - 1, accepted.recency, 1.0);
      logit = static_cast<float>(logit > 0 ? logit / factor : logit * factor);
    }
    logit = static_cast<float>(logit - std::fma(accepted.weight, options.frequency_penalty, options.presence_penalty));
  }

  std::vector<Token> uncounted_;    // sorted
  std::vector<Accepted> accepted_;  // in the order of their first time
  std::optional<BannedStrings> banned_strings_;
};

RWKV_NAMESPACE_END
