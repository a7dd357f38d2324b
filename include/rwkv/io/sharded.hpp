// SPDX-License-Identifier: MIT
// Models in several files, with an index: `model.safetensors.index.json`, `pytorch_model.bin.index.json`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/json.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline constexpr std::size_t max_shard_index = 100'000'000;  // bytes, as for the header of a safetensors file

/// Whether a file is an index of shards: JSON that speaks of a weight_map.
[[nodiscard]] inline bool is_shard_index(std::string_view bytes) {
  const std::string_view text = bytes.substr(0, max_shard_index);
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  return begin != text.npos && text[begin] == '{' && text.find("\"weight_map\"") != text.npos;
}

/// Which file has which tensor, in the order of the index.
struct ShardIndex {
  std::vector<std::string> files;
  std::vector<std::pair<std::string, std::size_t>> tensors;  ///< name, position in files
};

/// Parses {"metadata": {...}, "weight_map": {name: file, ...}} (huggingface_hub, serialization/_base.py). Files are in
/// the folder of the index: whatever leads out of it is refused.
/// Throws FormatError if it is anything else, or lists a tensor twice.
[[nodiscard]] inline ShardIndex parse_shard_index(const std::string& path, std::string_view text) {
  const auto fail = [&path](std::string_view item, std::string_view problem, std::string_view found = "") {
    throw FormatError({.path = path, .item = item, .problem = problem, .found = found});
  };
  if (text.size() > max_shard_index) fail("", "an index longer than 100 MB", std::to_string(text.size()) + " bytes");
  ShardIndex index;
  std::unordered_map<std::string, std::size_t> positions;  // of files
  bool has_map = false;
  JsonReader json(path, "weight_map", text);
  json.object([&](const std::string& member) {
    if (member != "weight_map") return json.skip();
    if (std::exchange(has_map, true)) fail("weight_map", "occurs twice");
    json.object([&](const std::string& name) {
      if (index.tensors.size() == Checkpoint::max_tensors) fail("weight_map", "more than 100000 tensors");
      std::string file = json.string();
      const bool leads_out = file.find_first_of(std::string_view("/\\\0", 3)) != file.npos || file == "..";
      if (leads_out || file.empty() || file == ".") {
        fail(tensor_item(name), "its shard must be a file in the folder of the index", in_quotes(file));
      }
      const auto [position, is_new] = positions.emplace(std::move(file), index.files.size());
      if (is_new) index.files.push_back(position->first);
      index.tensors.emplace_back(name, position->second);
    });
  });
  json.end();
  if (index.tensors.empty()) fail("weight_map", "no tensors are listed");
  return index;
}

/// Reads all shards that the index with this text lists, and gives their tensors in one checkpoint, in place.
/// `read` gives the tensors of the file of that path. Tensors in a shard that the index does not list are taken, too:
/// what matters of them the model refuses.
/// Throws IoError if a shard is missing, FormatError if a listed tensor is not in its shard, or is in another, and what
/// `read` throws.
[[nodiscard]] inline Checkpoint read_shards(const std::string& path, std::string_view text,
                                            FunctionRef<Checkpoint(const std::string& path)> read) {
  const ShardIndex index = parse_shard_index(path, text);
  std::unordered_map<std::string_view, std::size_t> shard_of;
  for (const auto& [name, shard] : index.tensors) {
    if (shard_of.emplace(name, shard).second) continue;
    throw FormatError({.path = path, .item = tensor_item(name), .problem = "is listed twice"});
  }
  Checkpoint whole(path);
  for (std::size_t i = 0; i < index.files.size(); ++i) {
    const std::filesystem::path file = std::filesystem::path(path).parent_path() / index.files[i];
    std::error_code error;
    if (!std::filesystem::exists(file, error)) {
      throw IoError({.path = path,
                     .item = "shard " + in_quotes(index.files[i]),
                     .problem = "is missing beside the index",
                     .hint = "Download all files of the model into one folder."});
    }
    const Checkpoint part = read(file.string());
    whole.metadata().insert(part.metadata().begin(), part.metadata().end());
    for (const auto& [name, tensor] : part.entries()) {
      const auto listed = shard_of.find(name);
      if (listed != shard_of.end() && listed->second != i) {
        throw FormatError({.path = path,
                           .item = tensor_item(name),
                           .expected = "it in shard " + in_quotes(index.files[listed->second]),
                           .found = "it in " + in_quotes(index.files[i])});
      }
      whole.add(name, tensor);
    }
  }
  for (const auto& [name, shard] : index.tensors) {
    if (whole.contains(name)) continue;
    throw FormatError({.path = path,
                       .item = tensor_item(name),
                       .problem = "is not in shard " + in_quotes(index.files[shard]) + ", where the index has it"});
  }
  return whole;
}

}  // namespace detail

RWKV_NAMESPACE_END
