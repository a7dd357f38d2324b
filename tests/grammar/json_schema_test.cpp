// SPDX-License-Identifier: MIT
#include "rwkv/grammar/json_schema.hpp"

#include <nlohmann/json.hpp>

#include "rwkv/grammar/byte_automaton.hpp"
#include "rwkv/grammar/grammar.hpp"
#include "support/python.hpp"
#include "support/support.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

/// Checks which of two lists of texts are written for a schema.
void check(const std::string& schema, const std::vector<std::string>& fitting, const std::vector<std::string>& others) {
  CAPTURE(schema);
  const Grammar grammar = Grammar::from_json_schema(schema);
  for (const std::string& text : fitting) {
    CAPTURE(text);
    CHECK(grammar.accepts(text));
  }
  for (const std::string& text : others) {
    CAPTURE(text);
    CHECK_FALSE(grammar.accepts(text));
  }
}

template <class Error>
void check_refused(const std::string& schema, const std::string& phrase) {
  CAPTURE(schema);
  CHECK_THROWS_WITH_AS(static_cast<void>(Grammar::from_json_schema(schema, "s.json")),
                       doctest::Contains(phrase.c_str()), Error);
}

/// A text of a grammar: random bytes that fit, and after n_bytes the shortest end.
std::string sample(const Grammar& grammar, Random& random, std::size_t n_bytes) {
  ByteAutomaton machine(grammar.network());
  std::string text;
  auto state = machine.start();
  while (text.size() < n_bytes && !machine.must_end(state)) {
    if (machine.may_end(state) && random.next() % 8 == 0) return text;
    const auto byte =
        static_cast<unsigned char>(random.next() % 2 == 0 ? random.next() % 256 : 32 + random.next() % 96);
    const auto next = machine.next(state, byte);
    if (next == ByteAutomaton::dead) continue;
    text += static_cast<char>(byte);
    state = next;
  }
  return text + machine.shortest_end(state);
}

/// Schemas of all kinds.
const std::vector<std::string> schemas{
    R"(true)",
    R"({})",
    R"({"type": "object"})",
    R"({"type": ["integer", "null"], "minimum": 3})",
    R"({"type": "integer"})",
    R"({"type": "number"})",
    R"({"type": "integer", "minimum": -12, "maximum": 1234})",
    R"({"type": "integer", "exclusiveMinimum": 99.5, "exclusiveMaximum": 1e4})",
    R"({"type": "integer", "maximum": -7})",
    R"({"type": "number", "minimum": -1.25, "maximum": 17.5})",
    R"({"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.3})",
    R"({"type": "number", "exclusiveMinimum": -1e-3, "maximum": 2.5e2})",
    R"({"type": "number", "exclusiveMinimum": 4})",
    R"({"type": "number", "exclusiveMaximum": 0})",
    R"({"type": "string"})",
    R"({"type": "string", "minLength": 2, "maxLength": 5})",
    R"({"type": "string", "pattern": "^[a-z]{2,4}-\\d+$"})",
    R"({"type": "string", "pattern": "a\"\\\\b|^\\x01+"})",
    R"({"type": "string", "pattern": "[^a-z]\\s\\S"})",
    R"({"type": "string", "format": "date"})",
    R"({"type": "string", "format": "time"})",
    R"({"type": "string", "format": "date-time"})",
    R"({"type": "string", "format": "uuid"})",
    R"({"type": "string", "format": "ipv4"})",
    R"({"enum": ["a", 1, null, {"b": [1, 2.50]}, "\u00e4\n\""]})",
    R"({"const": {"x": [true, {}]}})",
    R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
    R"({"type": "array", "minItems": 2})",
    R"({"prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 1})",
    R"({"prefixItems": [{"type": "integer"}], "items": {"type": "null"}, "minItems": 3, "maxItems": 4})",
    R"({"properties": {"a": {"type": "integer"}, "b": {}, "c": {"type": "null"}}, "required": ["b"]})",
    R"({"properties": {"a": {"type": "integer"}}, "required": ["z", "a"]})",
    R"({"properties": {"ab": {"type": "null"}, "a\"": {"type": "null"}}, "additionalProperties": {"type": "integer"}})",
    R"({"additionalProperties": {"type": "boolean"}, "required": ["q"]})",
    R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 3}]})",
    R"({"type": "object", "required": ["t"], "oneOf": [
        {"properties": {"t": {"const": "a"}, "x": {"type": "integer"}}, "required": ["x"]},
        {"properties": {"t": {"const": "b"}, "y": {"type": "string"}}, "required": ["y"]}]})",
    R"({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                  {"properties": {"a": {"minimum": 3}, "b": {"type": "null"}}}], "description": "both"})",
    R"({"$defs": {"node": {"properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
        "required": ["value"]}}, "$ref": "#/$defs/node"})",
    R"({"definitions": {"a/b~%": {"type": "null"}}, "type": "array", "items": {"$ref": "#/definitions/a~1b~0%25"}})",
    R"({"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"const": 0}]})",
    R"({"$ref": "#/$defs/positive", "maximum": 20, "$defs": {"positive": {"type": "integer", "minimum": 1}}})"};

}  // namespace

TEST_SUITE_BEGIN("grammar/json_schema");

TEST_CASE("objects: the order of the schema, what is required, other names") {
  check(R"({"properties": {"a": {"type": "integer"}, "b": {"type": "null"}, "c": {"const": 1}}, "required": ["b"]})",
        {R"({"b":null})", R"({"a": 1, "b": null})", R"({"b":null,"c":1})", R"({"a":1,"b":null, "c":1})"},
        {"{}", R"({"a":1})", R"({"b":null,"a":1})", R"({"b":null,})", R"({,"b":null})", R"({"b":null,"d":1})",
         R"({"b" :null})", R"({ "b":null})", R"({"b":null,  "c":1})"});
  check(R"({"properties": {"a": {}, "b": {}}})", {"{}", R"({"a":[]})", R"({"b":""})", R"({"a":1,"b":2})"},
        {R"({"c":1})", "[]", "1"});
  check(R"({"properties": {"ab": {"type": "null"}}, "additionalProperties": {"type": "integer"}})",
        {"{}", R"({"ab":null})", R"({"ab":null,"a":1,"abc":2})", R"({"":1})", R"({"b\"":1,"a\n":2,"x\u0041":3})"},
        {R"({"ab":1})", R"({"a":1,"ab":null})", R"({"\u0061b":1})", R"({"a":null})"});
  check(R"({"properties": {"a": {}}, "additionalProperties": false})", {"{}"}, {R"({"b":1})"});
  check(R"({"type": "object"})", {"{}", R"({"x":1, "y": {"z":[]}})"}, {"[]", R"({"x"})"});
  check(R"({"required": ["x"]})", {R"({"x":1})", R"({"x":1,"y":2})"}, {"{}", R"({"y":1})"});
  check(R"({"properties": {"a": false, "b": true}})", {"{}", R"({"b":1})"}, {R"({"a":1})"});
  check(R"({"properties": {"a": {"default": 1, "title": "t", "description": "d", "examples": [2], "$comment": "c"}}})",
        {R"({"a":"x"})"}, {});
}

TEST_CASE("arrays") {
  check(R"({"type": "array", "items": {"type": "integer"}})", {"[]", "[1]", "[1,2, 3]"},
        {"[,]", "[1,]", "[\"a\"]", "[1 ,2]"});
  check(R"({"items": {"type": "null"}, "minItems": 2, "maxItems": 3})", {"[null,null]", "[null, null, null]"},
        {"[]", "[null]", "[null,null,null,null]"});
  check(R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"});
  check(R"({"type": "array", "items": false})", {"[]"}, {"[1]"});
  check(R"({"type": "array", "minItems": 1})", {"[1]", "[{}, []]"}, {"[]"});
  check(R"({"prefixItems": [{"const": 1}, {"const": 2}]})", {"[]", "[1]", "[1,2]"}, {"[2]", "[1,2,3]"});
  check(R"({"prefixItems": [{"const": 1}, {"const": 2}], "minItems": 3})", {"[1,2,3]", "[1,2,{},4]"}, {"[1,2]"});
  check(R"({"prefixItems": [{"const": 1}], "items": {"const": 0}, "maxItems": 3, "minItems": 1})",
        {"[1]", "[1,0]", "[1,0,0]"}, {"[]", "[1,0,0,0]", "[1,1]"});
  check(R"({"prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 0}, "maxItems": 1})", {"[]", "[1]"},
        {"[1,2]", "[1,0]"});
}

TEST_CASE("strings count characters, not bytes or escapes") {
  check(R"({"type": "string", "minLength": 2, "maxLength": 3})",
        {"\"ab\"", "\"\xc3\xa4\xf0\x9f\x98\x80\"", R"("\n\u00e4x")", R"("\ud83d\ude00a")"},
        {"\"\"", "\"a\"", "\"abcd\"", R"("\ud83d\ude00")", R"("\ud83da")", R"("\ude00aa")", "\"a\nb\"", "\"a\x80\""});
  check(R"({"type": "string", "pattern": "^a.c$"})",
        {R"("abc")", R"("a\"c")",
         "\"a\xc3\xa4"
         "c\"",
         R"("a\tc")"},
        {R"("ac")", R"("a\nc")", R"("abcd")", R"("xabc")"});
  check(R"({"type": "string", "pattern": "b+"})", {R"("b")", R"("a\nbb\"")"}, {R"("")", R"("a")"});
  check(R"({"type": "string", "pattern": "^(a|bc)*?$|^x{2,3}$"})", {R"("")", R"("abca")", R"("xxx")"},
        {R"("x")", R"("ab")"});
  check(R"({"type": "string", "pattern": "^[\\w.-]+@(?:[a-z]+\\.)+(?<tld>com|org)$"})", {R"("a_B.c-1@ex.am.org")"},
        {R"("@ex.org")", R"("a@org")"});
  check(R"({"type": "string", "pattern": "^[^\\d\\s]\\u00e4\\/$"})", {"\"x\xc3\xa4/\""},
        {"\"1\xc3\xa4/\"", "\" \xc3\xa4/\""});
  check(R"({"format": "date"})", {R"("2024-02-29")", R"("2000-02-29")", R"("1999-12-31")"},
        {R"("2023-02-29")", R"("1900-02-29")", R"("2024-04-31")", R"("2024-13-01")", R"("2024-00-01")",
         R"("0001-01-00")"});
  check(R"({"format": "date-time"})", {R"("2024-02-29T23:59:59.5+01:00")", R"("2024-01-01T00:00:00Z")"},
        {R"("2024-01-01T24:00:00Z")", R"("2024-01-01T00:00:00")", R"("2024-01-01 00:00:00Z")"});
  check(R"({"format": "uuid"})", {R"("123e4567-e89b-12d3-A456-426614174000")"},
        {R"("123e4567e89b12d3a456426614174000")"});
  check(R"({"format": "ipv4"})", {R"("255.0.10.199")"}, {R"("256.0.0.1")", R"("1.2.3")", R"("01.2.3.4")"});
}

TEST_CASE("integers between bounds, all of them") {
  const int bounds[] = {-1000, -123, -100, -99, -10, -9, -1, 0, 1, 7, 10, 99, 100, 101, 999, 1000};
  for (const bool is_exclusive : {false, true}) {
    for (const int least : bounds) {
      for (const int most : bounds) {
        const std::string exclusive = is_exclusive ? "exclusiveM" : "m";
        const std::string schema = "{\"anyOf\": [{\"const\": \"x\"}, {\"type\": \"integer\", \"" + exclusive +
                                   "inimum\": " + std::to_string(least) + ", \"" + exclusive +
                                   "aximum\": " + std::to_string(most) + "}]}";
        CAPTURE(schema);
        ByteAutomaton machine(Grammar::from_json_schema(schema).network());
        int n_wrong = 0;
        for (int i = -1100; i <= 1100; ++i) {
          const bool fits = is_exclusive ? least < i && i < most : least <= i && i <= most;
          n_wrong += machine.may_end(machine.next(machine.start(), std::to_string(i))) != fits ? 1 : 0;
        }
        CHECK(n_wrong == 0);
      }
    }
  }
}

TEST_CASE("numbers between bounds, to two digits behind the point") {
  const auto text = [](int hundredths) {
    const int size = std::abs(hundredths);
    return (hundredths < 0 ? "-" : "") + std::to_string(size / 100) + "." + std::to_string(size / 10 % 10) +
           std::to_string(size % 10);
  };
  const int bounds[] = {-1000, -999, -250, -101, -100, -5, 0, 1, 10, 99, 100, 125, 1000, 1050};
  for (const int least : bounds) {
    for (const int most : bounds) {
      for (const int which : {0, 1, 2, 3}) {
        const bool ex_least = (which & 1) != 0, ex_most = (which & 2) != 0;
        const std::string schema = std::string("{\"anyOf\": [{\"const\": \"x\"}, {\"type\": \"number\", \"") +
                                   (ex_least ? "exclusiveMinimum" : "minimum") + "\": " + text(least) + ", \"" +
                                   (ex_most ? "exclusiveMaximum" : "maximum") + "\": " + text(most) + "}]}";
        CAPTURE(schema);
        ByteAutomaton machine(Grammar::from_json_schema(schema).network());
        int n_wrong = 0;
        for (int i = -1100; i <= 1100; ++i) {
          const bool fits = (ex_least ? least < i : least <= i) && (ex_most ? i < most : i <= most);
          n_wrong += machine.may_end(machine.next(machine.start(), text(i))) != fits ? 1 : 0;
          if (i % 100 != 0) continue;
          n_wrong += machine.may_end(machine.next(machine.start(), std::to_string(i / 100))) != fits ? 1 : 0;
        }
        CHECK(n_wrong == 0);
      }
    }
  }
}

TEST_CASE("numbers: exponents of bounds, open ranges, digits that a double keeps apart") {
  check(R"({"type": "integer", "minimum": 1.5e1, "maximum": 1.29e2})", {"15", "129"}, {"14", "130", "15.0", "1e2"});
  check(R"({"type": "integer", "minimum": 12345678901234567890123})",
        {"12345678901234567890123", "20000000000000000000000"}, {"12345678901234567890122", "1"});
  check(R"({"type": "integer", "maximum": -5})", {"-5", "-999"}, {"-4", "0", "5", "-0"});
  check(R"({"type": "number", "exclusiveMinimum": 0})", {"0.5", "1", "0.000000000000001"}, {"0", "0.0", "-1", "-0"});
  check(R"({"type": "number", "exclusiveMaximum": 0.5})", {"0.499999999999999", "-3"},
        {"0.5", "0.4999999999999999999"});
  check(R"({"type": "number", "minimum": 1, "exclusiveMinimum": 1})", {"1.1"}, {"1", "1.0"});
  check(R"({"type": "number"})", {"0", "-0.5", "1e5", "1.5E-07", "123456789012345"},
        {"01", ".5", "1.", "1e", "+1", "1e999", "NaN"});
}

TEST_CASE("constants") {
  check(R"({"enum": ["a", 1, 1.50, null, [1, {"b": 2}]]})", {"\"a\"", "1", "1.50", "null", "[1,{\"b\": 2}]"},
        {"a", "1.5", "[1]", "2"});
  check(R"({"enum": ["a", 1, 2.5, null], "type": ["string", "integer"]})", {"\"a\"", "1"}, {"null", "2.5"});
  check(R"({"const": "\u00e4\"\n"})", {"\"\xc3\xa4\\\"\\n\""}, {});
}

TEST_CASE("combinations") {
  check(R"({"anyOf": [{"type": "integer"}, {"type": "null"}]})", {"1", "null"}, {"\"a\"", "true"});
  check(R"({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 2}]})", {"5", "2"}, {"3", "4"});
  check(
      R"({"allOf": [{"type": ["integer", "string"]}, {"type": "number"}, {"minimum": 3}, {"minimum": 5}], "maximum": 7})",
      {"5", "7"}, {"4", "8", "5.5", "\"a\""});
  check(R"({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}]})", {"2", "3"}, {"1", "4"});
  check(schemas.back(), {"1", "20"}, {"0", "21"});
  check(
      R"({"$ref": "#/$defs/list", "$defs": {"list": {"anyOf": [{"const": []}, {"type": "array", "items": {"$ref": "#/$defs/list"}}]}}})",
      {"[]", "[[],[[]]]"}, {"[1]"});
  // Alternatives of oneOf that cannot both fit, for each of the reasons.
  check(R"({"oneOf": [{"type": "integer"}, {"type": "string"}]})", {"1", "\"a\""}, {"null"});
  check(R"({"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}]})", {"\"a\"", "\"b\""}, {"\"d\""});
  check(R"({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]},
                      {"type": "object", "properties": {"b": {}}, "required": ["b"]}]})",
        {"{\"a\":1}", "{\"b\":1}"}, {"{}", "{\"a\":1,\"b\":1}"});
  for (const char* const alternatives :
       {R"({"type": "integer"}, {"type": "number"})", R"({"type": "string"}, {"const": "a"})",
        R"({"minimum": 3}, {"type": "string"})", R"({"const": 1}, {"const": 1.0})",
        R"({"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}})",
        R"({"type": "object", "properties": {"a": {}}, "required": ["a"]}, {"type": "object"})"}) {
    check_refused<UnsupportedError>("{\"oneOf\": [" + std::string(alternatives) + "]}",
                                    "'#/oneOf': 0 and 1 may both fit a value");
  }
}

TEST_CASE("what is not supported is named with its place") {
  for (const char* const keyword :
       {"multipleOf", "patternProperties", "propertyNames", "not", "if", "contains", "dependentRequired",
        "minProperties", "unevaluatedProperties", "additionalItems", "anyThing", "$dynamicRef"}) {
    check_refused<UnsupportedError>("{\"properties\": {\"a/b\": {\"" + std::string(keyword) + "\": 1}}}",
                                    "s.json: '#/properties/a~1b/" + std::string(keyword) + "': is not supported");
  }
  check_refused<UnsupportedError>(R"({"items": {"uniqueItems": true}})", "'#/items/uniqueItems'");
  CHECK_NOTHROW(static_cast<void>(Grammar::from_json_schema(R"({"items": {"uniqueItems": false}})")));
  check_refused<UnsupportedError>(R"({"items": [{}]})", "called prefixItems");
  check_refused<UnsupportedError>(R"({"format": "email"})", "'#/format': is 'email'");
  check_refused<UnsupportedError>(R"({"pattern": "a", "minLength": 2})",
                                  "more than one of pattern, format and lengths");
  check_refused<UnsupportedError>(R"({"enum": [1], "minimum": 2})", "beside other keywords");
  check_refused<UnsupportedError>(R"({"$ref": "other.json"})", "'#/$ref': is 'other.json'");
  check_refused<UnsupportedError>(R"({"exclusiveMinimum": 0.1234567890123456})", "more than 15 digits");
  check_refused<UnsupportedError>(R"({"minimum": 1e500})", "'#/minimum': has more than 400 digits");
  check_refused<UnsupportedError>(R"({"allOf": [{"properties": {"a": {}}}, {"additionalProperties": false}]})",
                                  "additionalProperties");
  check_refused<UnsupportedError>(R"({"allOf": [{"pattern": "a"}, {"pattern": "b"}]})",
                                  "joins two that differ: pattern");
  for (const char* const pattern : {"(?=a)", "(?!a)", "(?<=a)", "\\\\1", "\\\\b", "\\\\p{L}", "a^b", "a$b", "(^a)",
                                    "[a", "a**", "(", ")", "a{2,1}", "\\\\ud800", "*"}) {
    check_refused<UnsupportedError>("{\"pattern\": \"" + std::string(pattern) + "\"}", "'#/pattern'");
  }
}

TEST_CASE("what is no schema is a FormatError with its place") {
  check_refused<FormatError>("", "JSON");
  check_refused<FormatError>("{", "JSON");
  check_refused<FormatError>("[]", "'#': expected an object, found a list");
  check_refused<FormatError>("{} {}", "JSON");
  check_refused<FormatError>(R"({"a": 1, "a": 2})", "twice");
  check_refused<FormatError>(R"({"properties": {"a": 5}})", "'#/properties/a': expected an object, found a number");
  check_refused<FormatError>(R"({"properties": 5})", "'#/properties': expected an object");
  check_refused<FormatError>(R"({"minLength": -1})", "'#/minLength': expected a whole number from 0 on");
  check_refused<FormatError>(R"({"minLength": "a"})", "'#/minLength': expected a number");
  check_refused<FormatError>(R"({"type": "strin"})", "'#/type': is no type");
  check_refused<FormatError>(R"({"type": 5})", "'#/type'");
  check_refused<FormatError>(R"({"anyOf": []})", "'#/anyOf': is empty");
  check_refused<FormatError>(R"({"$ref": "#/$defs/x"})", "'#/$defs/x': is referred to and not there");
  check_refused<FormatError>(R"({"required": [1]})", "'#/required/0'");
  check_refused<FormatError>(R"({"$ref": "#"})", "no text fits");
  check_refused<FormatError>("false", "no text fits");
  check_refused<FormatError>(R"({"type": "integer", "minimum": 3, "maximum": 2})", "no text fits");
  check_refused<FormatError>(R"({"properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "no text fits");
}

TEST_CASE("hostile schemas are refused, and quickly") {
  check_refused<FormatError>(std::string(1000, '['), "nested too deeply");
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "{\"items\":";
  check_refused<FormatError>(deep, "nested too deeply");
  check_refused<UnsupportedError>(R"({"type": "string", "minLength": 1e18})", "too large");
  check_refused<UnsupportedError>(R"({"type": "string", "maxLength": 1e30})", "too large");
  check_refused<UnsupportedError>(R"({"type": "array", "maxItems": 1000000000})", "too large");
  check_refused<UnsupportedError>(R"({"allOf": [{"$ref": "#"}], "minimum": 1})", "joins itself");
  check_refused<UnsupportedError>(R"({"pattern": ")" + std::string(1000, '(') + "\"}", "is too deep");
  check_refused<UnsupportedError>(std::string(2000000, ' '), "larger than a megabyte");
  // Each refers to the next twice.
  std::string doubled = "{\"$ref\": \"#/$defs/0\", \"minimum\": 1, \"$defs\": {";
  for (int i = 0; i < 40; ++i) {
    const std::string next =
        "{\"$ref\": \"#/$defs/" + std::to_string(i + 1) + "\", \"maximum\": " + std::to_string(i) + "}";
    doubled += "\"" + std::to_string(i) + "\": {\"minimum\": 1, \"anyOf\": [" + next + ", " + next + "]}, ";
  }
  check_refused<UnsupportedError>(doubled + "\"40\": {}}}", "joins too many schemas");
}

TEST_CASE("random changes of schemas are read or refused") {
  const std::uint64_t seed = 5;
  CAPTURE(seed);
  Random random(seed);
  int n_read = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string schema = schemas[random.next() % schemas.size()];
    const std::string& other = schemas[random.next() % schemas.size()];
    const std::size_t at = random.next() % schema.size(), length = random.next() % 12;
    switch (random.next() % 4) {
      case 0: schema[at] = static_cast<char>(random.next()); break;
      case 1: schema[at] = "0123456789-.{}[]\"\\$^*+a"[random.next() % 23]; break;
      case 2: schema.replace(at, length, other.substr(random.next() % other.size(), random.next() % 12)); break;
      default: schema.insert(1, other.substr(1, other.rfind('}') - 1) + (random.next() % 2 == 0 ? "," : ""));
    }
    CAPTURE(schema);
    try {
      const Grammar grammar = Grammar::from_json_schema(schema);
      CHECK(nlohmann::json::accept(sample(grammar, random, 20)));
      ++n_read;
    } catch (const Error&) {
    }
  }
  CHECK(n_read > 500);
}

TEST_CASE("all that is written is JSON that jsonschema finds valid") {
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  Random random(seed);
  std::vector<SchemaAndText> written;
  for (const std::string& schema : schemas) {
    const Grammar grammar = Grammar::from_json_schema(schema);
    for (int i = 0; i < 50; ++i) {
      const std::string text = sample(grammar, random, 5 + random.next() % 60);
      CAPTURE(text);
      CHECK(nlohmann::json::accept(text));
      CHECK(grammar.accepts(text));
      written.push_back({schema, text});
    }
  }
  check_valid_json(written);
}

TEST_SUITE_END();
