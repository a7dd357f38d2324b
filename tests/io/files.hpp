// SPDX-License-Identifier: MIT
// Small files made in memory, and the comparison of checkpoints.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/mapped_file.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/crc32.hpp"
#include "support/support.hpp"
#include "support/temporary_folder.hpp"

namespace rwkv_test {

/// The bytes of a number, as little-endian files have them.
template <class Number>
std::string number(Number value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}
inline std::string u16(std::uint16_t value) { return number(value); }
inline std::string u32(std::uint32_t value) { return number(value); }
inline std::string u64(std::uint64_t value) { return number(value); }

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// An entry of a zip file; what differs from the plain stored case can be set.
struct ZipPart {
  std::string name, data;
  std::uint16_t method = 0, flags = 0;
  std::uint32_t crc_error = 0;   // added to the right CRC
  std::uint64_t size_error = 0;  // added to both sizes in the directory
  bool is_zip64 = false;         // sizes and offset of the entry in the extra field
};

inline std::string make_zip(const std::vector<ZipPart>& parts, bool is_zip64 = false) {
  std::string file, directory;
  for (const ZipPart& part : parts) {
    const std::size_t offset = file.size();
    file += "PK\x03\x04" + std::string(22, '\0') + u16(static_cast<std::uint16_t>(part.name.size())) + u16(3) +
            part.name + "pad" + part.data;
    const std::uint64_t size = part.data.size() + part.size_error;
    const auto field = [&](std::uint64_t value) {
      return part.is_zip64 ? 0xffffffffu : static_cast<std::uint32_t>(value);
    };
    const std::string extra =
        part.is_zip64 ? "??" + u16(1) + "x" + u16(1) + u16(24) + u64(size) + u64(size) + u64(offset) : "";
    directory += "PK\x01\x02" + u32(0) + u16(part.flags) + u16(part.method) + u32(0) +
                 u32(rwkv::crc32(bytes_of(part.data)) + part.crc_error) + u32(field(size)) + u32(field(size)) +
                 u16(static_cast<std::uint16_t>(part.name.size())) + u16(static_cast<std::uint16_t>(extra.size())) +
                 u16(0) + std::string(8, '\0') + u32(field(offset)) + part.name + extra;
  }
  const std::size_t begin = file.size();
  file += directory;
  const auto field = [&](std::uint64_t value) { return is_zip64 ? 0xffffffffu : static_cast<std::uint32_t>(value); };
  if (is_zip64) {
    const std::size_t end64 = file.size();
    file += "PK\x06\x06" + u64(44) + u32(0) + u64(0) + u64(parts.size()) + u64(parts.size()) + u64(directory.size()) +
            u64(begin);
    file += "PK\x06\x07" + u32(0) + u64(end64) + u32(1);
  }
  const auto n = static_cast<std::uint16_t>(is_zip64 ? 0xffff : parts.size());
  return file + "PK\x05\x06" + u32(0) + u16(n) + u16(n) + u32(field(directory.size())) + u32(field(begin)) + u16(0);
}

// Opcodes of pickles.
inline std::string pickled_text(const std::string& text) {
  return "X" + u32(static_cast<std::uint32_t>(text.size())) + text;
}
inline std::string pickled_integer(std::int64_t value) { return "\x8a\x08" + number(value); }
inline std::string pickled_tuple(const std::vector<std::int64_t>& values) {
  std::string text = "(";
  for (const std::int64_t value : values) text += pickled_integer(value);
  return text + "t";
}
inline std::string pickled_global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
/// _rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())
inline std::string pickled_tensor(const std::string& storage_class, const std::string& key, std::int64_t n_elements,
                                  std::int64_t offset, const std::vector<std::int64_t>& shape,
                                  const std::vector<std::int64_t>& strides, bool is_legacy = false) {
  return pickled_global("torch._utils", "_rebuild_tensor_v2") + "((" + pickled_text("storage") +
         pickled_global("torch", storage_class) + pickled_text(key) + pickled_text("cpu") +
         pickled_integer(n_elements) + (is_legacy ? "N" : "") + "tQ" + pickled_integer(offset) + pickled_tuple(shape) +
         pickled_tuple(strides) + "\x89" + pickled_global("collections", "OrderedDict") + ")RtR";
}

inline std::shared_ptr<const rwkv::MappedFile> map(const std::string& path) {
  return std::make_shared<const rwkv::MappedFile>(path);
}

inline std::string_view bytes_of(const rwkv::TensorView& tensor) {
  return {reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.n_bytes())};
}

inline bool same_tensor(const rwkv::TensorView& a, const rwkv::TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && bytes_of(a) == bytes_of(b);
}

/// The first name of `expected` that `found` lacks or holds otherwise, or "".
inline std::string first_difference(const rwkv::Checkpoint& found, const rwkv::Checkpoint& expected) {
  for (const auto& [name, tensor] : expected.entries()) {
    const rwkv::TensorView* other = found.find(name);
    if (other == nullptr) return name + " is missing";
    if (!same_tensor(*other, tensor)) return name + " differs";
  }
  return "";
}

/// Whether both hold the same tensors, in any order.
inline void check_same(const rwkv::Checkpoint& found, const rwkv::Checkpoint& expected) {
  CHECK(first_difference(found, expected) == "");
  CHECK(found.entries().size() == expected.entries().size());
}

}  // namespace rwkv_test
