// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: how stored numbers become numbers.
//
// A Stored type has `block` numbers in `size` bytes. Single numbers are read by load(). Blocks of ggml
// (core/blocks.hpp) have a Header, what is worked out once for a block, and Groups of 32 numbers, whose lane(j) is the
// j-th register. A number is code * scale + offset, with one rounding, as the products are exact: the values are those
// of the formats to the last bit.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

struct StoredF32 {
  static constexpr Index block = 1, size = 4;
  RWKV_INLINE static Lanes load(const std::byte* from) noexcept { return Lanes::load_f32(from); }
};
struct StoredF16 {
  static constexpr Index block = 1, size = 2;
  RWKV_INLINE static Lanes load(const std::byte* from) noexcept { return Lanes::load_f16(from); }
};
struct StoredBF16 {
  static constexpr Index block = 1, size = 2;
  RWKV_INLINE static Lanes load(const std::byte* from) noexcept { return Lanes::load_bf16(from); }
};
struct StoredF64 {
  static constexpr Index block = 1, size = 8;
  RWKV_INLINE static Lanes load(const std::byte* from) noexcept { return Lanes::load_f64(from); }
};

inline constexpr Index group_size = 32;
inline constexpr int group_lanes = static_cast<int>(group_size / Lanes::count);

/// Blocks of one group, for which nothing is worked out before.
struct BlockStart {
  const std::byte* from;
  RWKV_INLINE BlockStart(const std::byte* block) noexcept : from(block) {}
};

struct StoredQ8_0 {
  static constexpr Index block = 32, size = 34;
  using Header = BlockStart;
  struct Group {
    const std::byte* from;
    Lanes scale;
    RWKV_INLINE Group(const Header& header, int) noexcept : from(header.from), scale(Lanes::set_f16(from)) {}
    RWKV_INLINE Lanes lane(int j) const noexcept {
      return Bytes::load(from + 2 + j * Lanes::count).from_signed() * scale;
    }
  };
};

/// The j-th register of the 32 codes in the halves of 16 bytes: 16 low ones, then 16 high ones.
RWKV_INLINE Bytes nibbles(const std::byte* from, int j) noexcept {
  const int i = j * static_cast<int>(Lanes::count);
  return Bytes::load(from + i % 16).field(i < 16 ? 0 : 4, 15);
}

/// The numbers of 32 such codes, for instruction sets that know nothing better.
struct Codes4ByArithmetic {
  const std::byte* from;
  Lanes scale, offset;

  /// code scale + offset
  RWKV_INLINE Codes4ByArithmetic(const std::byte* codes, Lanes by, Lanes and_then) noexcept
      : from(codes), scale(by), offset(and_then) {}
  /// (code + first) scale
  RWKV_INLINE Codes4ByArithmetic(const std::byte* codes, Lanes by, int first) noexcept
      : from(codes), scale(by), offset(by * Lanes::set(static_cast<Scalar>(first))) {}
  RWKV_INLINE Lanes lane(int j) const noexcept { return Lanes::fma(nibbles(from, j).from_unsigned(), scale, offset); }
};

struct StoredQ4_0 {
  static constexpr Index block = 32, size = 18;
  using Header = BlockStart;
  struct Group : Codes4 {
    RWKV_INLINE Group(const Header& header, int) noexcept : Codes4(header.from + 2, Lanes::set_f16(header.from), -8) {}
  };
};

struct StoredQ4_1 {
  static constexpr Index block = 32, size = 20;
  using Header = BlockStart;
  struct Group : Codes4 {
    RWKV_INLINE Group(const Header& header, int) noexcept
        : Codes4(header.from + 4, Lanes::set_f16(header.from), Lanes::set_f16(header.from + 2)) {}
  };
};

/// q5_0, q5_1: fifth bits apart
template <bool has_minimum>
struct StoredQ5 {
  static constexpr Index block = 32, high_at = has_minimum ? 4 : 2, size = high_at + 20;
  using Header = BlockStart;
  struct Group {
    const std::byte* from;
    Lanes scale, offset;
    std::uint32_t high;
    RWKV_INLINE Group(const Header& header, int) noexcept
        : from(header.from),
          scale(Lanes::set_f16(from)),
          offset(has_minimum ? Lanes::set_f16(from + 2) : scale * Lanes::set(-16)) {
      std::memcpy(&high, from + high_at, sizeof(high));
    }
    RWKV_INLINE Lanes lane(int j) const noexcept {
      const Bytes codes = nibbles(from + high_at + 4, j) | Bytes::where_bit(high >> (j * Lanes::count), 16);
      return Lanes::fma(codes.from_unsigned(), scale, offset);
    }
  };
};

struct StoredIQ4_NL {
  static constexpr Index block = 32, size = 18;
  using Header = BlockStart;
  struct Group {
    const std::byte* from;
    Lanes scale;
    RWKV_INLINE Group(const Header& header, int) noexcept : from(header.from), scale(Lanes::set_f16(from)) {}
    RWKV_INLINE Lanes lane(int j) const noexcept {
      return nibbles(from + 2, j).in_table(iq4_values).from_signed() * scale;
    }
  };
};

/// Of q4_k and q5_k: the scales and offsets of their 8 groups.
struct HeaderK {
  const std::byte* from;
  Scalar scale[8], offset[8];
  RWKV_INLINE HeaderK(const std::byte* block) noexcept : from(block) {
    std::uint32_t a, b, c;  // GroupScales::packed
    std::memcpy(&a, from + 4, sizeof(a));
    std::memcpy(&b, from + 8, sizeof(b));
    std::memcpy(&c, from + 12, sizeof(c));
    const Scalar d = Lanes::set_f16(from).first(), d_min = -Lanes::set_f16(from + 2).first();
    const std::uint32_t bits[2] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)};
    const std::uint32_t min_bits[2] = {b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)};
    for (int g = 0; g < 8; ++g) {
      scale[g] = d * static_cast<Scalar>(static_cast<int>(bits[g / 4] >> (g % 4 * 8) & 63));
      offset[g] = d_min * static_cast<Scalar>(static_cast<int>(min_bits[g / 4] >> (g % 4 * 8) & 63));
    }
  }
};

struct StoredQ4_K {
  static constexpr Index block = 256, size = 144;
  using Header = HeaderK;
  struct Group {
    const std::byte* from;
    int shift;
    Lanes scale, offset;
    RWKV_INLINE Group(const Header& header, int group) noexcept
        : from(header.from + 16 + group / 2 * 32),
          shift(group % 2 * 4),
          scale(Lanes::set(header.scale[group])),
          offset(Lanes::set(header.offset[group])) {}
    RWKV_INLINE Lanes lane(int j) const noexcept {
      return Lanes::fma(Bytes::load(from + j * Lanes::count).field(shift, 15).from_unsigned(), scale, offset);
    }
  };
};

struct StoredQ5_K {
  static constexpr Index block = 256, size = 176;
  using Header = HeaderK;
  struct Group {
    const std::byte *low, *high;
    int group;
    Lanes scale, offset;
    RWKV_INLINE Group(const Header& header, int group_) noexcept
        : low(header.from + 48 + group_ / 2 * 32),
          high(header.from + 16),
          group(group_),
          scale(Lanes::set(header.scale[group_])),
          offset(Lanes::set(header.offset[group_])) {}
    RWKV_INLINE Lanes lane(int j) const noexcept {
      const Bytes four = Bytes::load(low + j * Lanes::count).field(group % 2 * 4, 15);
      const Bytes fifth = Bytes::load(high + j * Lanes::count).field(group, 1).times16();
      return Lanes::fma((four | fifth).from_unsigned(), scale, offset);
    }
  };
};

struct StoredQ6_K {
  static constexpr Index block = 256, size = 210;
  struct Header {
    const std::byte* from;
    Scalar scale[16];  // of 16 numbers each
    RWKV_INLINE Header(const std::byte* block_) noexcept : from(block_) {
      const Lanes d = Lanes::set_f16(from + 208);
      for (Index k = 0; k < 16; k += Lanes::count) (Bytes::load(from + 192 + k).from_signed() * d).store(scale + k);
    }
  };
  struct Group {
    const std::byte *low, *high;
    int part;
    Lanes scale[2], offset[2];
    RWKV_INLINE Group(const Header& header, int group) noexcept
        : low(header.from + group / 4 * 64 + group % 2 * 32),
          high(header.from + 128 + group / 4 * 32),
          part(group % 4) {
      for (int k = 0; k < 2; ++k) {
        scale[k] = Lanes::set(header.scale[2 * group + k]);
        offset[k] = scale[k] * Lanes::set(-32);
      }
    }
    RWKV_INLINE Lanes lane(int j) const noexcept {
      const Index at = j * Lanes::count;
      const Bytes four = Bytes::load(low + at).field(part / 2 * 4, 15);
      const Bytes two = Bytes::load(high + at).field(2 * part, 3).times16();
      return Lanes::fma((four | two).from_unsigned(), scale[at / 16], offset[at / 16]);
    }
  };
};

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
