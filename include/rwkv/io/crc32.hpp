// SPDX-License-Identifier: MIT
// CRC-32 of zip and gzip: polynomial 0x04c11db7, bits reflected, all ones at the start and inverted at the end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rwkv/core/linkage.hpp"
#include "rwkv/core/tensor.hpp"

#if RWKV_HAS_X86
#include <immintrin.h>
#endif

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

/// Goes on from a CRC (not inverted) over more bytes, 16 at a time (Kounavis and Berry, "A systematic approach to
/// building high performance, software-based CRC generators", 2005).
[[nodiscard]] inline std::uint32_t crc32_by_tables(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
  static const Crc32Tables tables = make_crc32_tables();
  // The effect of four bytes that are followed by `after` more.
  const auto word = [](std::uint32_t four, std::size_t after) {
    return tables[after + 3][four & 255u] ^ tables[after + 2][(four >> 8) & 255u] ^
           tables[after + 1][(four >> 16) & 255u] ^ tables[after][four >> 24];
  };
  const auto load = load_unaligned<std::uint32_t>;
  for (; bytes.size() >= crc32_stride; bytes = bytes.subspan(crc32_stride)) {
    const std::byte* const data = bytes.data();
    crc = word(crc ^ load(data), 12) ^ word(load(data + 4), 8) ^ word(load(data + 8), 4) ^ word(load(data + 12), 0);
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<std::uint32_t>(byte)) & 255u];
  }
  return crc;
}

#if RWKV_HAS_X86
/// The same for n bytes, a multiple of 64, with products of polynomials: whole registers are folded onto later ones
/// (Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ instruction", Intel 2009, whose
/// constants these are: powers of x modulo the polynomial).
__attribute__((target("pclmul,sse4.1"))) inline std::uint32_t crc32_by_folding(std::uint32_t crc, const std::byte* data,
                                                                               std::size_t n) noexcept {
  const __m128i by_four = _mm_set_epi64x(0x1c6e41596, 0x154442bd4), by_one = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
  __m128i parts[4];
  for (int i = 0; i < 4; ++i) parts[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i);
  parts[0] = _mm_xor_si128(parts[0], _mm_cvtsi32_si128(static_cast<int>(crc)));
  for (std::size_t at = 64; at < n; at += 64) {
    for (int i = 0; i < 4; ++i) {
      const __m128i next = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + at) + i);
      const __m128i low = _mm_clmulepi64_si128(parts[i], by_four, 0x00);
      const __m128i high = _mm_clmulepi64_si128(parts[i], by_four, 0x11);
      parts[i] = _mm_xor_si128(_mm_xor_si128(low, high), next);
    }
  }
  for (int i = 1; i < 4; ++i) {
    const __m128i low = _mm_clmulepi64_si128(parts[i - 1], by_one, 0x00);
    const __m128i high = _mm_clmulepi64_si128(parts[i - 1], by_one, 0x11);
    parts[i] = _mm_xor_si128(_mm_xor_si128(low, high), parts[i]);
  }
  std::byte last[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(last), parts[3]);
  return crc32_by_tables(0, last);
}
#endif

}  // namespace detail

/// The CRC-32 of the bytes, or of all bytes of which the CRC-32 of those before is `before`.
[[nodiscard]] inline std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept {
  std::uint32_t crc = ~before;
#if RWKV_HAS_X86
  if (bytes.size() >= 64 && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")) {
    const std::size_t n = bytes.size() / 64 * 64;
    crc = detail::crc32_by_folding(crc, bytes.data(), n);
    bytes = bytes.subspan(n);
  }
#endif
  return ~detail::crc32_by_tables(crc, bytes);
}

RWKV_NAMESPACE_END
