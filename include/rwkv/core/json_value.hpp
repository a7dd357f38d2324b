// SPDX-License-Identifier: MIT
// A JSON value as a tree, for what has to be looked at in another order than it is written in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/json.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A JSON document as a tree.
struct JsonValue {
  using Kind = JsonReader::Kind;

  static constexpr std::size_t max_members = 10000;  ///< of one object: they are looked for one after the other

  Kind kind = Kind::null;
  std::string text;                ///< a string; a number as it is written; "true" or "false"
  std::vector<std::string> names;  ///< of an object's members, in their order
  std::vector<JsonValue> values;   ///< of its members, or the elements of a list

  /// The member of that name, or null if there is none.
  [[nodiscard]] const JsonValue* find(std::string_view name) const noexcept {
    const auto found = std::ranges::find(names, name);
    return found == names.end() ? nullptr : &values[static_cast<std::size_t>(found - names.begin())];
  }

  void set(const std::string& name, JsonValue value) {
    const auto found = std::ranges::find(names, name);
    if (found != names.end()) {
      values[static_cast<std::size_t>(found - names.begin())] = std::move(value);
    } else {
      names.push_back(name);
      values.push_back(std::move(value));
    }
  }

  void remove(std::string_view name) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) return;
    values.erase(values.begin() + (found - names.begin()));
    names.erase(found);
  }

  /// The same text: 1 and 1.0 differ, and so do objects whose members are in another order.
  friend bool operator==(const JsonValue&, const JsonValue&) = default;
};

/// Reads the next value, whatever it is. Throws FormatError as the reader, and for an object that has a name twice, or
/// too many.
[[nodiscard]] inline JsonValue read_json_value(JsonReader& reader) {
  JsonValue value;
  value.kind = reader.kind();
  switch (value.kind) {
    case JsonValue::Kind::object:
      reader.object([&](const std::string& name) {
        if (value.names.size() == JsonValue::max_members) reader.fail("has an object with too many members");
        if (value.find(name) != nullptr) reader.fail("has " + in_quotes(name) + " twice in one object");
        value.set(name, read_json_value(reader));
      });
      break;
    case JsonValue::Kind::list: reader.list([&] { value.values.push_back(read_json_value(reader)); }); break;
    case JsonValue::Kind::string: value.text = reader.string(); break;
    case JsonValue::Kind::number: value.text = reader.number(); break;
    case JsonValue::Kind::truth_value: value.text = reader.truth_value() ? "true" : "false"; break;
    case JsonValue::Kind::null: reader.skip(); break;
  }
  return value;
}

RWKV_NAMESPACE_END
