// SPDX-License-Identifier: MIT
// What a generated text must look like: a grammar, or JSON that fits a schema.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "rwkv/core/linkage.hpp"
#include "rwkv/grammar/rule_network.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A set of texts. Immutable and cheap to copy; share it between threads. A Constraint makes a Generator keep to it.
class Grammar {
public:
  /// A grammar in the notation of llama.cpp, which GbnfReader describes. `path` is what messages call it.
  /// Throws FormatError with line and column: for what is no GBNF, rules that are missing or twice there, left
  /// recursion, and a grammar that no text fits; UnsupportedError if it is too large.
  [[nodiscard]] static Grammar from_gbnf(std::string_view text, const std::string& path = "grammar");

  /// JSON that fits a JSON Schema; JsonSchemaReader tells which keywords there are and what is written.
  /// Throws FormatError for what is no JSON or no schema, UnsupportedError for a keyword that is not there, both with
  /// its JSON pointer.
  [[nodiscard]] static Grammar from_json_schema(std::string_view text, const std::string& path = "schema");

  /// Any JSON value, written as those of from_json_schema.
  [[nodiscard]] static Grammar json();

  /// Whether a whole text fits.
  [[nodiscard]] bool accepts(std::string_view text) const;

  [[nodiscard]] const std::shared_ptr<const RuleNetwork>& network() const noexcept { return network_; }

private:
  explicit Grammar(RuleNetwork network);

  std::shared_ptr<const RuleNetwork> network_;
};

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <utility>

#include "rwkv/grammar/byte_automaton.hpp"
#include "rwkv/grammar/gbnf.hpp"
#include "rwkv/grammar/json_schema.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API Grammar::Grammar(RuleNetwork network) : network_(std::make_shared<const RuleNetwork>(std::move(network))) {}

RWKV_API Grammar Grammar::from_gbnf(std::string_view text, const std::string& path) {
  return Grammar(GbnfReader(text, path).read());
}

RWKV_API Grammar Grammar::from_json_schema(std::string_view text, const std::string& path) {
  return Grammar(JsonSchemaReader(text, path).read());
}

RWKV_API Grammar Grammar::json() { return from_json_schema("true", "JSON"); }

RWKV_API bool Grammar::accepts(std::string_view text) const {
  ByteAutomaton automaton(network_);
  return automaton.may_end(automaton.next(automaton.start(), text));
}

RWKV_NAMESPACE_END
#endif
