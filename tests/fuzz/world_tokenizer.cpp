// SPDX-License-Identifier: MIT
// Vocabularies in the World format, and their first text: every text is what its tokens spell.
#include "rwkv/text/world_tokenizer.hpp"

#include "fuzz.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "rwkv/text/tokenizer.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = rwkv_fuzz::text_of(data, size), sample = text.substr(0, 2000);
  rwkv_fuzz::only_errors([&] { static_cast<void>(rwkv::detail::vocabulary_tokens(text, 300)); });
  return rwkv_fuzz::only_errors([&] {
    const rwkv::Tokenizer tokenizer(rwkv::WorldTokenizer::from_text(text, "input"));
    rwkv_fuzz::require(tokenizer.decode(tokenizer.encode(sample)) == sample);
  });
}
