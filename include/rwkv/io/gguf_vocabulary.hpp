// SPDX-License-Identifier: MIT
// The vocabulary of RWKV World in a GGUF file.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/gguf.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The bytes that a token of a GGUF file stands for: \t, \n, \r, \xHH with two hexadecimal digits; any other character
/// after a backslash is itself (llama_unescape_rwkv_token of llama.cpp). Nothing if it ends inside an escape.
[[nodiscard]] inline std::optional<std::string> unescaped_gguf_token(std::string_view text) {
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

}  // namespace detail

/// The tokens of the vocabulary in a GGUF file as bytes, by id; "" for ids without text: the end of a document, 0, and
/// padding. Empty if the file has no vocabulary of World (`tokenizer.ggml.model` is "rwkv").
///
/// Throws FormatError, naming the token, if one cannot be read.
/// Source: _set_vocab_rwkv_world of convert_hf_to_gguf.py (ggml-org/llama.cpp).
[[nodiscard]] inline std::vector<std::string> read_gguf_vocabulary(const GgufFile& file) {
  constexpr std::uint32_t text_type = 8, int_type = 5;
  constexpr std::int32_t normal = 1;
  const std::string& path = file.tensors.path();
  const auto array = [&file](std::string_view key, std::uint32_t type) {
    const GgufValue* const value = file.find(key);
    const auto* const found = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
    return found == nullptr || found->type != type ? nullptr : found;
  };
  const GgufArray* const texts = array("tokenizer.ggml.tokens", text_type);
  if (file.text("tokenizer.ggml.model") != "rwkv" || texts == nullptr) return {};
  const GgufArray* const types = array("tokenizer.ggml.token_type", int_type);
  if (types != nullptr && types->size != texts->size) {
    throw FormatError({.path = path,
                       .item = "tokenizer.ggml.token_type",
                       .expected = "one for each of " + std::to_string(texts->size) + " tokens",
                       .found = std::to_string(types->size)});
  }
  ByteReader text_reader(path, "tokenizer.ggml.tokens", texts->bytes);
  ByteReader type_reader(path, "tokenizer.ggml.token_type",
                         types == nullptr ? std::span<const std::byte>{} : types->bytes);
  std::vector<std::string> tokens;
  for (std::uint64_t id = 0; id < texts->size; ++id) {
    const std::string_view text = text_reader.text(text_reader.read<std::uint64_t>());
    const bool is_normal = types == nullptr ? id > 0 : type_reader.read<std::int32_t>() == normal;
    const auto bytes = is_normal ? detail::unescaped_gguf_token(text) : std::string();
    if (!bytes) {
      throw FormatError({.path = path,
                         .item = "token " + std::to_string(id),
                         .problem = "ends inside an escape",
                         .found = in_quotes(text)});
    }
    tokens.push_back(*bytes);
  }
  return tokens;
}

RWKV_NAMESPACE_END
