// SPDX-License-Identifier: MIT
// JSON Schema as a grammar.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/json_value.hpp"
#include "rwkv/grammar/grammar_builder.hpp"
#include "rwkv/grammar/json_grammar.hpp"
#include "rwkv/grammar/json_schema_merge.hpp"
#include "rwkv/grammar/number_grammar.hpp"
#include "rwkv/grammar/pattern_grammar.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// JSON Schema (2020-12, and what older drafts call the same). All that is written is valid; not all that is valid is
/// written:
///
///   type, const, enum        enum and const beside nothing but type; their values are written as in the schema
///   properties, required     in the order of the schema, those that are not required or not
///   additionalProperties     behind them, under other names; where it is not given and properties is, there are none
///   items, prefixItems, minItems, maxItems    where items is not given and prefixItems is, there are no others
///   minLength, maxLength     in characters
///   pattern                  as PatternGrammar; not beside minLength, maxLength or format
///   format                   date (years from 1000), time, date-time, uuid, ipv4
///   minimum, maximum, exclusiveMinimum, exclusiveMaximum    exact, as NumberGrammar
///   anyOf, oneOf, allOf      oneOf if no value can fit two of them, as MergedSchemas::are_disjoint finds out; what
///                            stands beside them, and what allOf joins, as far as MergedSchemas can say it in one
///   $ref                     within the schema: "#", "#/$defs/name"; may be recursive
///   true, false              any value, none
///
/// Without type the value is of the types that its keywords speak of, or if there are none, of any. Ignored are title,
/// description, default, examples, deprecated, readOnly, writeOnly, $schema, $id, $anchor, $comment. Every other
/// keyword is an UnsupportedError with its JSON pointer. White space and digits are those of JsonGrammar.
class JsonSchemaReader {
public:
  static constexpr std::size_t max_bytes = 1 << 20;  // of the text
  static constexpr int max_depth = 200;              // of schemas in schemas

  JsonSchemaReader(std::string_view text, const std::string& path) : builder_(path), json_(builder_), schemas_(path) {
    if (text.size() > max_bytes)
      throw UnsupportedError({.path = path, .problem = "the schema is larger than a megabyte"});
    JsonReader reader(path, "JSON Schema", text);
    document_ = read_json_value(reader);
    reader.end();
    schemas_.set_document(document_);
  }
  JsonSchemaReader(const JsonSchemaReader&) = delete;
  JsonSchemaReader& operator=(const JsonSchemaReader&) = delete;

  /// Throws FormatError for what is no schema, and as GrammarBuilder::build; UnsupportedError for the rest.
  [[nodiscard]] RuleNetwork read() {
    const GrammarBuilder::Rule root = rule_of("#");
    while (!wanted_.empty()) {  // by and by: schemas may refer to each other in long chains
      const auto [pointer, rule] = wanted_.front();
      wanted_.pop_front();
      builder_.define(rule, value(schemas_.resolve(pointer), pointer));
    }
    return builder_.build(root);
  }

private:
  using Part = GrammarBuilder::Part;
  using Kind = JsonValue::Kind;

  /// The rule of a schema that is referred to.
  [[nodiscard]] GrammarBuilder::Rule rule_of(const std::string& pointer) {
    const auto [entry, is_new] = rules_.try_emplace(pointer, 0);
    if (is_new) {
      entry->second = builder_.declare(pointer);
      wanted_.emplace_back(pointer, entry->second);
    }
    return entry->second;
  }

  [[nodiscard]] Part value(const JsonValue& schema, const std::string& pointer) {
    if (++depth_ > max_depth) schemas_.refuse(pointer, "is nested too deeply, or joins itself");
    const Part part = checked_value(schema, pointer);
    --depth_;
    return part;
  }

  [[nodiscard]] Part checked_value(const JsonValue& schema, const std::string& pointer) {
    schemas_.check(schema, pointer);
    if (schema.kind == Kind::truth_value) return schema.text == "true" ? json_.any() : builder_.never();
    if (const JsonValue* const to = schema.find("$ref"); to != nullptr && schemas_.has_only(schema, {"$ref"})) {
      return builder_.call(rule_of(schemas_.target(*to, pointer)));
    }
    if (const std::vector<JsonValue> ways = schemas_.alternatives(schema, pointer); !ways.empty()) {
      const bool is_list = schema.find("anyOf") != nullptr || schema.find("oneOf") != nullptr;
      std::vector<Part> parts;
      for (std::size_t i = 0; i < ways.size(); ++i) {
        const std::string keyword = schema.find("anyOf") != nullptr ? "/anyOf/" : "/oneOf/";
        parts.push_back(value(ways[i], pointer + (is_list ? keyword + std::to_string(i) : std::string())));
      }
      return builder_.choice(parts);
    }
    if (schema.find("const") != nullptr || schema.find("enum") != nullptr) return constants(schema, pointer);
    std::vector<Part> parts;
    const std::vector<std::string> types = schemas_.types(schema);
    if (types.size() == schemas_.all_types().size() && schemas_.has_only(schema, {"type"})) return json_.any();
    for (const std::string& type : types) parts.push_back(of_type(schema, pointer, type));
    return builder_.choice(parts);
  }

  [[nodiscard]] Part of_type(const JsonValue& schema, const std::string& pointer, const std::string& type) {
    if (type == "object") return object(schema, pointer);
    if (type == "array") return list(schema, pointer);
    if (type == "string") return string(schema, pointer);
    if (type == "number" || type == "integer") return number(schema, pointer, type == "integer");
    if (type == "boolean") return builder_.choice({builder_.text("true"), builder_.text("false")});
    return builder_.text("null");
  }

  [[nodiscard]] Part constants(const JsonValue& schema, const std::string& pointer) {
    if (!schemas_.has_only(schema, {"const", "enum", "type"})) {
      schemas_.refuse(pointer, "has enum or const beside other keywords than type");
    }
    std::vector<Part> parts;
    for (const JsonValue* const value : schemas_.constants(schema)) parts.push_back(json_.constant(*value));
    return builder_.choice(parts);
  }

  [[nodiscard]] Part number(const JsonValue& schema, const std::string& pointer, bool is_whole) {
    const auto least = bound(schema, pointer, "minimum", "exclusiveMinimum", /*larger_is_tighter=*/1);
    const auto most = bound(schema, pointer, "maximum", "exclusiveMaximum", /*larger_is_tighter=*/-1);
    if (!least && !most) return is_whole ? json_.integer() : json_.number();
    for (const auto& each : {least, most}) {
      if (is_whole || !each || !each->is_exclusive || each->value.n_significant() <= NumberGrammar::n_digits) continue;
      schemas_.refuse(pointer, "excludes a bound of more than 15 digits: doubles cannot tell what lies beside it");
    }
    return NumberGrammar(builder_, is_whole).between(least, most);
  }

  /// The tighter one of two keywords.
  [[nodiscard]] NumberGrammar::Bound bound(const JsonValue& schema, const std::string& pointer,
                                           const std::string& inclusive, const std::string& exclusive,
                                           int larger_is_tighter) {
    const auto in = schemas_.number(schema, inclusive, pointer), ex = schemas_.number(schema, exclusive, pointer);
    if (!in && !ex) return {};
    const bool takes_exclusive = !in || (ex && Decimal::compare(*ex, *in) * larger_is_tighter >= 0);
    return NumberBound{takes_exclusive ? *ex : *in, takes_exclusive};
  }

  [[nodiscard]] Part string(const JsonValue& schema, const std::string& pointer) {
    const JsonValue *const pattern = schema.find("pattern"), *const format = schema.find("format");
    const bool has_length = schema.find("minLength") != nullptr || schema.find("maxLength") != nullptr;
    if ((pattern != nullptr ? 1 : 0) + (format != nullptr ? 1 : 0) + (has_length ? 1 : 0) > 1) {
      schemas_.refuse(pointer, "has more than one of pattern, format and lengths");
    }
    if (pattern != nullptr) {
      schemas_.expect(*pattern, Kind::string, pointer + "/pattern");
      return json_.quoted(PatternGrammar(builder_, json_, pattern->text, pointer + "/pattern").read());
    }
    if (format != nullptr) {
      schemas_.expect(*format, Kind::string, pointer + "/format");
      const std::string regular = pattern_of(format->text);
      if (regular.empty()) schemas_.refuse(pointer + "/format", "is " + in_quotes(format->text));
      return json_.quoted(PatternGrammar(builder_, json_, regular, pointer + "/format").read());
    }
    const std::uint64_t least = schemas_.count(schema, "minLength", pointer).value_or(0);
    const auto most = schemas_.count(schema, "maxLength", pointer);
    return most && *most < least ? builder_.never() : json_.string(least, most);
  }

  /// RFC 3339, section 5.6; RFC 9562, section 4; RFC 2673, section 3.2. Empty for what is not there.
  static std::string pattern_of(std::string_view format) {
    const std::string day = "(0[1-9]|[12]\\d|3[01])";
    const std::string days = "((0[13578]|1[02])-" + day + "|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))";
    const std::string fours = "([2468][048]|[13579][26])";  // multiples of four without those below ten
    const std::string leap = "([1-9]\\d(0[48]|" + fours + ")|" + fours + "00)-02-29";
    const std::string date = "([1-9]\\d{3}-" + days + "|" + leap + ")";
    const std::string hour = "([01]\\d|2[0-3]):[0-5]\\d";
    const std::string time = hour + ":[0-5]\\d(\\.\\d{1,6})?(Z|[+-]" + hour + ")";
    const std::string octet = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)", hex = "[0-9a-fA-F]";
    if (format == "date") return "^" + date + "$";
    if (format == "time") return "^" + time + "$";
    if (format == "date-time") return "^" + date + "T" + time + "$";
    if (format == "uuid") return "^" + hex + "{8}(-" + hex + "{4}){3}-" + hex + "{12}$";
    if (format == "ipv4") return "^(" + octet + "\\.){3}" + octet + "$";
    return {};
  }

  [[nodiscard]] Part list(const JsonValue& schema, const std::string& pointer) {
    const JsonValue *items = schema.find("items"), *prefix = schema.find("prefixItems");
    const std::uint64_t least = schemas_.count(schema, "minItems", pointer).value_or(0);
    auto most = schemas_.count(schema, "maxItems", pointer);
    const std::uint64_t n_prefix = prefix == nullptr ? 0 : prefix->values.size();
    const bool is_closed = items == nullptr ? prefix != nullptr && least <= n_prefix : items->text == "false";
    if (is_closed) most = std::min(most.value_or(n_prefix), n_prefix);
    if (most && *most < least) return builder_.never();
    const auto element = [&] {
      return builder_.make_rule(items == nullptr ? json_.any() : value(*items, pointer + "/items"));
    };
    if (n_prefix == 0) return most == 0 ? builder_.text("[]") : json_.list(element(), least, most);

    // From the last to the first: the rest of the list after each, which may be missing from the least number on.
    const std::uint64_t n_single = std::min(n_prefix, most.value_or(n_prefix));
    Part rest = builder_.empty();
    if (!most || *most > n_prefix) {
      const Part more = builder_.sequence({json_.comma(), builder_.call(element())});
      const auto beyond = [n_prefix](std::uint64_t n) { return n > n_prefix ? n - n_prefix : 0; };
      rest = builder_.repeat(more, beyond(least), most ? std::optional(beyond(*most)) : std::nullopt);
    }
    for (std::uint64_t i = n_single; i-- > 0;) {
      const Part one = value(prefix->values[i], pointer + "/prefixItems/" + std::to_string(i));
      rest = builder_.sequence({i > 0 ? json_.comma() : builder_.empty(), one, rest});
      if (i >= least) rest = builder_.optional(rest);
    }
    return builder_.sequence({builder_.text("["), rest, builder_.text("]")});
  }

  struct Member {
    GrammarBuilder::Rule rule;  // name, colon, value
    bool is_required;
  };

  [[nodiscard]] Part object(const JsonValue& schema, const std::string& pointer) {
    const JsonValue *const properties = schema.find("properties"), *const required = schema.find("required");
    const JsonValue* const others = schema.find("additionalProperties");
    const auto is_required = [required](std::string_view name) {
      return required != nullptr &&
             std::ranges::any_of(required->values, [&](const JsonValue& each) { return each.text == name; });
    };
    const auto other = [&] {
      return others == nullptr ? json_.any() : value(*others, pointer + "/additionalProperties");
    };
    std::vector<Member> members;
    std::vector<std::string> names;
    const auto add = [&](const std::string& name, Part one, bool must_be) {
      names.push_back(name);
      const Part all = builder_.sequence({builder_.text(json_string(name)), json_.colon(), one});
      members.push_back({builder_.make_rule(all), must_be});
    };
    for (std::size_t i = 0; properties != nullptr && i < properties->names.size(); ++i) {
      const std::string& name = properties->names[i];
      add(name, value(properties->values[i], pointer + "/properties/" + MergedSchemas::escaped(name)),
          is_required(name));
    }
    for (std::size_t i = 0; required != nullptr && i < required->values.size(); ++i) {
      const std::string& name = required->values[i].text;
      if (std::ranges::find(names, name) == names.end()) add(name, other(), true);
    }
    std::optional<GrammarBuilder::Rule> more;  // of names that are not in the schema
    if (others == nullptr ? properties == nullptr : others->text != "false") {
      more = builder_.make_rule(builder_.sequence({json_.string_other_than(names), json_.colon(), other()}));
    }
    return builder_.sequence({builder_.text("{"), in_order(members, more), builder_.text("}")});
  }

  /// Members from the last to the first: what may follow behind one that is there, and what if there is none yet.
  [[nodiscard]] Part in_order(const std::vector<Member>& members, std::optional<GrammarBuilder::Rule> more) {
    const auto none_if_missing = [&](auto make) { return more ? make(*more) : builder_.empty(); };
    GrammarBuilder::Rule behind = builder_.make_rule(none_if_missing([&](GrammarBuilder::Rule one) {
      return builder_.repeat(builder_.sequence({json_.comma(), builder_.call(one)}), 0, {});
    }));
    GrammarBuilder::Rule first = builder_.make_rule(none_if_missing([&](GrammarBuilder::Rule one) {
      return builder_.optional(builder_.sequence({builder_.call(one), builder_.call(behind)}));
    }));
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
      const auto one = [&] { return builder_.call(member->rule); };
      const Part as_first = builder_.sequence({one(), builder_.call(behind)});
      first = builder_.make_rule(member->is_required ? as_first : builder_.choice({as_first, builder_.call(first)}));
      const Part as_next = builder_.sequence({json_.comma(), one()});
      const Part next = member->is_required ? as_next : builder_.optional(as_next);
      behind = builder_.make_rule(builder_.sequence({next, builder_.call(behind)}));
    }
    return builder_.call(first);
  }

  GrammarBuilder builder_;
  JsonGrammar json_;
  MergedSchemas schemas_;
  JsonValue document_;
  int depth_ = 0;
  std::map<std::string, GrammarBuilder::Rule> rules_;  // by their pointers
  std::deque<std::pair<std::string, GrammarBuilder::Rule>> wanted_;
};

RWKV_NAMESPACE_END
