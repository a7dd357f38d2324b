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
/// them: without the prefixes that training frameworks put before every name, and without what converters changed.
///
/// Throws IoError if the file cannot be read, FormatError if it is damaged or no model (and says what it is),
/// UnsupportedError if it may be a model but is not read yet.
[[nodiscard]] RWKV_API Checkpoint open_checkpoint(const std::string& path, const OpenOptions& options = {});

/// The same for a file that is in memory already, such as a resource of the program. The bytes stay where they are and
/// must outlive all that is made of the Checkpoint; messages call them `name`.
[[nodiscard]] RWKV_API Checkpoint open_checkpoint(std::span<const std::byte> bytes, const std::string& name,
                                                  const OpenOptions& options = {});

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <memory>
#include <string_view>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/io/gguf_official.hpp"
#include "rwkv/io/pth.hpp"
#include "rwkv/io/rwkvcpp.hpp"
#include "rwkv/io/safetensors.hpp"
#include "rwkv/io/web_rwkv.hpp"

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

/// Whether the file begins as safetensors files do: with the length of the header, a number of 64 bits that would be
/// too large if it read as text, and the header.
[[nodiscard]] inline bool is_safetensors(std::string_view bytes) {
  const std::string_view length = bytes.substr(0, 8);
  const bool is_number =
      std::any_of(length.begin(), length.end(), [](char c) { return is_control(c) || (c & 0x80) != 0; });
  return is_number && bytes.substr(length.size()).starts_with('{');
}

/// The prefix that wrappers of PyTorch put before all names of a model, or "".
[[nodiscard]] inline std::string_view common_prefix(const Checkpoint& checkpoint) {
  constexpr std::string_view prefixes[] = {"_forward_module.", "module.", "model.", "_orig_mod.", "base_model.model."};
  const auto& entries = checkpoint.entries();
  const auto starts_official = [](const Checkpoint::Entry& entry) {
    const std::string_view name = entry.name;
    return name.starts_with("blocks.") || name == "emb.weight" || name == "tok_emb.weight";
  };
  if (std::any_of(entries.begin(), entries.end(), starts_official)) return "";
  for (const std::string_view prefix : prefixes) {
    // Only these names decide: others (buffers, `model.layers.` of other libraries) may have it or not.
    bool is_common = false;
    for (const auto& [name, tensor] : entries) {
      if (name.find("blocks.") == std::string::npos && name.find("emb.") == std::string::npos) continue;
      is_common = name.starts_with(prefix);
      if (!is_common) break;
    }
    if (is_common) return prefix;
  }
  return "";
}

/// The checkpoint with the names of the model itself: without "module.", "_orig_mod." and the like.
[[nodiscard]] inline Checkpoint strip_prefixes(Checkpoint checkpoint) {
  for (std::string_view prefix = common_prefix(checkpoint); !prefix.empty(); prefix = common_prefix(checkpoint)) {
    checkpoint = checkpoint.transformed([prefix](Checkpoint::Entry entry) {
      if (entry.name.starts_with(prefix)) entry.name.erase(0, prefix.size());
      return entry;
    });
  }
  return checkpoint;
}

[[nodiscard]] inline Checkpoint read_checkpoint(const std::shared_ptr<const MappedFile>& file,
                                                const OpenOptions& options) {
  const std::string_view bytes = as_text(file->bytes());
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with(legacy_pth_magic)) {
    return strip_prefixes(read_pth(file, options));
  }
  if (bytes.starts_with("fmgg")) return read_rwkvcpp(file);
  if (bytes.starts_with("GGUF")) return read_gguf(file);
  if (is_safetensors(bytes)) return from_web_rwkv(strip_prefixes(read_safetensors(file)));
  refuse_file(file->path(), bytes);
}

}  // namespace detail

RWKV_API Checkpoint open_checkpoint(const std::string& path, const OpenOptions& options) {
  return detail::read_checkpoint(std::make_shared<const MappedFile>(path), options);
}

RWKV_API Checkpoint open_checkpoint(std::span<const std::byte> bytes, const std::string& name,
                                    const OpenOptions& options) {
  return detail::read_checkpoint(std::make_shared<const MappedFile>(bytes, name), options);
}

RWKV_NAMESPACE_END
#endif
