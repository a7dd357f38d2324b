// SPDX-License-Identifier: MIT
// CRC-32 of zip and gzip: polynomial 0x04c11db7, bits reflected, all ones at the start and inverted at the end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline constexpr std::size_t crc32_stride = 16;  // bytes handled at once, each with a table of its own

using Crc32Tables = std::array<std::array<std::uint32_t, 256>, crc32_stride>;

/// Table t holds the effect of a byte that is followed by t zero bytes. Made when it is first used: in a compiler they
/// take half a second.
[[nodiscard]] inline Crc32Tables make_crc32_tables() noexcept {
  Crc32Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
    tables[0][byte] = crc;
  }
  for (std::size_t t = 1; t < crc32_stride; ++t) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t crc = tables[t - 1][byte];
      tables[t][byte] = (crc >> 8) ^ tables[0][crc & 255u];
    }
  }
  return tables;
}

}  // namespace detail

/// The CRC-32 of the bytes, 16 at a time (Kounavis and Berry, "A systematic approach to building high performance,
/// software-based CRC generators", 2005).
[[nodiscard]] inline std::uint32_t crc32(std::span<const std::byte> bytes) noexcept {
  static const detail::Crc32Tables tables = detail::make_crc32_tables();
  // The effect of four bytes that are followed by `after` more.
  const auto word = [](std::uint32_t four, std::size_t after) {
    return tables[after + 3][four & 255u] ^ tables[after + 2][(four >> 8) & 255u] ^
           tables[after + 1][(four >> 16) & 255u] ^ tables[after][four >> 24];
  };
  const auto load = detail::load_unaligned<std::uint32_t>;
  std::uint32_t crc = 0xffffffffu;
  for (; bytes.size() >= detail::crc32_stride; bytes = bytes.subspan(detail::crc32_stride)) {
    const std::byte* const data = bytes.data();
    crc = word(crc ^ load(data), 12) ^ word(load(data + 4), 8) ^ word(load(data + 8), 4) ^ word(load(data + 12), 0);
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<std::uint32_t>(byte)) & 255u];
  }
  return ~crc;
}

RWKV_NAMESPACE_END
