// SPDX-License-Identifier: MIT
// What JSON Schemas say together, before they become a grammar.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/json_value.hpp"
#include "rwkv/grammar/number_grammar.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Looks into schemas: which keywords there are, what they refer to, and what several of them say in one.
class MergedSchemas {
public:
  using Kind = JsonValue::Kind;

  static constexpr int max_steps = 4096;  // merging small schemas can make large ones
  static constexpr int max_depth = 50;    // of references while merging

  explicit MergedSchemas(std::string path) : path_(std::move(path)) {}

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

  /// Schemas one of which a value must fit, without $ref, anyOf, oneOf and allOf on the first level that a schema has;
  /// none if it has none of these. Throws UnsupportedError if oneOf has alternatives that may fit together.
  [[nodiscard]] std::vector<JsonValue> alternatives(const JsonValue& schema, const std::string& pointer);

  /// What fits both. Throws UnsupportedError if that cannot be said in one schema.
  [[nodiscard]] JsonValue merged(const JsonValue& a, const JsonValue& b, const std::string& pointer);

  /// Whether what is written for one of two schemas certainly never fits the other: their types differ, or their
  /// constants, or both must have a property of which the same is true, or each must have one that the other has not.
  [[nodiscard]] bool are_disjoint(const JsonValue& a, const JsonValue& b, const std::string& pointer) const;

private:
  [[nodiscard]] static bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) noexcept {
    return std::ranges::find(words, word) != words.end();
  }

  void check_keyword(const std::string& keyword, const JsonValue& value, const std::string& pointer) const;
  void check_type(const JsonValue& value, const std::string& pointer) const;
  [[nodiscard]] JsonValue merged_keyword(const std::string& keyword, const JsonValue& a, const JsonValue& b,
                                         const std::string& pointer);
  void check_closed(const JsonValue& a, const JsonValue& b, const std::string& pointer) const;
  [[nodiscard]] const JsonValue& followed(const JsonValue& schema, const std::string& pointer) const;
  [[nodiscard]] bool misses(const JsonValue& a, const JsonValue& b, const std::string& pointer) const;

  std::string path_;
  const JsonValue* document_ = nullptr;
  int n_steps_ = 0;
  mutable int depth_ = 0;
};

inline const JsonValue& MergedSchemas::resolve(const std::string& pointer) const {
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

inline void MergedSchemas::check_keyword(const std::string& keyword, const JsonValue& value,
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

inline void MergedSchemas::check_type(const JsonValue& value, const std::string& pointer) const {
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

inline std::vector<std::string> MergedSchemas::types(const JsonValue& schema) {
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

inline std::vector<const JsonValue*> MergedSchemas::constants(const JsonValue& schema) {
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

inline std::optional<Decimal> MergedSchemas::number(const JsonValue& schema, const std::string& keyword,
                                                    const std::string& pointer) const {
  const JsonValue* const value = schema.find(keyword);
  if (value == nullptr) return {};
  const std::string here = pointer + "/" + keyword;
  expect(*value, Kind::number, here);
  const auto number = Decimal::from_json(value->text);
  if (!number) refuse(here, "has more than " + std::to_string(Decimal::max_digits) + " digits");
  return number;
}

inline std::optional<std::uint64_t> MergedSchemas::count(const JsonValue& schema, const std::string& keyword,
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

inline std::vector<JsonValue> MergedSchemas::alternatives(const JsonValue& schema, const std::string& pointer) {
  JsonValue rest = schema;
  for (const char* const keyword : {"$ref", "allOf"}) rest.remove(keyword);
  const bool is_joined = rest.names.size() < schema.names.size();
  if (const JsonValue* const to = schema.find("$ref")) rest = merged(rest, resolve(target(*to, pointer)), pointer);
  if (const JsonValue* const all = schema.find("allOf")) {
    for (const JsonValue& each : all->values) rest = merged(rest, each, pointer);
  }
  if (is_joined) return {rest};
  for (const char* const keyword : {"anyOf", "oneOf"}) {
    const JsonValue* const list = schema.find(keyword);
    if (list == nullptr) continue;
    rest.remove(keyword);
    std::vector<JsonValue> ways;
    const bool is_plain = has_only(rest, {});
    for (const JsonValue& each : list->values) ways.push_back(is_plain ? each : merged(rest, each, pointer));
    for (std::size_t i = 0; keyword == std::string_view("oneOf") && i < ways.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (are_disjoint(ways[i], ways[j], pointer)) continue;
        refuse(pointer + "/oneOf", std::to_string(j) + " and " + std::to_string(i) + " may both fit a value",
               "Where either may, say anyOf.");
      }
    }
    return ways;
  }
  return {};
}

inline JsonValue MergedSchemas::merged(const JsonValue& a, const JsonValue& b, const std::string& pointer) {
  if (++n_steps_ > max_steps || ++depth_ > max_depth) refuse(pointer, "joins too many schemas, or itself");
  check(a, pointer);
  check(b, pointer);
  JsonValue result = a;
  const auto is_word = [](const JsonValue& schema, const char* word) { return schema.text == word; };
  if (is_word(b, "false") || is_word(a, "true") || has_only(a, {})) {
    result = is_word(a, "false") ? a : b;
  } else if (!is_word(a, "false") && !is_word(b, "true")) {
    check_closed(a, b, pointer);
    for (std::size_t i = 0; i < b.names.size(); ++i) {
      const std::string& keyword = b.names[i];
      if (is_annotation(keyword)) continue;
      const JsonValue* const mine = result.find(keyword);
      if (mine != nullptr && *mine == b.values[i]) continue;
      result.set(keyword, mine == nullptr ? b.values[i] : merged_keyword(keyword, *mine, b.values[i], pointer));
    }
  }
  --depth_;
  return result;
}

inline void MergedSchemas::check_closed(const JsonValue& a, const JsonValue& b, const std::string& pointer) const {
  for (const auto& [one, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    const JsonValue* const rest = one->find("additionalProperties");
    const JsonValue *const known = one->find("properties"), *const more = other->find("properties");
    for (std::size_t i = 0; rest != nullptr && rest->text != "true" && more != nullptr && i < more->names.size(); ++i) {
      if (known != nullptr && known->find(more->names[i]) != nullptr) continue;
      refuse(pointer, "joins additionalProperties with a property that it speaks of, " + in_quotes(more->names[i]));
    }
    const bool has_prefix = one->find("prefixItems") != nullptr && other->find("items") != nullptr;
    if (has_prefix) refuse(pointer, "joins prefixItems with items");
  }
}

inline JsonValue MergedSchemas::merged_keyword(const std::string& keyword, const JsonValue& a, const JsonValue& b,
                                               const std::string& pointer) {
  JsonValue result = a;
  if (keyword == "properties") {
    for (std::size_t i = 0; i < b.names.size(); ++i) {
      const JsonValue* const mine = a.find(b.names[i]);
      result.set(b.names[i], mine == nullptr ? b.values[i] : merged(*mine, b.values[i], pointer));
    }
  } else if (keyword == "required") {
    for (const JsonValue& name : b.values) {
      if (std::ranges::find(a.values, name) == a.values.end()) result.values.push_back(name);
    }
  } else if (keyword == "enum") {
    std::erase_if(result.values,
                  [&](const JsonValue& value) { return std::ranges::find(b.values, value) == b.values.end(); });
  } else if (keyword == "type") {
    const JsonValue schemas[] = {{Kind::object, {}, {"type"}, {a}}, {Kind::object, {}, {"type"}, {b}}};
    const std::vector<std::string> mine = types(schemas[0]), others = types(schemas[1]);
    const auto has = [](const std::vector<std::string>& all, const std::string& type) {
      return std::ranges::find(all, type) != all.end() ||
             (type == "integer" && std::ranges::find(all, "number") != all.end());
    };
    result = {Kind::list, {}, {}, {}};
    for (const auto& [one, other] : {std::pair(&mine, &others), std::pair(&others, &mine)}) {
      for (const std::string& type : *one) {
        if (has(*other, type)) result.values.push_back({Kind::string, type, {}, {}});
      }
    }
  } else if (keyword.starts_with("min") || keyword.starts_with("max") || keyword.starts_with("exclusive")) {
    const JsonValue schemas[] = {{Kind::object, {}, {keyword}, {a}}, {Kind::object, {}, {keyword}, {b}}};
    const auto mine = number(schemas[0], keyword, pointer), other = number(schemas[1], keyword, pointer);
    const bool is_least = keyword.find("in") != std::string::npos;  // minimum, exclusiveMinimum, minLength, minItems
    if ((Decimal::compare(*mine, *other) < 0) == is_least) result = b;
  } else {
    refuse(pointer, "joins two that differ: " + keyword);
  }
  return result;
}

inline const JsonValue& MergedSchemas::followed(const JsonValue& schema, const std::string& pointer) const {
  const JsonValue* here = &schema;
  for (int i = 0; i < max_depth; ++i) {
    const JsonValue* const to = here->find("$ref");
    if (to == nullptr || !has_only(*here, {"$ref"})) break;
    here = &resolve(target(*to, pointer));
  }
  return *here;
}

inline bool MergedSchemas::are_disjoint(const JsonValue& first, const JsonValue& second,
                                        const std::string& pointer) const {
  const JsonValue &a = followed(first, pointer), &b = followed(second, pointer);
  if (a.text == "false" || b.text == "false") return true;
  const bool is_constant = (a.find("const") != nullptr || a.find("enum") != nullptr) &&
                           (b.find("const") != nullptr || b.find("enum") != nullptr);
  if (is_constant) {
    const auto may_equal = [](const JsonValue* x, const JsonValue* y) {
      return x->kind == y->kind && (x->text == y->text || x->kind == Kind::number);
    };
    const auto others = constants(b);
    return std::ranges::none_of(constants(a), [&](const JsonValue* x) {
      return std::ranges::any_of(others, [&](const JsonValue* y) { return may_equal(x, y); });
    });
  }
  // A type that is not given is any: what is written is of the types that keywords speak of, but others fit, too.
  const auto types_that_fit = [](const JsonValue& schema) {
    return schema.find("type") != nullptr ? types(schema) : all_types();
  };
  const std::vector<std::string> mine = types_that_fit(a), others = types_that_fit(b);
  const auto has = [](const std::vector<std::string>& all, const char* type) {
    return std::ranges::find(all, type) != all.end();
  };
  const auto has_number = [&](const auto& all) { return has(all, "number") || has(all, "integer"); };
  bool share = has_number(mine) && has_number(others);
  for (const char* const type : {"array", "string", "boolean", "null"})
    share = share || (has(mine, type) && has(others, type));
  if (share) return false;
  return !(has(mine, "object") && has(others, "object")) || (misses(a, b, pointer) && misses(b, a, pointer));
}

inline bool MergedSchemas::misses(const JsonValue& a, const JsonValue& b, const std::string& pointer) const {
  const auto names = [](const JsonValue& schema) {
    const JsonValue* const required = schema.find("required");
    return required == nullptr ? std::vector<JsonValue>() : required->values;
  };
  const auto property = [](const JsonValue& schema, const std::string& name) {
    const JsonValue* const properties = schema.find("properties");
    return properties == nullptr ? nullptr : properties->find(name);
  };
  const std::vector<JsonValue> must_a = names(a), must_b = names(b);
  const JsonValue *const others_a = a.find("additionalProperties"), *const others_b = b.find("additionalProperties");
  const bool a_is_closed = others_a == nullptr ? a.find("properties") != nullptr : others_a->text == "false";
  const auto must_have = [](const std::vector<JsonValue>& all, const JsonValue& name) {
    return std::ranges::find(all, name) != all.end();
  };
  for (const JsonValue& name : must_b) {
    const JsonValue *const mine = property(a, name.text), *const other = property(b, name.text);
    if (mine == nullptr && a_is_closed && !must_have(must_a, name)) return true;
    if (mine == nullptr || other == nullptr || !must_have(must_a, name)) continue;
    if (depth_ >= max_depth) return false;
    ++depth_;
    const bool differ = are_disjoint(*mine, *other, pointer);
    --depth_;
    if (differ) return true;
  }
  return others_b != nullptr && others_b->text == "false" &&
         std::ranges::any_of(must_a, [&](const JsonValue& name) { return property(b, name.text) == nullptr; });
}

RWKV_NAMESPACE_END
