// SPDX-License-Identifier: MIT
// What a Sampler can be asked for.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/to_text.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Added to the logit of a token, before everything else.
struct LogitBias {
  Token token;
  double bias;  ///< -infinity bans the token
};

/// How a Sampler chooses; which option acts when, and whose idea it is, is told there. The defaults are those of
/// PIPELINE.sample_logits; its generate loop also has presence_penalty = frequency_penalty = 0.2.
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

  std::vector<std::string> banned_strings{};  ///< never completed; needs Sampler::set_tokenizer
  std::vector<LogitBias> logit_bias{};        ///< of a token that is there twice, the sum
  double repetition_penalty = 1;  ///< > 0; divides the positive logits of accepted tokens, multiplies the negative ones
  double repetition_decay = 1;    ///< 0 .. 1; what remains of (repetition_penalty - 1) after one more token
  bool temperature_first = false;  ///< p becomes p^(1/temperature) before the filters
  double typical_p = 1;            ///< 0 .. 1; keeps the most typical tokens until their sum reaches it; 1: all
  double xtc_probability = 0;      ///< 0 .. 1; how often the most likely tokens are excluded; 0: never
  double xtc_threshold = 0.1;      ///< 0 .. 1; those above it, but for the last of them
  double mirostat = 0;             ///< >= 0; the surprise to keep to, in bits; 0: off
  double mirostat_rate = 0.1;      ///< >= 0; how fast it is brought back there
};

/// Throws ArgumentError that names the option which makes no sense.
inline void check(const SamplerOptions& options) {
  constexpr double largest = std::numeric_limits<double>::max(), infinity = std::numeric_limits<double>::infinity();
  const auto within = [&](const char* option, double value, double low, double high) {
    if (value >= low && value <= high) return;  // false for NaN
    throw ArgumentError({.item = std::string("option ") + option,
                         .expected = "a number from " + detail::to_text(low) + " to " + detail::to_text(high),
                         .found = detail::to_text(value)});
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
  for (const std::string& text : options.banned_strings) {
    if (text.empty()) throw ArgumentError({.item = "option banned_strings", .problem = "one of them is empty"});
  }
  for (const LogitBias& each : options.logit_bias) {
    within("logit_bias: token", each.token, 0, infinity);
    within("logit_bias", each.bias, -infinity, largest);
  }
  within("repetition_penalty", options.repetition_penalty, std::numeric_limits<float>::min(),
         std::numeric_limits<float>::max());
  within("repetition_decay", options.repetition_decay, 0, 1);
  within("typical_p", options.typical_p, 0, 1);
  within("xtc_probability", options.xtc_probability, 0, 1);
  within("xtc_threshold", options.xtc_threshold, 0, 1);
  within("mirostat", options.mirostat, 0, largest);
  within("mirostat_rate", options.mirostat_rate, 0, largest);
}

RWKV_NAMESPACE_END
