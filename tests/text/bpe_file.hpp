// SPDX-License-Identifier: MIT
// A small tokenizer.json.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

#include "rwkv/text/byte_alphabet.hpp"

namespace rwkv_test {

/// The character that stands for a byte in such files.
inline std::string byte_letter(std::size_t byte) {
  std::string letter;
  static_cast<void>(rwkv::append_utf8(rwkv::byte_alphabet[byte], letter));
  return letter;
}

inline nlohmann::ordered_json added_token(int id, const std::string& content, bool is_special, bool is_normalized) {
  return {{"id", id},        {"content", content},          {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", is_normalized}, {"special", is_special}};
}

/// Every byte is the token of its number; 256 "he", 257 "ll", 258 "hell", 259 "hello", 260 " hello", 261 "ç" and its
/// half, the byte 0xc3, with a space before it, 262; 263 is special, "<|endoftext|>", and 264 two spaces.
inline nlohmann::ordered_json small_bpe() {
  nlohmann::ordered_json vocab;
  for (std::size_t byte = 0; byte < 256; ++byte) vocab[byte_letter(byte)] = byte;
  int id = 256;
  for (const char* text : {"he", "ll", "hell", "hello", "Ġhello", "Ã§", "ĠÃ"}) vocab[text] = id++;
  const nlohmann::ordered_json bytes{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", {added_token(263, "<|endoftext|>", true, false), added_token(264, "  ", false, true)}},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", bytes},
          {"post_processor", bytes},
          {"decoder", bytes},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"vocab", vocab},
            {"merges", {"h e", "l l", "he ll", "hell o", "Ġ hello", "Ã §", "Ġ Ã"}}}}};
}

}  // namespace rwkv_test
