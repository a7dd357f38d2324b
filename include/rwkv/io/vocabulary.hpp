// SPDX-License-Identifier: MIT
// The vocabulary that comes with a model: in the metadata of a Checkpoint it is the text of a World vocabulary file, in
// GGUF an array of escaped texts.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/text/python_literal.hpp"

RWKV_NAMESPACE_BEGIN

/// Metadata: the text of a World vocabulary file (see WorldTokenizer), of files that hold the vocabulary, too.
inline constexpr std::string_view vocabulary_key = "rwkv.vocabulary";

/// Metadata: how conversations are written for the model, as GGUF has it under this key; see recognised_chat_template.
inline constexpr std::string_view chat_template_key = "tokenizer.chat_template";

namespace detail {

/// Bytes as GGUF files and Python literals spell them: what is no printable ASCII, and the quote of literals, is \xHH.
/// llama_unescape_rwkv_token (llama-vocab.cpp of llama.cpp) and Python read both.
[[nodiscard]] inline std::string escaped_token(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') {
      text += "\\\\";
    } else if (byte >= 0x20 && byte < 0x7f && c != '\'') {
      text += c;
    } else {
      text += {'\\', 'x', digits[byte / 16], digits[byte % 16]};
    }
  }
  return text;
}

/// The bytes that a token of a GGUF file stands for: \t, \n, \r, \xHH with two hexadecimal digits; any other character
/// after a backslash is itself (llama_unescape_rwkv_token of llama.cpp). Nothing if it ends inside an escape.
[[nodiscard]] inline std::optional<std::string> unescaped_token(std::string_view text) {
  constexpr std::string_view letters = "tnr", meanings = "\t\n\r";
  std::string bytes;
  while (!text.empty()) {
    const char first = text[0];
    text.remove_prefix(1);
    if (first != '\\') {
      bytes += first;
      continue;
    }
    if (text.empty()) return std::nullopt;
    const char letter = text[0];
    text.remove_prefix(1);
    if (letter != 'x') {
      const std::size_t i = letters.find(letter);
      bytes += i == letters.npos ? letter : meanings[i];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(0, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc{} || digits.size() != 2 || end != digits.data() + 2) return std::nullopt;
    bytes += static_cast<char>(value);
    text.remove_prefix(2);
  }
  return bytes;
}

/// A line of a World vocabulary file.
inline void append_vocabulary_line(std::string& text, std::uint64_t id, std::string_view bytes) {
  text += std::to_string(id) + " b'" + escaped_token(bytes) + "' " + std::to_string(bytes.size()) + "\n";
}

/// The bytes of the tokens below n_vocab in the text of a World vocabulary file; "" for those that it does not have.
/// Unlike a tokenizer's, such a vocabulary need not be able to spell every text.
/// Throws FormatError naming the line that is none.
[[nodiscard]] inline std::vector<std::string> vocabulary_tokens(std::string_view text, Index n_vocab) {
  std::vector<std::string> tokens(static_cast<std::size_t>(n_vocab));
  for (Index number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    Index id = 0;
    std::string bytes;
    const bool is_line = first < last && last != line.npos &&
                         std::from_chars(line.data(), line.data() + first, id).ptr == line.data() + first && id >= 0 &&
                         append_python_literal(line.substr(first + 1, last - first - 1), bytes) == nullptr;
    if (!is_line) {
      throw FormatError({.item = "metadata " + in_quotes(vocabulary_key),
                         .expected = "line " + std::to_string(number) + " to be: id, literal, number of bytes",
                         .found = in_quotes(line)});
    }
    if (id < n_vocab) tokens[static_cast<std::size_t>(id)] = std::move(bytes);
  }
  return tokens;
}

}  // namespace detail

RWKV_NAMESPACE_END
