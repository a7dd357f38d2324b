// SPDX-License-Identifier: MIT
// Opens a model file of any format, told by its content and never by its name.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "rwkv/core/linkage.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

/// Opens a PyTorch (zip or legacy), safetensors, GGUF or rwkv.cpp file and gives its tensors as the official files have
/// them: without the prefixes that training frameworks put before every name, and without what converters and other
/// libraries changed.
///
/// `path` may also be the index of a model in several files (`model.safetensors.index.json`), or a folder with one
/// model: its index, its `model.safetensors`, or its only file of a model. Of models of Hugging Face libraries, the
/// `config.json` beside the file is read, too.
/// Throws IoError if the file cannot be read, or if the folder has no model or several (and says which), FormatError if
/// it is damaged or no model (and says what it is), UnsupportedError if it may be a model but is not read yet.
[[nodiscard]] RWKV_API Checkpoint open_checkpoint(const std::string& path, const OpenOptions& options = {});

/// The same for a file that is in memory already, such as a resource of the program. The bytes stay where they are and
/// must outlive all that is made of the Checkpoint; messages call them `name`. Nothing beside it is read.
[[nodiscard]] RWKV_API Checkpoint open_checkpoint(std::span<const std::byte> bytes, const std::string& name,
                                                  const OpenOptions& options = {});

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/folder.hpp"
#include "rwkv/io/foreign_files.hpp"
#include "rwkv/io/gguf.hpp"
#include "rwkv/io/gguf_official.hpp"
#include "rwkv/io/hugging_face.hpp"
#include "rwkv/io/hugging_face_config.hpp"
#include "rwkv/io/prefixes.hpp"
#include "rwkv/io/pth.hpp"
#include "rwkv/io/rwkvcpp.hpp"
#include "rwkv/io/safetensors.hpp"
#include "rwkv/io/sharded.hpp"
#include "rwkv/io/web_rwkv.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Whether the file begins as safetensors files do: with the length of the header, a number of 64 bits that would be
/// too large if it read as text, and the header.
[[nodiscard]] inline bool is_safetensors(std::string_view bytes) {
  const std::string_view length = bytes.substr(0, 8);
  const bool is_number =
      std::any_of(length.begin(), length.end(), [](char c) { return is_control(c) || (c & 0x80) != 0; });
  return is_number && bytes.substr(length.size()).starts_with('{');
}

[[nodiscard]] inline bool is_pth(std::string_view bytes) {
  return bytes.starts_with("PK\x03\x04") || bytes.starts_with(legacy_pth_magic);
}

/// The tensors of a PyTorch or safetensors file, in the names that they have there.
[[nodiscard]] inline Checkpoint read_tensors(const std::shared_ptr<const MappedFile>& file,
                                             const OpenOptions& options) {
  const std::string_view bytes = as_text(file->bytes());
  if (is_pth(bytes)) return read_pth(file, options);
  if (is_safetensors(bytes)) return read_safetensors(file);
  refuse_file(file->path(), bytes);
}

/// Whether there are files beside a file.
enum class Place { folder, memory };

/// What `config.json` in the folder of this file says.
[[nodiscard]] inline HuggingFaceConfig config_beside(const std::string& path) {
  const std::filesystem::path config = std::filesystem::path(path).parent_path() / "config.json";
  std::error_code error;  // what cannot be looked at is not there
  if (!std::filesystem::is_regular_file(config, error)) return {};
  return read_hugging_face_config(config.string());
}

[[nodiscard]] inline Checkpoint read_checkpoint(const std::shared_ptr<const MappedFile>& file,
                                                const OpenOptions& options, Place place) {
  const std::string_view bytes = as_text(file->bytes());
  if (bytes.starts_with("fmgg")) return read_rwkvcpp(file);
  if (bytes.starts_with("GGUF")) return read_gguf(file);
  const auto read_shard = [&options](const std::string& path) {
    return read_tensors(std::make_shared<const MappedFile>(path), options);
  };
  const bool is_index = place == Place::folder && !is_safetensors(bytes) && is_shard_index(bytes);
  const Checkpoint stored =
      strip_prefixes(is_index ? read_shards(file->path(), bytes, read_shard) : read_tensors(file, options));
  if (is_hugging_face(stored)) {
    const HuggingFaceConfig config = place == Place::folder ? config_beside(file->path()) : HuggingFaceConfig{};
    return HuggingFaceOfficial(stored, config).read();
  }
  return is_pth(bytes) ? stored : from_web_rwkv(stored);
}

/// The file of that name, or that of the model in the folder of that name.
[[nodiscard]] inline std::shared_ptr<const MappedFile> map_model(const std::string& path) {
  std::error_code error;  // what cannot be looked at cannot be opened, either
  const bool is_folder = std::filesystem::is_directory(path, error);
  return std::make_shared<const MappedFile>(is_folder ? model_in_folder(path) : path);
}

}  // namespace detail

RWKV_API Checkpoint open_checkpoint(const std::string& path, const OpenOptions& options) {
  return detail::read_checkpoint(detail::map_model(path), options, detail::Place::folder);
}

RWKV_API Checkpoint open_checkpoint(std::span<const std::byte> bytes, const std::string& name,
                                    const OpenOptions& options) {
  return detail::read_checkpoint(std::make_shared<const MappedFile>(bytes, name), options, detail::Place::memory);
}

RWKV_NAMESPACE_END
#endif
