// SPDX-License-Identifier: MIT
// Text as bytes: the vocabulary of the miniature models of rwkv.cpp.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline constexpr std::array<char, 256> all_bytes = [] {
  std::array<char, 256> bytes{};
  for (int i = 0; i < 256; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>(static_cast<unsigned char>(i));
  return bytes;
}();

}  // namespace detail

/// 256 tokens; the id of a token is its byte.
class ByteTokenizer {
public:
  static constexpr std::string_view kind = "bytes";

  [[nodiscard]] std::vector<Token> encode(std::string_view text) const {
    std::vector<Token> tokens;
    tokens.reserve(text.size());
    for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
    return tokens;
  }

  /// One byte; none for ids outside 0 .. 255.
  [[nodiscard]] std::string_view bytes(Token token) const noexcept {
    if (token < 0 || token >= n_vocab()) return {};
    return {&detail::all_bytes[static_cast<std::size_t>(token)], 1};
  }

  [[nodiscard]] Index n_vocab() const noexcept { return 256; }

  [[nodiscard]] std::optional<Token> end_of_text() const noexcept { return std::nullopt; }
};

RWKV_NAMESPACE_END
