// SPDX-License-Identifier: MIT
// Files that are no model, or none that is read: called by their name.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// A kind of file that people pass by mistake, or that is not read yet.
struct ForeignFile {
  std::size_t offset;
  std::string_view bytes;
  std::string_view what;
  std::string_view hint;
  bool could_hold_a_model;  ///< UnsupportedError instead of FormatError
};

inline constexpr std::string_view other_hint = "Use the .pth or .safetensors file.";
inline constexpr std::string_view unpack_hint = "Unpack it first.";
inline constexpr std::string_view download_hint = "The download was an error page: download the file again.";
inline constexpr std::string_view bare_pickle = "a bare Python pickle, not a checkpoint of torch.save";
inline constexpr ForeignFile foreign_files[] = {
    {0, "lmgg", "a file of an old ggml format (ggml)", other_hint, true},
    {0, "tjgg", "a file of an old ggml format (ggjt)", other_hint, true},
    {0, "algg", "a file of an old ggml format (ggla)", other_hint, true},
    {0, "\x1f\x8b", "a gzip archive", unpack_hint, true},
    {0, "\xfd\x37zXZ", "an xz archive", unpack_hint, true},
    {0, "\x28\xb5\x2f\xfd", "a zstd archive", unpack_hint, true},
    {0, "BZh", "a bzip2 archive", unpack_hint, true},
    {0, "7z\xbc\xaf", "a 7z archive", unpack_hint, true},
    {257, "ustar", "a tar archive", unpack_hint, true},
    {0, "version https://git-lfs", "a git-lfs pointer, not the model itself", "Run `git lfs pull` in its folder.",
     false},
    {0, "<!doctype html", "an HTML page", download_hint, false},
    {0, "<html", "an HTML page", download_hint, false},
    {0, "<?xml", "an XML page", download_hint, false},
    {0, "PK\x05\x06", "an empty zip file", "", false},
    {0, "\x80\x02", bare_pickle, "", false},
    {0, "\x80\x03", bare_pickle, "", false},
    {0, "\x80\x04", bare_pickle, "", false},
    {0, "\x80\x05", bare_pickle, "", false},
};

/// Whether a file that begins with `text` is of that kind. Small letters of the signature stand for capitals, too.
[[nodiscard]] inline bool has_signature(std::string_view text, const ForeignFile& foreign) {
  if (text.size() < foreign.offset + foreign.bytes.size()) return false;
  return std::equal(foreign.bytes.begin(), foreign.bytes.end(), text.begin() + static_cast<Index>(foreign.offset),
                    [](char wanted, char found) {
                      return wanted == found || (found >= 'A' && found <= 'Z' && wanted == found - 'A' + 'a');
                    });
}

/// Whether a byte does not occur in text (UTF-8 or a relative of it).
[[nodiscard]] constexpr bool is_control(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte == 0x7f || (byte < 0x20 && c != '\t' && c != '\n' && c != '\r');
}

[[noreturn]] inline void refuse_as(const std::string& path, std::string_view what, std::string_view hint) {
  throw FormatError({.path = path, .problem = "not a model: " + std::string(what), .hint = std::string(hint)});
}

/// Says what a file is that no reader takes.
[[noreturn]] inline void refuse_file(const std::string& path, std::string_view bytes) {
  const std::string_view start = bytes.substr(0, 4096);
  for (const ForeignFile& foreign : foreign_files) {
    if (!has_signature(start, foreign)) continue;
    if (!foreign.could_hold_a_model) refuse_as(path, foreign.what, foreign.hint);
    throw UnsupportedError({.path = path, .problem = std::string(foreign.what), .hint = std::string(foreign.hint)});
  }
  if (bytes.empty()) refuse_as(path, "the file is empty", "Download or copy it again.");
  if (bytes.size() < 16) refuse_as(path, "the file is too short for one", "Download or copy it again.");
  if (start.find_first_not_of('\0') == std::string_view::npos) {
    refuse_as(path, "it begins with zeros", "Is the download complete?");
  }
  if (std::none_of(start.begin(), start.end(), is_control)) {
    const bool is_json = start.starts_with('{') || start.starts_with('[');
    refuse_as(path, is_json ? "a JSON file" : "a text file", "Pass the file that holds the weights.");
  }
  refuse_as(path, "a file of no known format", "Known are PyTorch (.pth), safetensors, GGUF and rwkv.cpp (.bin).");
}

}  // namespace detail

RWKV_NAMESPACE_END
