// SPDX-License-Identifier: MIT
// The options of all commands that draw tokens.
#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "command.hpp"

namespace cli {
namespace {

/// "ID=VALUE". Throws ArgumentError.
rwkv::LogitBias parse_logit_bias(const std::string& text) {
  rwkv::LogitBias result{};
  const char* const end = text.data() + text.size();
  const auto [equals, error] = std::from_chars(text.data(), end, result.token);
  char* value_end = nullptr;
  if (error == std::errc() && equals + 1 < end && *equals == '=') result.bias = std::strtod(equals + 1, &value_end);
  if (value_end == end) return result;
  throw rwkv::ArgumentError(
      {.item = "--logit-bias", .expected = "TOKEN=NUMBER, such as 261=-1.5", .found = rwkv::in_quotes(text)});
}

/// CLI11 takes -1 and what is too large for some number of 64 bits.
const CLI::Validator whole_number(
    [](const std::string& text) {
      std::uint64_t number = 0;
      const char* const end = text.data() + text.size();
      const auto [rest, error] = std::from_chars(text.data(), end, number);
      const bool is_number = error == std::errc() && rest == end;
      return is_number ? std::string()
                       : "must be a number from 0 to 18446744073709551615, not " + rwkv::in_quotes(text);
    },
    "");

}  // namespace

void check_sampling(const rwkv::SamplerOptions& options) {
  rwkv::check(options);
  if (options.top_p <= 1) return;  // for the library what is above 1 is 1; here it was meant to be something else
  char found[32];
  std::snprintf(found, sizeof found, "%g", options.top_p);
  throw rwkv::ArgumentError({.item = "option top_p", .expected = "a number from 0 to 1", .found = found});
}

void add_sampling_options(CLI::App& command, rwkv::SamplerOptions& options, std::optional<std::uint64_t>& seed) {
  command.add_option("--seed", seed, "Seed of the random choices; default: a random one")->check(whole_number);
  const auto number = [&command](const char* name, auto& value, const char* help) {
    command.add_option(name, value, help)->capture_default_str();
  };
  number("--temperature", options.temperature, "0: always the most likely token");
  number("--top-p", options.top_p, "Keep the most likely tokens until their sum reaches this");
  number("--top-k", options.top_k, "Keep this many; 0: all");
  number("--top-a", options.top_a, "Drop p < top_a * p_max^2; 0: none; the first RWKV had 0.02");
  number("--top-a-power", options.top_a_power, "The 2 of top_a");
  number("--min-p", options.min_p, "Drop p < min_p * p_max; 0: none");
  number("--presence-penalty", options.presence_penalty, "For tokens that occurred");
  number("--frequency-penalty", options.frequency_penalty, "For each time they did");
  number("--penalty-decay", options.penalty_decay, "How much of that remains a token later");
  command.add_option("--ban", options.banned, "Tokens never to generate, separated by commas")->delimiter(',');
  command.add_option("--ban-text", options.banned_strings, "Never generate this text; may be given several times")
      ->allow_extra_args(false);
  command
      .add_option_function<std::vector<std::string>>(
          "--logit-bias",
          [&options](const std::vector<std::string>& each) {
            for (const std::string& text : each) options.logit_bias.push_back(parse_logit_bias(text));
          },
          "Added to the logits of tokens: TOKEN=NUMBER, separated by commas")
      ->delimiter(',');
  number("--repetition-penalty", options.repetition_penalty, "Divides logits of tokens that occurred; 1: none");
  number("--repetition-decay", options.repetition_decay, "How much of that remains a token later");
  command.add_flag("--temperature-first", options.temperature_first, "Before the filters, not after them");
  number("--typical-p", options.typical_p, "Keep tokens of typical surprise until their sum reaches this; 1: all");
  number("--xtc-probability", options.xtc_probability, "How often to exclude the most likely tokens; 0: never");
  number("--xtc-threshold", options.xtc_threshold, "Those that have this p, but for the last of them");
  number("--mirostat", options.mirostat, "Keep the surprise at so many bits (mirostat 2.0); 0: off");
  number("--mirostat-rate", options.mirostat_rate, "How fast it is brought back there");
}

}  // namespace cli
