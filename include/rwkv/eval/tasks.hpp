// SPDX-License-Identifier: MIT
// What is commonly measured: perplexity, LAMBADA, multiple choice. Texts to passages, scores to figures.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/eval/score.hpp"
#include "rwkv/text/tokenizer.hpp"

RWKV_NAMESPACE_BEGIN

/// A text as windows of `length` tokens, each `stride` after the one before. What no earlier window scored is scored in
/// a window, with at least length - stride tokens before it. length 0: one window over all. No window for texts of less
/// than two tokens.
/// Throws ArgumentError unless 1 <= stride < length.
[[nodiscard]] inline std::vector<Passage> windows(std::span<const Token> tokens, Index length = 0, Index stride = 0) {
  const Index n = std::ssize(tokens);
  if (n < 2) return {};
  if (length == 0) return {{{tokens.begin(), tokens.end()}, 1}};
  if (length < 2 || stride < 1 || stride >= length) {
    throw ArgumentError({.item = "windows",
                         .expected = "a stride of at least 1 that is less than the length",
                         .found = "stride " + std::to_string(stride) + ", length " + std::to_string(length)});
  }
  std::vector<Passage> result;
  Index n_scored = 1;  // tokens scored so far, and the first, which cannot be
  for (Index first = 0; n_scored < n; first += stride) {
    const Index end = std::min(first + length, n);
    result.push_back({{tokens.begin() + first, tokens.begin() + end}, n_scored - first});
    n_scored = end;
  }
  return result;
}

/// How well texts were predicted: sums over their tokens, but for those that were given.
struct TextScore {
  double log_p = 0;  ///< sum of ln p
  Index n_tokens = 0;
  Index n_bytes = 0;

  [[nodiscard]] double perplexity() const noexcept { return std::exp(-log_p / at_least_1(n_tokens)); }  ///< of a token
  [[nodiscard]] double bits_per_byte() const noexcept { return -log_p * std::numbers::log2e / at_least_1(n_bytes); }

  TextScore& operator+=(const TextScore& other) noexcept {
    log_p += other.log_p;
    n_tokens += other.n_tokens;
    n_bytes += other.n_bytes;
    return *this;
  }

private:
  static double at_least_1(Index n) noexcept { return static_cast<double>(std::max<Index>(n, 1)); }
};

/// The bytes of the tokens of a passage that are not given.
[[nodiscard]] inline Index n_scored_bytes(const Passage& passage, const Tokenizer& tokenizer) {
  std::size_t n = 0;
  for (const Token token : std::span(passage.tokens).subspan(static_cast<std::size_t>(passage.n_given))) {
    n += tokenizer.bytes(token).size();
  }
  return static_cast<Index>(n);
}

/// A context and what may follow it, both encoded for themselves; before them the end-of-text token, if there is one.
/// Throws ArgumentError if nothing is given then, or nothing is left to score.
[[nodiscard]] inline Passage continuation(std::string_view context, std::string_view text, const Tokenizer& tokenizer) {
  Passage passage;
  if (const auto end_of_text = tokenizer.end_of_text()) passage.tokens.push_back(*end_of_text);
  const std::vector<Token> given = tokenizer.encode(context), scored = tokenizer.encode(text);
  passage.tokens.insert(passage.tokens.end(), given.begin(), given.end());
  passage.n_given = std::ssize(passage.tokens);
  passage.tokens.insert(passage.tokens.end(), scored.begin(), scored.end());
  if (passage.n_given == 0) throw ArgumentError({.item = "context", .expected = "a text", .found = "none"});
  if (scored.empty()) throw ArgumentError({.item = "continuation", .expected = "a text", .found = "none"});
  return passage;
}

/// LAMBADA (Paperno et al. 2016) as the author of RWKV evaluates it: what follows the last space, with that space, is
/// to be predicted; all of its tokens must be the most likely ones. Its perplexity is exp(-sum of ln p / number of
/// texts). White space at the end, which the published texts have not, does not count: it would be the last word.
/// Throws ArgumentError if there is no space in the text, or nothing but white space before the last.
[[nodiscard]] inline Passage lambada_passage(std::string_view text, const Tokenizer& tokenizer) {
  constexpr std::string_view white_space = " \t\n\r\f\v";
  text = text.substr(0, text.find_last_not_of(white_space) + 1);
  const std::size_t space = text.rfind(' ');
  if (space != text.npos && text.find_first_not_of(white_space) < space) {
    return continuation(text.substr(0, space), text.substr(space), tokenizer);
  }
  throw ArgumentError({.item = "LAMBADA", .expected = "a text of two words and more", .found = in_quotes(text)});
}

/// How well the last words of texts were predicted.
struct LambadaResult {
  Index n = 0, n_correct = 0;
  double log_p = 0;

  void add(double log_p_of_word, bool is_correct) noexcept {
    ++n;
    n_correct += is_correct ? 1 : 0;
    log_p += log_p_of_word;
  }
  [[nodiscard]] double accuracy() const noexcept { return static_cast<double>(n_correct) / count(); }
  [[nodiscard]] double perplexity() const noexcept { return std::exp(-log_p / count()); }

private:
  [[nodiscard]] double count() const noexcept { return static_cast<double>(std::max<Index>(n, 1)); }
};

/// A question of multiple choice: which of the choices continues the context? Choices bring their own leading space.
struct Question {
  std::string context;
  std::vector<std::string> choices;
  Index answer;  ///< of the right one, from 0
};

/// How many questions were answered correctly.
struct ChoiceResult {
  Index n = 0, n_correct = 0, n_correct_normalised = 0;

  /// A question whose choices have these sums of ln p and lengths in bytes. Of choices as likely the first is taken.
  void add(std::span<const double> log_p, std::span<const Index> n_bytes, Index answer) {
    std::vector<double> normalised(log_p.begin(), log_p.end());
    for (std::size_t i = 0; i < normalised.size(); ++i) normalised[i] /= static_cast<double>(n_bytes[i]);
    ++n;
    n_correct += std::ranges::max_element(log_p) - log_p.begin() == answer ? 1 : 0;
    n_correct_normalised += std::ranges::max_element(normalised) - normalised.begin() == answer ? 1 : 0;
  }
  [[nodiscard]] double accuracy() const noexcept { return share(n_correct); }
  [[nodiscard]] double accuracy_normalised() const noexcept { return share(n_correct_normalised); }  ///< ln p per byte

private:
  [[nodiscard]] double share(Index n_right) const noexcept {
    return static_cast<double>(n_right) / static_cast<double>(std::max<Index>(n, 1));
  }
};

RWKV_NAMESPACE_END
