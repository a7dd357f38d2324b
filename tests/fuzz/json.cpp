// SPDX-License-Identifier: MIT
// JSON, and the small files that are nothing else: the index of shards, and the configurations of models and adapters.
#include "rwkv/core/json.hpp"

#include <nlohmann/json.hpp>

#include "fuzz.hpp"
#include "rwkv/arch/lora.hpp"
#include "rwkv/io/hugging_face_config.hpp"
#include "rwkv/io/sharded.hpp"

namespace {

/// Reads a value with all functions of the reader. Texts that are written and read again are the same.
void read_all(rwkv::JsonReader& json) {
  using Kind = rwkv::JsonReader::Kind;
  const auto check = [](const std::string& text) {
    rwkv_fuzz::require(rwkv::JsonReader("", "", rwkv::json_string(text)).string() == text);
  };
  switch (json.kind()) {
    case Kind::object:
      return json.object([&](const std::string& name) {
        check(name);
        read_all(json);
      });
    case Kind::list: return json.list([&] { read_all(json); });
    case Kind::string: return check(json.string());
    case Kind::number: return static_cast<void>(json.real());
    case Kind::truth_value: return static_cast<void>(json.truth_value());
    case Kind::null: return json.skip();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = rwkv_fuzz::text_of(data, size);
  bool is_json = false, is_read = false;
  rwkv_fuzz::only_errors([&] {
    rwkv::JsonReader json("input", "text", text);
    json.skip();
    json.end();
    is_json = true;
  });
  rwkv_fuzz::only_errors([&] {
    rwkv::JsonReader json("input", "text", text);
    read_all(json);
    json.end();
    is_read = true;
  });
  // Another parser agrees: it takes all that is read, and what it takes is read, but where it goes beyond the standard
  // (a mark of UTF-8 at the beginning, an end at a zero byte) and where it is too deep.
  const bool is_accepted = nlohmann::json::accept(text);
  const bool is_beyond = text.starts_with("\xef\xbb\xbf") || text.find('\0') != text.npos;
  const auto n_open = std::count_if(text.begin(), text.end(), [](char c) { return c == '{' || c == '['; });
  rwkv_fuzz::require(!is_read || is_accepted);
  rwkv_fuzz::require(!is_accepted || is_json || is_beyond || n_open > rwkv::JsonReader::max_depth);
  rwkv_fuzz::only_errors([&] { static_cast<void>(rwkv::detail::parse_shard_index("input", text)); });
  rwkv_fuzz::only_errors([&] { static_cast<void>(rwkv::detail::parse_hugging_face_config("input", text)); });
  const rwkv_fuzz::MemoryFile file(data, size);
  return rwkv_fuzz::only_errors([&] { static_cast<void>(rwkv::read_lora_config(file.path())); });
}
