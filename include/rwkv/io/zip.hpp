// SPDX-License-Identifier: MIT
// The directory of a zip file whose entries are stored, as PyTorch writes them (PKWARE APPNOTE 6.3, zip64 included).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/sorted_order.hpp"
#include "rwkv/io/byte_reader.hpp"
#include "rwkv/io/crc32.hpp"

RWKV_NAMESPACE_BEGIN

struct ZipEntry {
  std::string_view name;            ///< in the file
  std::span<const std::byte> data;  ///< in the file, compressed if `method` is not 0
  std::uint64_t size = 0;           ///< once decompressed
  std::uint64_t header_offset = 0;  ///< where the entry begins; `data` follows its local header
  std::uint32_t crc = 0;            ///< CRC-32 of the decompressed data
  std::uint16_t method = 0;
  bool is_encrypted = false;
};

/// The entries of a zip file. A view: the bytes must outlive it. All methods are const.
class ZipArchive {
public:
  /// Reads the directory, and of each entry where its data begins. Sizes come from the directory alone, because PyTorch
  /// writes zeros in the local headers. Data is not read. `path` is for messages.
  ///
  /// Throws FormatError unless all entries lie in the file, do not overlap, and have different names without "..";
  /// UnsupportedError if the archive is spread over several files.
  ZipArchive(std::string path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {
    const Directory directory = find_directory();
    ByteReader reader(path_, "zip directory", bytes_.subspan(directory.offset, directory.size));
    for (std::uint64_t i = 0; i < directory.n_entries; ++i) entries_.push_back(read_entry(reader, directory.offset));
    check_overlaps();
    sort_by_name();
  }

  /// Sorted by name.
  [[nodiscard]] const std::vector<ZipEntry>& entries() const noexcept { return entries_; }

  /// The entry of that name, or null.
  [[nodiscard]] const ZipEntry* find(std::string_view name) const noexcept {
    const auto entry =
        std::lower_bound(entries_.begin(), entries_.end(), name,
                         [](const ZipEntry& each, std::string_view wanted) { return each.name < wanted; });
    return entry != entries_.end() && entry->name == name ? &*entry : nullptr;
  }

  /// The data of an entry, in place. Throws UnsupportedError if it is compressed or encrypted.
  [[nodiscard]] std::span<const std::byte> stored(const ZipEntry& entry) const {
    if (entry.is_encrypted) {
      throw UnsupportedError({.path = path_, .item = item(entry), .problem = "is encrypted"});
    }
    if (entry.method != 0) {
      throw UnsupportedError({.path = path_,
                              .item = item(entry),
                              .problem = "is compressed",
                              .expected = "zip method 0 (stored)",
                              .found = std::to_string(entry.method) + (entry.method == 8 ? " (deflated)" : ""),
                              .hint = "PyTorch never compresses; unpack the file and zip it again with `zip -0 -r`."});
    }
    if (entry.size != entry.data.size()) {
      fail(item(entry), "has two sizes", std::to_string(entry.data.size()), std::to_string(entry.size));
    }
    return entry.data;
  }

  /// Throws FormatError if the data of a stored entry does not have the CRC-32 of the directory.
  void verify(const ZipEntry& entry) const {
    const std::uint32_t found = crc32(stored(entry));
    if (found == entry.crc) return;
    throw FormatError(
        {.path = path_,
         .item = item(entry),
         .problem = "the CRC-32 of its data does not match, the file is damaged",
         .expected = std::to_string(entry.crc),
         .found = std::to_string(found),
         .hint = "If it was written without checksums on purpose, turn OpenOptions::verify_checksums off."});
  }

private:
  struct Directory {
    std::uint64_t n_entries, size, offset;
  };

  static constexpr std::uint32_t end_signature = 0x06054b50, end64_signature = 0x06064b50;
  static constexpr std::uint32_t locator_signature = 0x07064b50, entry_signature = 0x02014b50;
  static constexpr std::uint32_t local_signature = 0x04034b50;
  static constexpr std::size_t end_size = 22, locator_size = 20, entry_size = 46;

  [[nodiscard]] static std::string item(const ZipEntry& entry) { return "zip entry " + in_quotes(entry.name); }

  [[noreturn]] void fail(std::string_view item, std::string_view problem, std::string_view expected = {},
                         std::string_view found = {}) const {
    throw FormatError({path_, item, problem, expected, found});
  }

  /// A reader of the record at that offset, behind its signature.
  [[nodiscard]] ByteReader record(std::string_view what, std::uint64_t offset, std::uint32_t signature) const {
    if (offset > bytes_.size())
      fail(std::string(what), "lies behind the end of the file, at byte " + std::to_string(offset));
    ByteReader reader(path_, what, bytes_);
    reader.take(offset);
    if (reader.read<std::uint32_t>() != signature) {
      fail(std::string(what), "is not at byte " + std::to_string(offset));
    }
    return reader;
  }

  /// The end record lies at the end of the file, before a comment of up to 65535 bytes.
  [[nodiscard]] std::size_t find_end_record() const {
    for (std::size_t comment = 0; comment <= 0xffff && end_size + comment <= bytes_.size(); ++comment) {
      const std::byte* const end = bytes_.data() + (bytes_.size() - end_size - comment);
      if (detail::load_unaligned<std::uint32_t>(end) == end_signature &&
          detail::load_unaligned<std::uint16_t>(end + 20) == comment) {
        return bytes_.size() - end_size - comment;
      }
    }
    throw FormatError({.path = path_,
                       .problem = "the end of the zip file is missing",
                       .hint = "It was cut short: download or copy it again."});
  }

  [[nodiscard]] Directory find_directory() const {
    const std::size_t end = find_end_record();
    ByteReader reader = record("zip end record", end, end_signature);
    std::uint32_t disk = reader.read<std::uint16_t>();
    reader.take(4);  // the disk of the directory, the entries on this disk
    Directory directory{};
    directory.n_entries = reader.read<std::uint16_t>();
    directory.size = reader.read<std::uint32_t>();
    directory.offset = reader.read<std::uint32_t>();

    const std::size_t before = end - std::min(end, locator_size);
    if (detail::load_unaligned<std::uint32_t>(bytes_.data() + before) == locator_signature) {
      ByteReader locator = record("zip64 locator", before, locator_signature);
      locator.take(4);
      ByteReader end64 = record("zip64 end record", locator.read<std::uint64_t>(), end64_signature);
      end64.take(12);  // its size, versions
      disk = end64.read<std::uint32_t>();
      end64.take(12);
      directory.n_entries = end64.read<std::uint64_t>();
      directory.size = end64.read<std::uint64_t>();
      directory.offset = end64.read<std::uint64_t>();
    }
    if (disk != 0) throw UnsupportedError({.path = path_, .problem = "the zip file is spread over several files"});
    if (directory.offset > end || directory.size > end - directory.offset) {
      fail("zip directory", "reaches past the end of the file");
    }
    if (directory.n_entries > directory.size / entry_size) {
      fail("zip directory", "is too short for its entries", std::to_string(directory.n_entries) + " entries",
           std::to_string(directory.size) + " bytes");
    }
    return directory;
  }

  [[nodiscard]] ZipEntry read_entry(ByteReader& reader, std::uint64_t directory_offset) const {
    if (reader.read<std::uint32_t>() != entry_signature) {
      fail("zip directory", "has no entry at byte " + std::to_string(directory_offset + reader.position() - 4));
    }
    ZipEntry entry;
    reader.take(4);  // versions
    entry.is_encrypted = (reader.read<std::uint16_t>() & 1u) != 0;
    entry.method = reader.read<std::uint16_t>();
    reader.take(4);  // time and date
    entry.crc = reader.read<std::uint32_t>();
    std::uint64_t stored_size = reader.read<std::uint32_t>();
    entry.size = reader.read<std::uint32_t>();
    const auto name_length = reader.read<std::uint16_t>();
    const auto extra_length = reader.read<std::uint16_t>();
    const auto comment_length = reader.read<std::uint16_t>();
    reader.take(8);  // disk, attributes
    entry.header_offset = reader.read<std::uint32_t>();
    entry.name = reader.text(name_length);
    ByteReader extra(path_, "zip64 sizes", reader.take(extra_length));
    reader.take(comment_length);
    read_zip64_sizes(extra, entry, stored_size);
    entry.data = find_data(entry, stored_size, directory_offset);
    return entry;
  }

  /// Fields of 0xffffffff have their value in the extra field 1: only those, in this order.
  static void read_zip64_sizes(ByteReader& extra, ZipEntry& entry, std::uint64_t& stored_size) {
    while (extra.rest().size() >= 4) {
      const auto tag = extra.read<std::uint16_t>();
      const auto length = extra.read<std::uint16_t>();
      ByteReader field(extra.path(), extra.item(), extra.take(length));
      if (tag != 1) continue;
      for (std::uint64_t* value : {&entry.size, &stored_size, &entry.header_offset}) {
        if (*value == 0xffffffffu) *value = field.read<std::uint64_t>();
      }
      return;
    }
  }

  /// The data follows the local header, whose name and padding have lengths of their own.
  [[nodiscard]] std::span<const std::byte> find_data(const ZipEntry& entry, std::uint64_t stored_size,
                                                     std::uint64_t directory_offset) const {
    if (entry.header_offset > directory_offset) fail(item(entry), "begins behind the zip directory");
    ByteReader reader = record("zip local header", entry.header_offset, local_signature);
    reader.take(22);
    const auto name_length = reader.read<std::uint16_t>();
    const auto extra_length = reader.read<std::uint16_t>();
    if (reader.text(name_length) != entry.name) fail(item(entry), "has another name in its local header");
    reader.take(extra_length);
    if (reader.position() > directory_offset || stored_size > directory_offset - reader.position()) {
      fail(item(entry), "reaches into the zip directory", "at most " + std::to_string(directory_offset) + " bytes",
           std::to_string(stored_size));
    }
    return reader.take(stored_size);
  }

  void check_overlaps() const {
    const auto order = sorted_order(entries_.size(), [this](std::size_t a, std::size_t b) {
      return entries_[a].header_offset < entries_[b].header_offset;
    });
    for (std::size_t i = 1; i < order.size(); ++i) {
      const ZipEntry &before = entries_[order[i - 1]], &entry = entries_[order[i]];
      const std::byte* const end = before.data.data() + before.data.size();
      if (end > bytes_.data() + entry.header_offset) fail(item(entry), "overlaps " + in_quotes(before.name));
    }
  }

  void sort_by_name() {
    entries_ = sorted_copy<ZipEntry>(entries_, [](const auto& a, const auto& b) { return a.name < b.name; });
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::string_view name = entries_[i].name;
      if (i > 0 && entries_[i - 1].name == name) fail(item(entries_[i]), "the name occurs twice");
      const std::string framed = "/" + std::string(name) + "/";
      if (framed.starts_with("//") || framed.find("/../") != std::string::npos) {
        fail(item(entries_[i]), "the name leads out of the archive");
      }
    }
  }

  std::string path_;
  std::span<const std::byte> bytes_;
  std::vector<ZipEntry> entries_;
};

RWKV_NAMESPACE_END
