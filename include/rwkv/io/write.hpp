// SPDX-License-Identifier: MIT
// Writes a model file of any format.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/dtype.hpp"
#include "rwkv/core/linkage.hpp"
#include "rwkv/io/planned_tensor.hpp"

RWKV_NAMESPACE_BEGIN

/// The formats that can be written.
enum class FileFormat { pth, safetensors, gguf, rwkvcpp };

/// What is to be known of a FileFormat.
struct FileFormatInfo {
  FileFormat format;
  std::string_view name;       ///< as in messages and in `--format`
  std::string_view extension;  ///< of files in it
};

inline constexpr std::array<FileFormatInfo, 4> file_formats{{{FileFormat::pth, "pth", ".pth"},
                                                             {FileFormat::safetensors, "safetensors", ".safetensors"},
                                                             {FileFormat::gguf, "gguf", ".gguf"},
                                                             {FileFormat::rwkvcpp, "rwkv.cpp", ".bin"}}};

/// The format of that name, or nothing.
[[nodiscard]] constexpr std::optional<FileFormat> file_format_from_name(std::string_view name) noexcept {
  for (const FileFormatInfo& each : file_formats) {
    if (each.name == name) return each.format;
  }
  return std::nullopt;
}

/// The format that the extension of a file name says, or nothing.
[[nodiscard]] constexpr std::optional<FileFormat> file_format_from_path(std::string_view path) noexcept {
  for (const FileFormatInfo& each : file_formats) {
    if (path.ends_with(each.extension)) return each.format;
  }
  return std::nullopt;
}

/// Writes official tensors in a format, tensor by tensor. The same plan gives the same bytes; the file appears under
/// its name when it is complete, and what stood there before stays until then, also for those who have it mapped.
///
/// Throws what write_pth, write_safetensors, write_gguf and write_rwkvcpp throw: what the format cannot hold is an
/// error before anything is written.
RWKV_API void write_checkpoint(const PlannedFile& plan, FileFormat format, const std::string& path,
                               WriteProgress progress = no_progress);

/// The types of blocks that files of the format can hold.
[[nodiscard]] RWKV_API std::vector<DType> block_types(FileFormat format);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include "rwkv/io/gguf_write.hpp"
#include "rwkv/io/pth_write.hpp"
#include "rwkv/io/rwkvcpp_write.hpp"
#include "rwkv/io/safetensors.hpp"

RWKV_NAMESPACE_BEGIN

RWKV_API void write_checkpoint(const PlannedFile& plan, FileFormat format, const std::string& path,
                               WriteProgress progress) {
  switch (format) {
    case FileFormat::pth: return write_pth(plan, path, progress);
    case FileFormat::safetensors: return write_safetensors(plan, path, progress);
    case FileFormat::gguf: return write_gguf(plan, path, progress);
    case FileFormat::rwkvcpp: return write_rwkvcpp(plan, path, progress);
  }
}

RWKV_API std::vector<DType> block_types(FileFormat format) {
  std::vector<DType> result;
  const auto add = [&result](const auto& types) {
    for (const auto& type : types) {
      const std::optional<DType> dtype = type.dtype;
      if (dtype && info(*dtype).block_elements > 1) result.push_back(*dtype);
    }
  };
  if (format == FileFormat::gguf) add(detail::gguf_types);
  if (format == FileFormat::rwkvcpp) add(detail::rwkvcpp_types);
  return result;
}

RWKV_NAMESPACE_END
#endif
