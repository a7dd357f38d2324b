// SPDX-License-Identifier: MIT
#include "rwkv/io/crc32.hpp"

#include <string_view>

#include "support/support.hpp"

using namespace rwkv;

namespace {

// The definition, bit by bit.
std::uint32_t slow_crc32(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

}  // namespace

TEST_SUITE_BEGIN("io/crc32");

TEST_CASE("the check value of the catalogue of CRCs") {
  // CRC-32/ISO-HDLC in Greg Cook's catalogue: the CRC of these nine digits.
  CHECK(crc32(std::as_bytes(std::span(std::string_view("123456789")))) == 0xcbf43926u);
  CHECK(crc32({}) == 0);
}

TEST_CASE("every length and alignment agrees with the definition") {
  std::vector<std::byte> bytes(1000);
  Random random(1);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next() & 255u);
  for (std::size_t begin = 0; begin < 17; ++begin) {
    for (std::size_t size = 0; begin + size <= 70; ++size) {
      const auto part = std::span<const std::byte>(bytes).subspan(begin, size);
      REQUIRE(crc32(part) == slow_crc32(part));
    }
  }
  for (std::size_t size = 70; size <= bytes.size(); ++size) {  // with and without special instructions
    const auto part = std::span<const std::byte>(bytes).first(size);
    REQUIRE(crc32(part) == slow_crc32(part));
    REQUIRE(~detail::crc32_by_tables(0xffffffffu, part) == slow_crc32(part));
  }
}

TEST_SUITE_END();
