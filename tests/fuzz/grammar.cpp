// SPDX-License-Identifier: MIT
// GBNF grammars and JSON Schemas: the shortest text that fits one is allowed byte by byte, and is the end. Only short
// ones: time grows with the square of what ambiguous repetitions count.
#include "rwkv/grammar/grammar.hpp"

#include "fuzz.hpp"
#include "rwkv/text/constraint.hpp"

namespace {

void check(const rwkv::Grammar& grammar) {
  static const rwkv::Tokenizer bytes{rwkv::ByteTokenizer()};
  rwkv::Constraint constraint(grammar, bytes);
  constexpr std::uint64_t most = 300;  // bytes
  rwkv::ByteAutomaton automaton(grammar.network());
  if (automaton.n_least(automaton.start()) > most) return;
  const std::string end = constraint.shortest_end();
  for (const char byte : end) {
    const rwkv::Token token = static_cast<unsigned char>(byte);
    rwkv_fuzz::require(constraint.allows(token));
    constraint.accept(token);
  }
  rwkv_fuzz::require(constraint.may_end());
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = rwkv_fuzz::text_of(data, size);
  rwkv_fuzz::only_errors([&] { check(rwkv::Grammar::from_json_schema(text)); });
  return rwkv_fuzz::only_errors([&] { check(rwkv::Grammar::from_gbnf(text)); });
}
