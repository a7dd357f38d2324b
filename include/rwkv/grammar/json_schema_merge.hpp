// SPDX-License-Identifier: MIT
// What JSON Schemas say together, before they become a grammar.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/json_value.hpp"
#include "rwkv/grammar/json_schema_document.hpp"
#include "rwkv/grammar/number_grammar.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Says in one schema what several say.
class MergedSchemas : public JsonSchemaDocument {
public:
  static constexpr int max_steps = 4096;  // merging small schemas can make large ones
  static constexpr int max_depth = 50;    // of references while merging

  using JsonSchemaDocument::JsonSchemaDocument;

  /// Schemas one of which a value must fit, without $ref, anyOf, oneOf and allOf on the first level that a schema has;
  /// none if it has none of these. Throws UnsupportedError if oneOf has alternatives that may fit together.
  [[nodiscard]] std::vector<JsonValue> alternatives(const JsonValue& schema, const std::string& pointer);

  /// What fits both. Throws UnsupportedError if that cannot be said in one schema.
  [[nodiscard]] JsonValue merged(const JsonValue& a, const JsonValue& b, const std::string& pointer);

  /// Whether what is written for one of two schemas certainly never fits the other: their types differ, or their
  /// constants, or both must have a property of which the same is true, or each must have one that the other has not.
  [[nodiscard]] bool are_disjoint(const JsonValue& a, const JsonValue& b, const std::string& pointer) const;

private:
  [[nodiscard]] JsonValue merged_keyword(const std::string& keyword, const JsonValue& a, const JsonValue& b,
                                         const std::string& pointer);
  void check_closed(const JsonValue& a, const JsonValue& b, const std::string& pointer) const;
  [[nodiscard]] const JsonValue& followed(const JsonValue& schema, const std::string& pointer) const;
  [[nodiscard]] bool misses(const JsonValue& a, const JsonValue& b, const std::string& pointer) const;

  int n_steps_ = 0;
  mutable int depth_ = 0;
};

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
