// SPDX-License-Identifier: MIT
// tokenizer.json of byte pair encoding, and its first text: tokens are those of the vocabulary.
#include "fuzz.hpp"
#include "rwkv/text/tokenizer.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = rwkv_fuzz::text_of(data, size);
  return rwkv_fuzz::only_errors([&] {
    const rwkv::Tokenizer tokenizer(rwkv::BpeTokenizer::from_text(text, "input"));
    const std::vector<rwkv::Token> tokens = tokenizer.encode(text.substr(0, 2000));
    for (const rwkv::Token token : tokens) rwkv_fuzz::require(token >= 0 && token < tokenizer.n_vocab());
    static_cast<void>(tokenizer.decode(tokens));
  });
}
