// SPDX-License-Identifier: MIT
// A JSON Schema: its keywords, and what they may say.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/json_value.hpp"
#include "rwkv/grammar/number_grammar.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Looks into the schemas of a document: which keywords there are, and what they refer to.
class JsonSchemaDocument {
public:
  using Kind = JsonValue::Kind;

  explicit JsonSchemaDocument(std::string path) : path_(std::move(path)) {}

  /// References lead into this document, which must outlive the object.
  void set_document(const JsonValue& document) { document_ = &document; }

  /// A name as it stands in a JSON pointer (RFC 6901).
  [[nodiscard]] static std::string escaped(std::string_view name) {
    std::string text;
    for (const char c : name) text += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    return text;
  }

  [[noreturn]] void refuse(const std::string& pointer, const std::string& problem, std::string_view hint = {}) const {
    throw UnsupportedError({.path = path_, .item = in_quotes(pointer), .problem = problem, .hint = hint});
  }

  /// Throws FormatError if a value is of another kind.
  void expect(const JsonValue& value, Kind kind, const std::string& pointer) const {
    constexpr const char* names[] = {"an object", "a list", "a string", "a number", "true or false", "null"};
    if (value.kind == kind) return;
    throw FormatError(
        {path_, in_quotes(pointer), {}, names[static_cast<int>(kind)], names[static_cast<int>(value.kind)]});
  }

  /// Throws for what is no schema, and for keywords that are not supported.
  void check(const JsonValue& schema, const std::string& pointer) const {
    if (schema.kind == Kind::truth_value) return;
    expect(schema, Kind::object, pointer);
    for (std::size_t i = 0; i < schema.names.size(); ++i) {
      check_keyword(schema.names[i], schema.values[i], pointer + "/" + escaped(schema.names[i]));
    }
  }

  [[nodiscard]] static bool is_annotation(std::string_view keyword) noexcept {
    return is_one_of(keyword, {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
                               "$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "uniqueItems"});
  }

  /// Whether a schema has no other keywords but annotations.
  [[nodiscard]] static bool has_only(const JsonValue& schema, std::initializer_list<std::string_view> keywords) {
    return std::ranges::all_of(
        schema.names, [&](const std::string& name) { return is_annotation(name) || is_one_of(name, keywords); });
  }

  /// The pointer that a $ref names.
  [[nodiscard]] std::string target(const JsonValue& reference, const std::string& pointer) const {
    expect(reference, Kind::string, pointer + "/$ref");
    std::string text;
    for (std::size_t i = 0; i < reference.text.size(); ++i) {  // a pointer in a URI may have %HH
      unsigned value = 0;
      const char* const begin = reference.text.data() + i + 1;
      const bool is_code = reference.text[i] == '%' && i + 2 < reference.text.size() &&
                           std::from_chars(begin, begin + 2, value, 16).ptr == begin + 2;
      text += is_code ? static_cast<char>(static_cast<unsigned char>(value)) : reference.text[i];
      i += is_code ? 2 : 0;
    }
    if (text != "#" && !text.starts_with("#/")) {
      refuse(pointer + "/$ref", "is " + in_quotes(text), "Only \"#\" and \"#/...\" are supported.");
    }
    return text;
  }

  /// The schema at a pointer. Throws FormatError if there is none.
  [[nodiscard]] const JsonValue& resolve(const std::string& pointer) const;

  /// The types that a value of a schema may have, by its type or its keywords; integer is not among them if number is.
  [[nodiscard]] static std::vector<std::string> types(const JsonValue& schema);

  [[nodiscard]] static const std::vector<std::string>& all_types() {
    static const std::vector<std::string> types{"object", "array", "string", "number", "boolean", "null"};
    return types;
  }

  /// The values of const and enum that are of the schema's types.
  [[nodiscard]] static std::vector<const JsonValue*> constants(const JsonValue& schema);

  /// The value of a keyword, if it is there. Throws FormatError, UnsupportedError for too many digits.
  [[nodiscard]] std::optional<Decimal> number(const JsonValue& schema, const std::string& keyword,
                                              const std::string& pointer) const;
  [[nodiscard]] std::optional<std::uint64_t> count(const JsonValue& schema, const std::string& keyword,
                                                   const std::string& pointer) const;

private:
  [[nodiscard]] static bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) noexcept {
    return std::ranges::find(words, word) != words.end();
  }

  void check_keyword(const std::string& keyword, const JsonValue& value, const std::string& pointer) const;
  void check_type(const JsonValue& value, const std::string& pointer) const;

  std::string path_;
  const JsonValue* document_ = nullptr;
};

inline const JsonValue& JsonSchemaDocument::resolve(const std::string& pointer) const {
  const JsonValue* here = document_;
  std::size_t begin = 1;
  while (here != nullptr && begin < pointer.size()) {
    const std::size_t end = std::min(pointer.find('/', begin + 1), pointer.size());
    std::string name;
    for (std::size_t i = begin + 1; i < end; ++i) {
      const bool is_escape = pointer[i] == '~' && i + 1 < end && (pointer[i + 1] == '0' || pointer[i + 1] == '1');
      name += !is_escape ? pointer[i] : pointer[++i] == '0' ? '~' : '/';
    }
    std::size_t index = 0;
    const auto [last, error] = std::from_chars(name.data(), name.data() + name.size(), index);
    const bool is_index = here->kind == Kind::list && error == std::errc{} && last == name.data() + name.size();
    here = is_index ? (index < here->values.size() ? &here->values[index] : nullptr) : here->find(name);
    begin = end;
  }
  if (here == nullptr) throw FormatError({path_, in_quotes(pointer), "is referred to and not there"});
  return *here;
}

inline void JsonSchemaDocument::check_keyword(const std::string& keyword, const JsonValue& value,
                                              const std::string& pointer) const {
  const auto is_known_as = [&](std::initializer_list<std::string_view> keywords, Kind kind) {
    const bool is_known = is_one_of(keyword, keywords);
    if (is_known) expect(value, kind, pointer);
    return is_known;
  };
  if (keyword == "uniqueItems" && value.text != "false") refuse(pointer, "is not supported");
  if (keyword == "type") return check_type(value, pointer);
  if (is_annotation(keyword) || is_one_of(keyword, {"const", "$ref"})) return;
  if (is_one_of(keyword, {"items", "additionalProperties"})) {
    if (value.kind == Kind::list) refuse(pointer, "is a list", "In this place it is called prefixItems.");
    return check(value.kind == Kind::truth_value ? value : JsonValue{value.kind, {}, {}, {}}, pointer);
  }
  if (is_known_as({"properties"}, Kind::object) || is_known_as({"enum"}, Kind::list)) return;
  if (is_known_as({"required"}, Kind::list)) {
    for (std::size_t i = 0; i < value.values.size(); ++i) {
      expect(value.values[i], Kind::string, pointer + "/" + std::to_string(i));
    }
  } else if (is_known_as({"prefixItems", "anyOf", "oneOf", "allOf"}, Kind::list)) {
    if (value.values.empty()) throw FormatError({path_, in_quotes(pointer), "is empty"});
  } else if (!is_known_as({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength",
                           "minItems", "maxItems"},
                          Kind::number) &&
             !is_known_as({"pattern", "format"}, Kind::string)) {
    refuse(pointer, "is not supported");
  }
}

inline void JsonSchemaDocument::check_type(const JsonValue& value, const std::string& pointer) const {
  if (value.kind == Kind::list) {
    for (const JsonValue& each : value.values) {
      expect(each, Kind::string, pointer);
      check_type(each, pointer);
    }
    return;
  }
  expect(value, Kind::string, pointer);
  const bool is_type = value.text == "integer" || std::ranges::find(all_types(), value.text) != all_types().end();
  if (!is_type) throw FormatError({path_, in_quotes(pointer), "is no type", {}, in_quotes(value.text)});
}

inline std::vector<std::string> JsonSchemaDocument::types(const JsonValue& schema) {
  std::vector<std::string> found;
  if (schema.kind != Kind::object) return all_types();
  if (const JsonValue* const type = schema.find("type")) {
    if (type->kind == Kind::string) found.push_back(type->text);
    for (const JsonValue& each : type->values) found.push_back(each.text);
    std::ranges::sort(found);
    found.erase(std::unique(found.begin(), found.end()), found.end());
    const bool has_number = std::ranges::find(found, "number") != found.end();
    if (has_number) std::erase(found, "integer");
    return found;
  }
  if (schema.find("const") != nullptr || schema.find("enum") != nullptr) return all_types();
  const auto has = [&schema](std::initializer_list<const char*> keywords) {
    return std::ranges::any_of(keywords, [&](const char* keyword) { return schema.find(keyword) != nullptr; });
  };
  if (has({"properties", "required", "additionalProperties"})) found.emplace_back("object");
  if (has({"items", "prefixItems", "minItems", "maxItems"})) found.emplace_back("array");
  if (has({"minLength", "maxLength", "pattern", "format"})) found.emplace_back("string");
  if (has({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})) found.emplace_back("number");
  return found.empty() ? all_types() : found;
}

inline std::vector<const JsonValue*> JsonSchemaDocument::constants(const JsonValue& schema) {
  const std::vector<std::string> allowed = types(schema);
  const auto has_type = [&](const JsonValue& value) {
    constexpr const char* names[] = {"object", "array", "string", "number", "boolean", "null"};
    const auto is_allowed = [&](const char* type) { return std::ranges::find(allowed, type) != allowed.end(); };
    if (is_allowed(names[static_cast<int>(value.kind)])) return true;
    const auto number = value.kind == Kind::number ? Decimal::from_json(value.text) : std::nullopt;
    return number && number->is_whole() && is_allowed("integer");
  };
  std::vector<const JsonValue*> values;
  const JsonValue *const list = schema.find("enum"), *const one = schema.find("const");
  for (std::size_t i = 0; list != nullptr && i < list->values.size(); ++i) {
    const JsonValue& value = list->values[i];
    if (has_type(value) && (one == nullptr || *one == value)) values.push_back(&value);
  }
  if (list == nullptr && one != nullptr && has_type(*one)) values.push_back(one);
  return values;
}

inline std::optional<Decimal> JsonSchemaDocument::number(const JsonValue& schema, const std::string& keyword,
                                                         const std::string& pointer) const {
  const JsonValue* const value = schema.find(keyword);
  if (value == nullptr) return {};
  const std::string here = pointer + "/" + keyword;
  expect(*value, Kind::number, here);
  const auto number = Decimal::from_json(value->text);
  if (!number) refuse(here, "has more than " + std::to_string(Decimal::max_digits) + " digits");
  return number;
}

inline std::optional<std::uint64_t> JsonSchemaDocument::count(const JsonValue& schema, const std::string& keyword,
                                                              const std::string& pointer) const {
  const auto value = number(schema, keyword, pointer);
  if (!value) return {};
  const std::string here = in_quotes(pointer + "/" + keyword);
  if (value->is_negative || !value->is_whole()) throw FormatError({path_, here, {}, "a whole number from 0 on"});
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(value->whole.data(), value->whole.data() + value->whole.size(), n);
  if (error != std::errc{}) refuse(pointer + "/" + keyword, "is too large");
  return n;
}

RWKV_NAMESPACE_END
