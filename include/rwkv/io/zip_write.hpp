// SPDX-License-Identifier: MIT
// Zip files with stored entries, as PyTorch writes and reads them (PKWARE APPNOTE 6.3, zip64 where it is needed).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/io/atomic_file.hpp"
#include "rwkv/io/crc32.hpp"

RWKV_NAMESPACE_BEGIN

/// Writes entry after entry; the directory comes at the end. Data begins at multiples of 64, as in PyTorch's files, so
/// that it can be mapped.
///
/// Sizes and checksum stand behind the data and in the directory, and not before the data (bit 3 of the flags): they
/// are not known when it begins. There are no dates: the same entries give the same bytes.
class ZipWriter {
public:
  /// Sizes and offsets from `large` on are written in the fields of zip64 alone.
  explicit ZipWriter(std::string path, std::uint64_t large = no_number) : file_(std::move(path)), large_(large) {}

  /// Adds an entry. `fill` calls its argument with the bytes of the data, in as many pieces as it likes.
  /// Throws what AtomicFile::write throws.
  void add(std::string_view name, FunctionRef<void(FunctionRef<void(std::span<const std::byte>)>)> fill) {
    constexpr std::uint64_t header_size = 30, extra_head = 4, alignment = 64;
    Entry entry{std::string(name), position_, 0, 0};
    const std::uint64_t before = position_ + header_size + name.size() + extra_head;
    const std::string padding((alignment - before % alignment) % alignment, 'Z');
    Bytes header("PK\3\4");
    header.u16(0).u16(flags).u16(0).u32(0).u32(0).u32(0).u32(0);
    header.u16(name.size()).u16(extra_head + padding.size());
    header.text += entry.name + "FB";  // the extra field of PyTorch that does nothing
    header.u16(padding.size());
    put(header.text + padding);
    fill([&](std::span<const std::byte> bytes) {
      file_.write(bytes);
      position_ += bytes.size();
      entry.size += bytes.size();
      entry.crc = crc32(bytes, entry.crc);
    });
    Bytes descriptor("PK\7\x8");
    descriptor.u32(entry.crc);
    if (entry.size >= large_) {
      descriptor.u64(entry.size).u64(entry.size);
    } else {
      descriptor.u32(entry.size).u32(entry.size);
    }
    put(descriptor.text);
    entries_.push_back(std::move(entry));
  }

  void add(std::string_view name, std::string_view data) {
    add(name, [data](FunctionRef<void(std::span<const std::byte>)> write) { write(std::as_bytes(std::span(data))); });
  }

  /// Writes the directory and gives the file its name.
  void commit() {
    const std::uint64_t begin = position_;
    for (const Entry& entry : entries_) put(directory_entry(entry));
    const std::uint64_t end = position_, n = entries_.size();
    Bytes tail("PK\6\6");  // always in zip64 form, too, as PyTorch's
    tail.u64(44).u16(version).u16(version).u32(0).u32(0).u64(n).u64(n).u64(end - begin).u64(begin);
    tail.text += "PK\6\7";
    tail.u32(0).u64(end).u32(1);
    tail.text += "PK\5\6";
    tail.u16(0).u16(0).u16(std::min<std::uint64_t>(n, 0xffff)).u16(std::min<std::uint64_t>(n, 0xffff));
    tail.u32(old_field(end - begin)).u32(old_field(begin)).u16(0);
    put(tail.text);
    file_.commit();
  }

private:
  static constexpr std::uint64_t no_number = 0xffffffff;  // in the old fields: those of zip64 have it
  static constexpr std::uint16_t version = 45;            // that of the format which has zip64
  static constexpr std::uint16_t flags = 0x0808;          // sizes behind the data, names in UTF-8

  struct Entry {
    std::string name;
    std::uint64_t offset, size;
    std::uint32_t crc;
  };

  /// Little-endian numbers, as they grow.
  struct Bytes {
    explicit Bytes(std::string_view start) : text(start) {}
    Bytes& u16(std::uint64_t value) { return put(static_cast<std::uint16_t>(value)); }
    Bytes& u32(std::uint64_t value) { return put(static_cast<std::uint32_t>(value)); }
    Bytes& u64(std::uint64_t value) { return put(value); }
    std::string text;

  private:
    template <class Number>
    Bytes& put(Number number) {
      const auto bytes = std::bit_cast<std::array<char, sizeof(Number)>>(number);
      text.append(bytes.data(), bytes.size());
      return *this;
    }
  };

  [[nodiscard]] std::uint64_t old_field(std::uint64_t number) const { return number >= large_ ? no_number : number; }

  [[nodiscard]] std::string directory_entry(const Entry& entry) const {
    Bytes large("");  // what does not fit into 32 bits, in this order
    if (entry.size >= large_) large.u64(entry.size).u64(entry.size);
    if (entry.offset >= large_) large.u64(entry.offset);
    Bytes extra("");
    if (!large.text.empty()) extra.u16(1).u16(large.text.size()).text += large.text;
    Bytes record("PK\1\2");
    const std::uint64_t size = old_field(entry.size);
    record.u16(0).u16(extra.text.empty() ? 0 : version).u16(flags).u16(0).u32(0).u32(entry.crc).u32(size).u32(size);
    record.u16(entry.name.size()).u16(extra.text.size()).u16(0).u16(0).u16(0).u32(0);
    record.u32(old_field(entry.offset));
    return record.text + entry.name + extra.text;
  }

  void put(std::string_view text) {
    file_.write(text);
    position_ += text.size();
  }

  AtomicFile file_;
  std::uint64_t large_;
  std::uint64_t position_ = 0;
  std::vector<Entry> entries_;
};

RWKV_NAMESPACE_END
