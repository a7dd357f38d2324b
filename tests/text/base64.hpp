// SPDX-License-Identifier: MIT
// How the goldens of tokenizers hold bytes.
#pragma once

#include <string>

namespace rwkv_test {

inline std::string from_base64(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::size_t bits = 0, n_bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = (bits << 6) | digits.find(c);
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    bytes += static_cast<char>(static_cast<unsigned char>(bits >> n_bits));
    bits &= (std::size_t{1} << n_bits) - 1;
  }
  return bytes;
}

}  // namespace rwkv_test
