// SPDX-License-Identifier: MIT
// What of a model's text is its answer, and what was only thought.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/text/chat_template.hpp"
#include "rwkv/text/stop.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Separates what a model thinks from what it answers, while it arrives in pieces. Thinking goes from the opening of
/// the template to "</think>"; without an opening everything is the answer. Where texts are cleaned, white space at the
/// beginning of either is left out.
class AnswerStream {
public:
  explicit AnswerStream(const ChatTemplate& form)
      : is_thinking_(!form.opening.empty()), is_trimmed_(form.cleaning == TextCleaning::single_lines) {
    // The opening is " <think", whose ">" is the model's, or reaches into "</think>": nothing of it is a thought.
    std::string ignored;
    if (is_thinking_) static_cast<void>(end_.push(form.opening, ignored));
    n_hidden_ = end_.held().size();
  }

  /// What a piece adds to each.
  struct Piece {
    std::string thought;
    std::string answer;
  };
  [[nodiscard]] Piece push(std::string_view text) {
    Piece piece;
    if (!is_thinking_) {
      piece.answer = text;
    } else if (end_.push(text, piece.thought)) {
      is_thinking_ = false;
      piece.answer = end_.held().substr(end_.held().find('>') + 1);
    }
    return shown(std::move(piece));
  }
  /// The end: what was held back because it could have become "</think>".
  [[nodiscard]] Piece flush() {
    Piece piece;
    if (is_thinking_) end_.flush(piece.thought);
    return shown(std::move(piece));
  }

private:
  /// Without the opening, and trimmed.
  [[nodiscard]] Piece shown(Piece piece) {
    const std::size_t n_opening = std::min(n_hidden_, piece.thought.size());
    piece.thought.erase(0, n_opening);
    n_hidden_ -= n_opening;
    trim(is_trimmed_ ? "> \t\r\n" : ">", piece.thought, has_thought_);
    if (is_trimmed_) trim(" \t\r\n", piece.answer, has_answered_);
    return piece;
  }
  /// Takes these characters away as long as no other came.
  static void trim(std::string_view characters, std::string& text, bool& has_begun) {
    if (!has_begun) text.erase(0, std::min(text.find_first_not_of(characters), text.size()));
    has_begun = has_begun || !text.empty();
  }

  bool is_thinking_;
  bool is_trimmed_;
  bool has_thought_ = false, has_answered_ = false;
  StopMatcher end_{{"</think>"}};
  std::size_t n_hidden_ = 0;  // bytes of the opening that end_ holds
};

RWKV_NAMESPACE_END
