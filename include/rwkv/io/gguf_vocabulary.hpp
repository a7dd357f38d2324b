// SPDX-License-Identifier: MIT
// The vocabulary of RWKV World in a GGUF file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "rwkv/core/error.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/gguf.hpp"
#include "rwkv/io/vocabulary.hpp"

RWKV_NAMESPACE_BEGIN

/// The vocabulary in a GGUF file as the text of a World vocabulary file (vocabulary_key), without the ids that have no
/// bytes: the end of a document, 0, and padding. Empty if the file has no vocabulary of World
/// (`tokenizer.ggml.model` is "rwkv").
///
/// Throws FormatError, naming the token, if one cannot be read.
/// Source: _set_vocab_rwkv_world of convert_hf_to_gguf.py (ggml-org/llama.cpp).
[[nodiscard]] inline std::string read_gguf_vocabulary(const GgufFile& file) {
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
  std::string vocabulary;
  for (std::uint64_t id = 0; id < texts->size; ++id) {
    const std::string_view text = text_reader.text(text_reader.read<std::uint64_t>());
    const bool is_normal = types == nullptr || type_reader.read<std::int32_t>() == normal;
    const auto bytes = is_normal ? detail::unescaped_token(text) : std::string();
    if (!bytes) {
      throw FormatError({.path = path,
                         .item = "token " + std::to_string(id),
                         .problem = "ends inside an escape",
                         .found = in_quotes(text)});
    }
    if (id > 0 && !bytes->empty()) detail::append_vocabulary_line(vocabulary, id, *bytes);
  }
  return vocabulary;
}

RWKV_NAMESPACE_END
