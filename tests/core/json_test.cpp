// SPDX-License-Identifier: MIT
#include "rwkv/core/json.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "rwkv/core/random.hpp"
#include "support/support.hpp"

using namespace rwkv;
using namespace std::string_literals;

namespace {

/// Reads a whole text and throws what is wrong with it.
void read(const std::string& text) {
  JsonReader json("file", "item", text);
  json.skip();
  json.end();
}

bool is_accepted(const std::string& text) {
  try {
    read(text);
    return true;
  } catch (const FormatError&) {
    return false;
  }
}

std::string read_string(const std::string& text) {
  JsonReader json("file", "item", text);
  std::string value = json.string();
  json.end();
  return value;
}

}  // namespace

TEST_SUITE_BEGIN("core/json");

TEST_CASE("values are read in order, and what is not wanted is skipped") {
  const std::string text = R"( {"a" : [1, 2 ,18446744073709551615], "b":{"c":[[],{},null,-1.5e+3]}, "d": true,"":""} )";
  JsonReader json("file", "item", text);
  std::vector<std::string> names;
  std::vector<std::uint64_t> counts;
  bool truth = false;
  json.object([&](const std::string& name) {
    names.push_back(name);
    if (name == "a") return json.list([&] { counts.push_back(json.count()); });
    if (name == "d") {
      truth = json.truth_value();
    } else {
      json.skip();
    }
  });
  json.end();
  CHECK(names == std::vector<std::string>{"a", "b", "d", ""});
  CHECK(counts == std::vector<std::uint64_t>{1, 2, 18446744073709551615u});
  CHECK(truth);
}

TEST_CASE("strings: escapes, pairs of surrogates, and back") {
  CHECK(read_string(R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\udc26")") ==
        "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa6");
  CHECK(read_string("\"\xc3\xa9\x7f\"") == "\xc3\xa9\x7f");
  for (const std::string& text : {""s, "a\"\\b\b\f\n\r\t\x01\x1f\x7f"s, "\0"s, "\xf0\x9f\x90\xa6"s}) {
    CHECK(read_string(json_string(text)) == text);
    CHECK(json_string(text) == nlohmann::json(text).dump());
  }
}

TEST_CASE("an error tells what was expected and what stands there") {
  JsonReader json("file", "item", R"([1, "x", {}])");
  CHECK_THROWS_WITH_AS(static_cast<void>(json.string()), "file: item: expected a string, found a list", FormatError);
  json.set_item("another");
  CHECK_THROWS_WITH_AS(json.object([](const std::string&) {}), "file: another: expected an object, found a list",
                       FormatError);
  CHECK_THROWS_WITH_AS(read("[1, 2"), "file: item: is not valid JSON at byte 5", FormatError);
  CHECK_THROWS_WITH_AS(read("\"\xff\""), "file: item: is not UTF-8", FormatError);
  for (const std::string text : {"-1", "1.0", "1e2", "18446744073709551616"}) {
    JsonReader number("file", "item", text);
    const std::string expected = "file: item: expected a count, found " + text;
    CHECK_THROWS_WITH_AS(static_cast<void>(number.count()), expected.c_str(), FormatError);
  }
}

TEST_CASE("numbers are the nearest doubles") {
  const auto real = [](const std::string& text) { return JsonReader("file", "item", text).real(); };
  CHECK(real("1e-05") == 1e-5);
  CHECK(real(" -12.5") == -12.5);
  CHECK(real("0") == 0);
  CHECK(real("18446744073709551616") == 18446744073709551616.0);
  CHECK(real("0.1000000000000000055511151231257827") == 0.1);
  CHECK_THROWS_WITH_AS(real("1e999"), "file: item: expected a number that fits a double, found 1e999", FormatError);
  CHECK_THROWS_WITH_AS(real("\"1\""), "file: item: expected a number, found a string", FormatError);
}

TEST_CASE("what RFC 8259 does not allow is refused") {
  for (const std::string text : {"",
                                 " ",
                                 "{",
                                 "[",
                                 "\"",
                                 "[1,]",
                                 "[,1]",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{\"a\":1,}",
                                 "{a:1}",
                                 "{1:1}",
                                 "[1 2]",
                                 "01",
                                 "1.",
                                 ".5",
                                 "-",
                                 "+1",
                                 "1e",
                                 "1e+",
                                 "0x1",
                                 "NaN",
                                 "Infinity",
                                 "tru",
                                 "True",
                                 "nul",
                                 "'a'",
                                 "\"\\x41\"",
                                 "\"\\",
                                 "\"\\u12\"",
                                 "\"\\u123g\"",
                                 "\"\\u+123\"",
                                 "\"\\ud83d\"",
                                 "\"\\ud83dx\"",
                                 "\"\\ud83d\\u0041\"",
                                 "\"\\udc26\"",
                                 "\"\n\"",
                                 "1 1",
                                 "{}{}",
                                 "[]]",
                                 "// x\n1",
                                 "\xef\xbb\xbf[]",
                                 "\"\xc0\x80\"",
                                 "\f1"}) {
    CAPTURE(text);
    CHECK(!is_accepted(text));
  }
  CHECK(!is_accepted("[]\0"s));
  CHECK(is_accepted(std::string(64, '[') + std::string(64, ']')));
  CHECK(!is_accepted(std::string(65, '[') + std::string(65, ']')));
  CHECK(!is_accepted(std::string(1'000'000, '[')));
}

TEST_CASE("damaged texts are refused where another reader refuses them") {
  const std::string good =
      R"({"model":{"vocab":{"a":0,"\u0120\ud83d\udc26":-12.5e-3},"merges":["a b","c \\"]},"x":[true,false,null,[]]})";
  Random random(1);
  int n_accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = good;
    const auto place = [&](std::size_t size) { return static_cast<std::size_t>(random.next() % size); };
    for (std::size_t n = place(3) + 1; n > 0; --n) {
      const std::size_t from = place(text.size()), to = place(text.size());
      switch (random.next() % 3) {
        case 0: text[to] = text[from]; break;
        case 1: text.erase(to, 1); break;
        default: text.insert(to, 1, text[from]);
      }
    }
    CAPTURE(text);
    const bool is_good = nlohmann::json::accept(text);
    CHECK(is_accepted(text) == is_good);
    n_accepted += is_good ? 1 : 0;
  }
  CHECK(n_accepted > 1000);
  CHECK(n_accepted < 19000);
}

TEST_SUITE_END();
