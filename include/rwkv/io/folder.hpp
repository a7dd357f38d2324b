// SPDX-License-Identifier: MIT
// The model in a folder, as people download it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Files with models, in the order in which they are looked for: a name, or how names end. An index stands for its
/// shards, and the files that transformers writes for other forms of the same model beside them.
inline constexpr std::string_view model_files[][5] = {{".safetensors.index.json"},
                                                      {"model.safetensors"},
                                                      {".bin.index.json"},
                                                      {"pytorch_model.bin"},
                                                      {".safetensors", ".st", ".pth", ".gguf", ".bin"}};

/// "'a.pth', 'b.pth' and 3 more": some of the names.
[[nodiscard]] inline std::string some_names(const std::vector<std::string>& names) {
  constexpr std::size_t most = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i) text += (i == 0 ? "" : ", ") + in_quotes(names[i]);
  return text + (names.size() > most ? " and " + std::to_string(names.size() - most) + " more" : "");
}

/// The file in the folder that open_checkpoint takes when it is given the folder.
/// Throws IoError that tells what is there if that is no model or more than one, or if the folder cannot be read.
[[nodiscard]] inline std::string model_in_folder(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code error, unknown;  // what cannot be looked at is no file
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->is_regular_file(unknown)) names.push_back(entry->path().filename().string());
  }
  if (error) throw IoError({.path = folder, .problem = "cannot read the folder: " + error.message()});
  std::ranges::sort(names);
  std::string found = names.empty() ? "no files" : "no model: " + some_names(names);
  for (const auto& wanted : model_files) {
    std::vector<std::string> models;
    std::ranges::copy_if(names, std::back_inserter(models), [&wanted](const std::string& name) {
      return std::ranges::any_of(wanted, [&name](std::string_view each) {
        return name == each || (each.starts_with('.') && name.ends_with(each));
      });
    });
    if (models.size() == 1) return (fs::path(folder) / models[0]).string();
    if (models.empty()) continue;
    found = std::to_string(models.size()) + " of them: " + some_names(models);
    break;
  }
  throw IoError({.path = folder,
                 .expected = "a file, or a folder with one model",
                 .found = "a directory with " + found,
                 .hint = "Name the file that holds the weights."});
}

}  // namespace detail

RWKV_NAMESPACE_END
