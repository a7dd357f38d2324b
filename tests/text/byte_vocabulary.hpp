// SPDX-License-Identifier: MIT
// The smallest World vocabulary.
#pragma once

#include <string>

namespace rwkv_test {

/// 256 lines: byte b is token b + 1, as in the original file. Tests append lines of their own.
inline std::string byte_vocabulary() {
  constexpr char hex[] = "0123456789abcdef";
  std::string text;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    text += std::to_string(byte + 1) + " b'\\x" + hex[byte / 16] + hex[byte % 16] + "' 1\n";
  }
  return text;
}

}  // namespace rwkv_test
