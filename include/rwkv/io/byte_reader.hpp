// SPDX-License-Identifier: MIT
// Reads little-endian numbers from bytes that nobody has checked yet.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

static_assert(std::endian::native == std::endian::little, "rwkv: big-endian machines are not supported");

/// The bytes of a file as text.
[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A position in untrusted bytes that only moves forward and never past the end. `path` and `item` say in messages what
/// is being read; their text and the bytes must outlive the reader.
class ByteReader {
public:
  ByteReader(std::string_view path, std::string_view item, std::span<const std::byte> bytes) noexcept
      : path_(path), item_(item), bytes_(bytes) {}

  [[nodiscard]] std::string_view path() const noexcept { return path_; }
  [[nodiscard]] std::string_view item() const noexcept { return item_; }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  /// The bytes that are not read yet.
  [[nodiscard]] std::span<const std::byte> rest() const noexcept { return bytes_.subspan(position_); }

  /// The next n bytes. Throws FormatError if there are fewer; n may be anything a file can say.
  std::span<const std::byte> take(std::uint64_t n) {
    if (n > rest().size()) {
      throw FormatError({.path = path_,
                         .item = item_,
                         .problem = "ends too early, at byte " + std::to_string(bytes_.size()),
                         .expected = std::to_string(n) + " more bytes at byte " + std::to_string(position_),
                         .found = std::to_string(rest().size()),
                         .hint = "Was the file cut short?"});
    }
    const auto taken = rest().first(static_cast<std::size_t>(n));
    position_ += taken.size();
    return taken;
  }

  /// The next n bytes as text. Throws FormatError if there are fewer.
  [[nodiscard]] std::string_view text(std::uint64_t n) { return as_text(take(n)); }

  /// The next number. Throws FormatError if the bytes end before it.
  template <class Number>
  [[nodiscard]] Number read() {
    static_assert(std::is_arithmetic_v<Number>);
    return detail::load_unaligned<Number>(take(sizeof(Number)).data());
  }

private:
  std::string_view path_, item_;
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
};

RWKV_NAMESPACE_END
