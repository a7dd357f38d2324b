// SPDX-License-Identifier: MIT
// Programs in Python, for tests that compare with what others made.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "support/support.hpp"

namespace rwkv_test {

/// What a Python program prints, or nothing where there is no Python with this module.
inline std::optional<std::string> python_with(const std::string& module, const std::string& program,
                                              const std::string& argument) {
  const TemporaryFile script(".py"), out(".txt");
  write_file(script.path(), program);
  for (const std::string interpreter : {"/usr/bin/python3", "python3"}) {  // the system's has the system's packages
    if (std::system((interpreter + " -c 'import " + module + "' 2>/dev/null").c_str()) != 0) continue;
    const std::string command = interpreter + " " + script.path() + " " + argument + " >" + out.path();
    REQUIRE(std::system(command.c_str()) == 0);
    return read_file(out.path());
  }
  return std::nullopt;
}

/// Reads pairs of lines, a schema and a JSON text, and tells which of them are not valid, then how many there were.
inline const std::string json_schema_validator = R"(
import json, sys, jsonschema
validator = jsonschema.Draft202012Validator
checker = getattr(validator, "FORMAT_CHECKER", None) or jsonschema.draft202012_format_checker
def refuse(constant): raise ValueError(constant)
lines = open(sys.argv[1], encoding="utf-8", newline="\n").read().split("\n")[:-1]
for schema, text in zip(lines[::2], lines[1::2]):
    try:
        value = json.loads(text, parse_constant=refuse)
        schema = json.loads(schema)
        validator(schema, format_checker=checker).validate(value)
    except Exception as error:
        print(ascii(text), "for", json.dumps(schema), str(error).split("\n")[0])
print(len(lines) // 2)
)";

/// A schema of JSON, and a text.
struct SchemaAndText {
  std::string schema, text;
};

/// Checks that each text is valid for its schema, as jsonschema finds; the test is skipped where that is not there.
inline void check_valid_json(const std::vector<SchemaAndText>& all) {
  std::string lines;
  for (const auto& [schema, text] : all) {
    std::string line = schema;
    std::ranges::replace(line, '\n', ' ');
    lines += line + "\n" + text + "\n";
  }
  const TemporaryFile file(".txt");
  write_file(file.path(), lines);
  const auto printed = python_with("jsonschema", json_schema_validator, file.path());
  if (printed) {
    CHECK(*printed == std::to_string(all.size()) + "\n");
  } else {
    std::printf("SKIPPED: no python3 with jsonschema (Debian: python3-jsonschema)\n");
  }
}

}  // namespace rwkv_test
