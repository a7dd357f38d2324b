// SPDX-License-Identifier: MIT
// The JSON header of a safetensors file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/json.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/metadata.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// One entry of the header as it stands there, unchecked. Offsets count from the end of the header.
struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<std::uint64_t> shape, offsets;
};

/// The header as it stands there.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// Reads one entry. Its name is known, its fields may come in any order, each once.
[[nodiscard]] inline SafetensorsEntry parse_safetensors_entry(const std::string& path, const std::string& name,
                                                              JsonReader& json) {
  const auto fail = [&](std::string_view problem) {
    throw FormatError({.path = path, .item = tensor_item(name), .problem = problem});
  };
  SafetensorsEntry entry;
  entry.name = name;
  bool has_dtype = false, has_shape = false, has_offsets = false;
  const auto counts = [&](const std::string& field, std::vector<std::uint64_t>& values) {
    json.list([&] {
      if (values.size() == Shape::max_rank) fail("the list " + in_quotes(field) + " is too long");
      values.push_back(json.count());
    });
  };
  json.set_item(tensor_item(name));
  json.object([&](const std::string& field) {
    bool* const is_known = field == "dtype"          ? &has_dtype
                           : field == "shape"        ? &has_shape
                           : field == "data_offsets" ? &has_offsets
                                                     : nullptr;
    if (is_known == nullptr) return fail("the key " + in_quotes(field) + " is unknown");
    if (std::exchange(*is_known, true)) fail("the key " + in_quotes(field) + " occurs twice");
    if (field == "dtype") {
      entry.dtype = json.string();
    } else {
      counts(field, field == "shape" ? entry.shape : entry.offsets);
    }
  });
  if (!has_dtype || !has_shape || entry.offsets.size() != 2) fail("an entry needs dtype, shape and two data_offsets");
  json.set_item("safetensors header");
  return entry;
}

/// Parses the header. Throws FormatError unless it is JSON of exactly this form, without duplicate keys inside the
/// entries and the metadata.
[[nodiscard]] inline SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view text) {
  if (!text.starts_with('{')) {
    throw FormatError({.path = path, .item = "safetensors header", .expected = "a JSON object"});
  }
  const auto fail_twice = [&path](const std::string& key) {
    throw FormatError(
        {.path = path, .item = "safetensors header", .problem = "the key " + in_quotes(key) + " occurs twice"});
  };
  SafetensorsHeader header;
  bool has_metadata = false;
  JsonReader json(path, "safetensors header", text);
  json.object([&](const std::string& name) {
    if (name != "__metadata__") {
      header.entries.push_back(parse_safetensors_entry(path, name, json));
      return;  // the Checkpoint refuses names that occur twice
    }
    if (std::exchange(has_metadata, true)) fail_twice(name);
    header.metadata = parse_metadata(json, path, "safetensors header");
  });
  json.end();
  return header;
}

}  // namespace detail

RWKV_NAMESPACE_END
