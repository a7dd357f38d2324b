// SPDX-License-Identifier: MIT
// The free text that goes with tensors, as a JSON object.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "rwkv/core/error.hpp"
#include "rwkv/core/json.hpp"
#include "rwkv/core/utf8.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// An object of texts. Throws FormatError for any other value, and for a key that occurs twice.
[[nodiscard]] inline std::map<std::string, std::string> parse_metadata(JsonReader& json, std::string_view path,
                                                                       std::string_view item) {
  std::map<std::string, std::string> metadata;
  json.object([&](const std::string& key) {
    if (metadata.emplace(key, json.string()).second) return;
    throw FormatError({.path = path, .item = item, .problem = "the key " + in_quotes(key) + " occurs twice"});
  });
  return metadata;
}

/// The object as text. What is not UTF-8 becomes U+FFFD.
[[nodiscard]] inline std::string to_json(const std::map<std::string, std::string>& metadata) {
  std::string members;
  for (const auto& [key, text] : metadata) {
    members += (members.empty() ? "" : ",") + json_string(to_utf8(key)) + ":" + json_string(to_utf8(text));
  }
  return "{" + members + "}";
}

}  // namespace detail

RWKV_NAMESPACE_END
