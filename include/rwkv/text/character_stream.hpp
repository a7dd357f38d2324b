// SPDX-License-Identifier: MIT
// A text on its way to somebody who reads characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/utf8.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Hands on a text that grows, in whole UTF-8 characters, for as long as they are wanted: until on_text returns false.
/// What is not UTF-8 becomes U+FFFD. The function must outlive it.
class CharacterStream {
public:
  explicit CharacterStream(FunctionRef<bool(std::string_view)> on_text) : on_text_(on_text) {}

  [[nodiscard]] bool is_wanted() const noexcept { return is_wanted_; }
  /// What has been added to the text since it was last shown.
  void show(std::string_view text) {
    piece_.clear();
    utf8_.push(text.substr(n_shown_), piece_);
    n_shown_ = text.size();
    hand_on();
  }
  /// The end of the text, which may be in the middle of a character.
  void end() {
    piece_.clear();
    utf8_.flush(piece_);
    hand_on();
  }

private:
  void hand_on() {
    if (is_wanted_ && !piece_.empty()) is_wanted_ = on_text_(std::string_view(piece_));
  }

  FunctionRef<bool(std::string_view)> on_text_;
  Utf8Stream utf8_;
  std::string piece_;
  std::size_t n_shown_ = 0;
  bool is_wanted_ = true;
};

RWKV_NAMESPACE_END
