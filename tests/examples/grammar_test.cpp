// SPDX-License-Identifier: MIT
// rwkv generate with a grammar, as a user runs it.
#include <nlohmann/json.hpp>

#include "examples/program.hpp"

using namespace rwkv_test;

namespace {

constexpr int wrong_usage = 2, error = 1;

const std::string generate = "generate -p 'The king: ' --no-echo --temperature 1.5 --top-p 1 ";

}  // namespace

TEST_SUITE_BEGIN("examples/grammar");

TEST_CASE("--json-schema: one line of JSON that fits, whatever the seed") {
  const TemporaryFile schema(".json");
  write_file(schema.path(), R"({"properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer",
    "minimum": 7, "maximum": 99}, "tags": {"items": {"enum": ["old", "kind"]}, "maxItems": 2}}, "required": ["name", "age"]})");
  for (int seed = 0; seed < 5; ++seed) {
    const Result result = program(generate + "--json-schema " + schema.path() + " --seed " + std::to_string(seed));
    CAPTURE(result.out);
    CHECK(result.status == 0);
    CHECK(result.err.empty());
    const auto value = nlohmann::json::parse(result.out);
    CHECK(value.at("name").is_string());
    CHECK(value.at("age") >= 7);
    CHECK(value.at("age") <= 99);
    CHECK(value.size() <= 3);
  }
}

TEST_CASE("--grammar, from a file") {
  const TemporaryFile grammar(".gbnf");
  write_file(grammar.path(), "root ::= (\"yes\" | \"no\") \"!\"{3} # three\n");
  const Result result = program(generate + "--grammar " + grammar.path() + " --lookup 3");
  CHECK(result.status == 0);
  CHECK((result.out == "yes!!!\n" || result.out == "no!!!\n"));
}

TEST_CASE("the limit of tokens: an error, or the shortest end") {
  const TemporaryFile schema(".json");
  write_file(schema.path(), R"({"properties": {"a": {"type": "string", "minLength": 300}}, "required": ["a"]})");
  const std::string arguments = generate + "--json-schema " + schema.path() + " -n 9";
  const Result open = program(arguments);
  CHECK(open.status == error);
  CHECK(open.err.find("is not whole: the limit of tokens came before its end") != std::string::npos);
  CHECK(open.err.find("--grammar-close") != std::string::npos);
  const Result closed = program(arguments + " --grammar-close");
  CHECK(closed.status == 0);
  CHECK(nlohmann::json::parse(closed.out).at("a").get<std::string>().size() >= 300);
  const Result json = program(generate + "--json -n 40 --grammar-close --seed 3");
  CHECK(json.status == 0);
  CHECK(nlohmann::json::accept(json.out));
}

TEST_CASE("mistakes are told before a model is loaded") {
  const TemporaryFile file(".txt");
  write_file(file.path(), "root ::= \"a\"\n  b");
  check_error("generate -m /no/model --grammar " + file.path(), error,
              "line 2, column 3: rule 'b' is used and not defined");
  write_file(file.path(), R"({"items": {"multipleOf": 3}})");
  check_error("generate -m /no/model --json-schema " + file.path(), error, "'#/items/multipleOf': is not supported");
  check_error("generate --json --grammar " + file.path(), wrong_usage, "--json");
  check_error("generate --grammar ''", wrong_usage, "must not be empty");
  check_error("generate --grammar /no/file", error, "/no/file");
}

TEST_SUITE_END();
