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

#include <nlohmann/json.hpp>

#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// One entry of the header as it stands there, unchecked. Offsets count from the end of the header.
struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<std::uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

/// The header as it stands there.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// Takes the header apart while nlohmann's parser walks over it (its SAX interface). The format has three levels, so
/// anything deeper is refused where it begins, and no tree of JSON values is ever built.
class SafetensorsParser : public nlohmann::json_sax<nlohmann::json> {
public:
  explicit SafetensorsParser(const std::string& path) : path_(path) {}

  [[nodiscard]] SafetensorsHeader result() noexcept { return std::move(header_); }

  bool start_object(std::size_t) override {
    if (depth_ > 1 || is_in_array_) fail("a value where it may not be an object");
    ++depth_;
    return true;
  }

  bool end_object() override {
    if (--depth_ == 1 && !is_metadata_) {
      const SafetensorsEntry& entry = header_.entries.back();
      if (!entry.has_dtype || !entry.has_shape || entry.offsets.size() != 2) {
        fail("an entry needs dtype, shape and two data_offsets");
      }
    }
    return true;
  }

  bool key(std::string& key) override {
    key_ = key;
    bool is_known = false;
    if (depth_ == 1) {
      is_metadata_ = key == "__metadata__";
      if (is_metadata_) {
        is_known = std::exchange(has_metadata_, true);
      } else {
        header_.entries.emplace_back().name = key;  // the Checkpoint refuses names that occur twice
      }
    } else if (is_metadata_) {
      is_known = header_.metadata.contains(key);
    } else {
      is_known = std::exchange(has_field(key), true);
    }
    if (is_known) fail("the key " + in_quotes(key) + " occurs twice");
    return true;
  }

  bool string(std::string& text) override {
    if (depth_ == 2 && is_metadata_) {
      header_.metadata[key_] = text;
    } else if (depth_ == 2 && key_ == "dtype") {
      header_.entries.back().dtype = text;
    } else {
      fail("a value may not be a text");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || is_metadata_ || key_ == "dtype" || is_in_array_) fail("a value may not be a list");
    is_in_array_ = true;
    return true;
  }

  bool end_array() override {
    is_in_array_ = false;
    return true;
  }

  bool number_unsigned(std::uint64_t number) override {
    if (!is_in_array_) fail("a value may not be a number");
    auto& numbers = key_ == "shape" ? header_.entries.back().shape : header_.entries.back().offsets;
    if (numbers.size() == Shape::max_rank) fail("the list " + in_quotes(key_) + " is too long");
    numbers.push_back(number);
    return true;
  }

  bool number_integer(std::int64_t number) override { fail("the number " + std::to_string(number) + " is negative"); }
  bool number_float(double, const std::string& text) override {
    fail("the number " + text.substr(0, 40) + " is no size");
  }
  bool null() override { fail("a value may not be null"); }
  bool boolean(bool) override { fail("a value may not be a truth value"); }
  bool binary(nlohmann::json::binary_t&) override { fail("a value may not be binary"); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw FormatError({.path = path_,
                       .item = "safetensors header",
                       .problem = "is not valid JSON at byte " + std::to_string(position)});
  }

private:
  [[nodiscard]] bool& has_field(const std::string& key) {
    SafetensorsEntry& entry = header_.entries.back();
    if (key == "dtype") return entry.has_dtype;
    if (key == "shape") return entry.has_shape;
    if (key == "data_offsets") return entry.has_offsets;
    fail("the key " + in_quotes(key) + " is unknown");
  }

  [[noreturn]] void fail(std::string_view problem) const {
    const bool is_in_entry = depth_ > 0 && !is_metadata_ && !header_.entries.empty();
    throw FormatError({.path = path_,
                       .item = is_in_entry ? tensor_item(header_.entries.back().name) : "safetensors header",
                       .problem = problem});
  }

  const std::string& path_;
  SafetensorsHeader header_;
  std::string key_;
  int depth_ = 0;
  bool is_in_array_ = false, is_metadata_ = false, has_metadata_ = false;
};

/// Parses the header. Throws FormatError unless it is JSON of exactly this form, without duplicate keys inside the
/// entries and the metadata.
[[nodiscard]] inline SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view text) {
  if (!text.starts_with('{') || text.find('\0') != std::string_view::npos) {  // a zero byte would end the JSON
    throw FormatError({.path = path, .item = "safetensors header", .expected = "a JSON object"});
  }
  SafetensorsParser parser(path);
  nlohmann::json::sax_parse(text.begin(), text.end(), &parser);
  return parser.result();
}

}  // namespace detail

RWKV_NAMESPACE_END
