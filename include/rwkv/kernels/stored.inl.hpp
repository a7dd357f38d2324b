// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: how stored numbers become numbers, 32 at a time.
//
// A Stored type says how many numbers a block has and how many bytes it takes. Its Header is what is worked out once
// for each `span` numbers; with it a Group of 32 numbers is read, whose lane(j) is the j-th register. In blocks of ggml
// (core/blocks.hpp) a number is code * scale + offset, with one rounding, as the products are exact: the values are
// those of the formats to the last bit.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

inline constexpr Index group_size = 32;
inline constexpr int group_lanes = static_cast<int>(group_size / Lanes::count);

/// Where nothing is worked out for more than a group.
struct NoHeader {
  RWKV_INLINE NoHeader(const std::byte*, Index) noexcept {}
};

/// Single numbers.
template <Index n_bytes, Lanes (*load)(const std::byte*) noexcept>
struct StoredNumbers {
  static constexpr Index block = 1, size = n_bytes, span = group_size;
  using Header = NoHeader;
  struct Group {
    const std::byte* from;
    RWKV_INLINE Group(const Header&, const std::byte* row, Index i) noexcept : from(row + i * size) {}
    RWKV_INLINE Lanes lane(int j) const noexcept { return load(from + j * Lanes::count * size); }
  };
};
using StoredF32 = StoredNumbers<4, Lanes::load_f32>;
using StoredF16 = StoredNumbers<2, Lanes::load_f16>;
using StoredBF16 = StoredNumbers<2, Lanes::load_bf16>;
using StoredF64 = StoredNumbers<8, Lanes::load_f64>;

struct StoredQ8_0 {
  static constexpr Index block = 32, size = 34, span = block;
  using Header = NoHeader;
  struct Group {
    const std::byte* from;
    Lanes scale;
    RWKV_INLINE Group(const Header&, const std::byte* row, Index i) noexcept
        : from(row + i / block * size), scale(Lanes::set_f16(from)) {}
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
  static constexpr Index block = 32, size = 18, span = block;
  using Header = NoHeader;
  struct Group : Codes4 {
    RWKV_INLINE Group(const Header&, const std::byte* row, Index i) noexcept
        : Codes4(row + i / block * size + 2, Lanes::set_f16(row + i / block * size), -8) {}
  };
};

struct StoredQ4_1 {
  static constexpr Index block = 32, size = 20, span = block;
  using Header = NoHeader;
  struct Group : Codes4 {
    RWKV_INLINE Group(const Header&, const std::byte* row, Index i) noexcept
        : Codes4(row + i / block * size + 4, Lanes::set_f16(row + i / block * size),
                 Lanes::set_f16(row + i / block * size + 2)) {}
  };
};

/// q5_0, q5_1: fifth bits apart
template <bool has_minimum>
struct StoredQ5 {
  static constexpr Index block = 32, high_at = has_minimum ? 4 : 2, size = high_at + 20, span = block;
  using Header = NoHeader;
  struct Group {
    const std::byte* from;
    Lanes scale, offset;
    std::uint32_t high;
    RWKV_INLINE Group(const Header&, const std::byte* row, Index i) noexcept
        : from(row + i / block * size),
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
  static constexpr Index block = 32, size = 18, span = block;
  using Header = NoHeader;
  struct Group {
    const std::byte* from;
    Lanes scale;
    RWKV_INLINE Group(const Header&, const std::byte* row, Index i) noexcept
        : from(row + i / block * size), scale(Lanes::set_f16(from)) {}
    RWKV_INLINE Lanes lane(int j) const noexcept {
      return nibbles(from + 2, j).in_table(iq4_values).from_signed() * scale;
    }
  };
};

/// The scales of the 8 groups of q4_k and q5_k.
struct HeaderK {
  Scalar scale[8], offset[8];
  RWKV_INLINE HeaderK(const std::byte* row, Index i, Index size) noexcept {
    const std::byte* const from = row + i / 256 * size;
    std::uint32_t a, b, c;  // GroupScales::packed
    std::memcpy(&a, from + 4, sizeof(a));
    std::memcpy(&b, from + 8, sizeof(b));
    std::memcpy(&c, from + 12, sizeof(c));
    const Scalar d = Lanes::set_f16(from).first(), d_min = -Lanes::set_f16(from + 2).first();
    const std::uint32_t bits[2] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)};
    const std::uint32_t min_bits[2] = {b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)};
    RWKV_UNROLL
    for (int g = 0; g < 8; ++g) {
      scale[g] = d * static_cast<Scalar>(static_cast<int>(bits[g / 4] >> (g % 4 * 8) & 63));
      offset[g] = d_min * static_cast<Scalar>(static_cast<int>(min_bits[g / 4] >> (g % 4 * 8) & 63));
    }
  }
};

struct StoredQ4_K {
  static constexpr Index block = 256, size = 144, span = block;
  struct Header : HeaderK {
    RWKV_INLINE Header(const std::byte* row, Index i) noexcept : HeaderK(row, i, size) {}
  };
  struct Group {
    const std::byte* from;
    int shift;
    Lanes scale, offset;
    RWKV_INLINE Group(const Header& header, const std::byte* row, Index i) noexcept
        : from(row + i / block * size + 16 + i % block / 64 * 32),
          shift(i % 64 < 32 ? 0 : 4),
          scale(Lanes::set(header.scale[i % block / 32])),
          offset(Lanes::set(header.offset[i % block / 32])) {}
    RWKV_INLINE Lanes lane(int j) const noexcept {
      return Lanes::fma(Bytes::load(from + j * Lanes::count).field(shift, 15).from_unsigned(), scale, offset);
    }
  };
};

struct StoredQ5_K {
  static constexpr Index block = 256, size = 176, span = block;
  struct Header : HeaderK {
    RWKV_INLINE Header(const std::byte* row, Index i) noexcept : HeaderK(row, i, size) {}
  };
  struct Group {
    const std::byte* from;
    int group;
    Lanes scale, offset;
    RWKV_INLINE Group(const Header& header, const std::byte* row, Index i) noexcept
        : from(row + i / block * size),
          group(static_cast<int>(i % block / 32)),
          scale(Lanes::set(header.scale[group])),
          offset(Lanes::set(header.offset[group])) {}
    RWKV_INLINE Lanes lane(int j) const noexcept {
      const Index at = j * Lanes::count;
      const Bytes low = Bytes::load(from + 48 + group / 2 * 32 + at).field(group % 2 * 4, 15);
      const Bytes high = Bytes::load(from + 16 + at).field(group, 1).times16();
      return Lanes::fma((low | high).from_unsigned(), scale, offset);
    }
  };
};

struct StoredQ6_K {
  static constexpr Index block = 256, size = 210, span = block;
  struct Header {
    Scalar scale[16 + 16];  // of 16 numbers each
    RWKV_INLINE Header(const std::byte* row, Index i) noexcept {
      const std::byte* const from = row + i / block * size;
      const Lanes d = Lanes::set_f16(from + 208);
      for (Index k = 0; k < 16; k += Lanes::count) (Bytes::load(from + 192 + k).from_signed() * d).store(scale + k);
    }
  };
  struct Group {
    const std::byte *low, *high;
    int part;
    Lanes scale[2], offset[2];
    RWKV_INLINE Group(const Header& header, const std::byte* row, Index i) noexcept
        : low(row + i / block * size + i % block / 128 * 64 + i % 64),
          high(row + i / block * size + 128 + i % block / 128 * 32),
          part(static_cast<int>(i % 128 / 32)) {
      for (int k = 0; k < 2; ++k) {
        scale[k] = Lanes::set(header.scale[i % block / 16 + k]);
        offset[k] = scale[k] * Lanes::set(-32);
      }
    }
    RWKV_INLINE Lanes lane(int j) const noexcept {
      const Index at = j * Lanes::count;
      const Bytes codes =
          Bytes::load(low + at).field(part / 2 * 4, 15) | Bytes::load(high + at).field(2 * part, 3).times16();
      return Lanes::fma(codes.from_unsigned(), scale[at / 16], offset[at / 16]);
    }
  };
};

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
