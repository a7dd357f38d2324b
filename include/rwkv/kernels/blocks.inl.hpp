// SPDX-License-Identifier: MIT
// Part of the text included for an instruction set: how the block formats of core/blocks.hpp become Groups. In the
// vectors of 16 bytes that GCC and Clang offer on every processor; code * scale + offset is the value of the format to
// the last bit, with one rounding.
//
// Each has `zero`, the code that stands for 0, or minima, other offsets for each group.
// unpack() leaves bytes, for those who want the numbers. Where the layout is nibbles, locate() leaves the codes where
// they are, for products.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

RWKV_INLINE Bytes load_bytes(const std::byte* from) noexcept {
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof(bytes));
  return bytes;
}
RWKV_INLINE void store(Bytes bytes, std::byte* to) noexcept { std::memcpy(to, &bytes, sizeof(bytes)); }

/// The bits of each byte moved down by n (up by -n), and those of the mask kept, which must be of that byte.
RWKV_INLINE Bytes field(Bytes bytes, int n, std::uint8_t mask) noexcept {
  using Words __attribute__((vector_size(16))) = std::uint16_t;  // x86-64 cannot shift bytes
  const Words words = reinterpret_cast<Words>(bytes);
  return reinterpret_cast<Bytes>(n >= 0 ? words >> n : words << -n) & mask;
}

/// 16 where the bit of that number is set, else 0, for 16 of 32 bits.
template <int first_byte>
RWKV_INLINE Bytes fifth_bits(const std::byte* from) noexcept {
  using Words __attribute__((vector_size(16))) = std::uint32_t;
  std::uint32_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  const Bytes all = reinterpret_cast<Bytes>(Words{bits, bits, bits, bits});
  constexpr int a = first_byte, b = a + 1;
  const Bytes repeated = __builtin_shufflevector(all, all, a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b);
  const Bytes each{1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return reinterpret_cast<Bytes>((repeated & each) == each) & 16;
}

/// Number i of n numbers of 16 bits that stand `stride` bytes apart, or 0 behind the last one.
RWKV_INLINE std::uint16_t load_half(const std::byte* from, Index stride, Index i, Index n) noexcept {
  std::uint16_t bits = 0;
  if (i < n) std::memcpy(&bits, from + i * stride, sizeof(bits));
  return bits;
}

/// The first 8 of n such numbers, gathered in a register: a wide read of memory right after narrow writes would wait.
RWKV_INLINE void widen_eight(const std::byte* from, Index stride, Index n, float* to) noexcept {
  using Eight __attribute__((vector_size(16))) = std::uint16_t;
  const Eight bits{load_half(from, stride, 0, n), load_half(from, stride, 1, n), load_half(from, stride, 2, n),
                   load_half(from, stride, 3, n), load_half(from, stride, 4, n), load_half(from, stride, 5, n),
                   load_half(from, stride, 6, n), load_half(from, stride, 7, n)};
  for (Index k = 0; k < 8; k += Lanes::count) {
    Lanes::load_f16(reinterpret_cast<const std::byte*>(&bits) + 2 * k).store(to + k);
  }
}

/// All n of them; to has room for a multiple of 8.
RWKV_INLINE void widen_halves(const std::byte* from, Index stride, Index n, float* to) noexcept {
  Index i = 0;
  for (; i + 8 <= n; i += 8) widen_eight(from + i * stride, stride, 8, to + i);
  if (i < n) widen_eight(from + i * stride, stride, n - i, to + i);
}

RWKV_INLINE void multiply_all(const float* from, float factor, Index n, float* to) noexcept {
  for (Index i = 0; i < n; i += Lanes::count) (Lanes::load(from + i) * Lanes::set(factor)).store(to + i);
}

/// q4_0, q4_1, q5_0, q5_1: a scale, perhaps a minimum, perhaps 32 fifth bits, then 16 bytes whose low halves come
/// first.
template <int n_bits, bool has_minimum>
struct PackedSimple {
  static constexpr DType dtype =
      n_bits == 5 ? (has_minimum ? DType::q5_1 : DType::q5_0) : (has_minimum ? DType::q4_1 : DType::q4_0);
  static constexpr Index block = 32, bits_at = has_minimum ? 4 : 2, codes_at = bits_at + (n_bits == 5 ? 4 : 0);
  static constexpr Index size = codes_at + 16;
  static constexpr CodeLayout layout = n_bits == 4 ? CodeLayout::nibbles : CodeLayout::unsigned_bytes;
  static constexpr bool has_minima = has_minimum;
  static constexpr int zero = has_minimum ? 0 : 1 << (n_bits - 1);
  static constexpr int n_scales = 1;

  RWKV_ATTR static void unpack(const std::byte* from, Index n, Groups& to) noexcept {
    for (Index g = 0; g < n; ++g) {
      const std::byte* const block_begin = from + g * size;
      const Bytes codes = load_bytes(block_begin + codes_at);
      Bytes low = field(codes, 0, 15), high = field(codes, 4, 15);
      if constexpr (n_bits == 5) {
        low |= fifth_bits<0>(block_begin + bits_at);
        high |= fifth_bits<2>(block_begin + bits_at);
      }
      store(low, to.unpacked + g * group_size);
      store(high, to.unpacked + g * group_size + 16);
    }
    locate(from, n, to);
    to.codes = to.unpacked;
    to.stride = group_size;
  }

  RWKV_ATTR static void locate(const std::byte* from, Index n, Groups& to) noexcept {
    widen_halves(from, size, n, to.scales);
    if constexpr (has_minimum) {
      widen_halves(from + 2, size, n, to.offsets);
    } else {
      multiply_all(to.scales, -zero, n, to.offsets);
    }
    to.codes = from + codes_at;
    to.stride = size;
  }
};

/// Of types whose codes are the numbers but for the scale.
struct PackedSigned {
  static constexpr CodeLayout layout = CodeLayout::signed_bytes;
  static constexpr bool has_minima = false;
  static constexpr int zero = 0;
  static constexpr int n_scales = 1;
};

/// Read in place.
struct PackedQ8_0 : PackedSigned {
  static constexpr DType dtype = DType::q8_0;
  static constexpr Index block = 32, size = 34;

  RWKV_ATTR static void unpack(const std::byte* from, Index n, Groups& to) noexcept {
    widen_halves(from, size, n, to.scales);
    to.codes = from + 2;
    to.stride = size;
  }
};

struct PackedIQ4_NL : PackedSigned {
  static constexpr DType dtype = DType::iq4_nl;
  static constexpr Index block = 32, size = 18;

  RWKV_ATTR static void unpack(const std::byte* from, Index n, Groups& to) noexcept {
    widen_halves(from, size, n, to.scales);
    for (Index g = 0; g < n; ++g, from += size) {
      const Bytes codes = load_bytes(from + 2);
      store(in_iq4_values(field(codes, 0, 15)), to.unpacked + g * group_size);
      store(in_iq4_values(field(codes, 4, 15)), to.unpacked + g * group_size + 16);
    }
    to.codes = to.unpacked;
    to.stride = group_size;
  }
};

/// q4_k, q5_k: GroupScales, perhaps 32 bytes of fifth bits, then 32 bytes for each two groups, one in each half.
template <int n_bits>
struct PackedK {
  static constexpr DType dtype = n_bits == 5 ? DType::q5_k : DType::q4_k;
  static constexpr Index block = 256, codes_at = n_bits == 5 ? 48 : 16, size = codes_at + 128;
  static constexpr CodeLayout layout = n_bits == 4 ? CodeLayout::nibble_pairs : CodeLayout::unsigned_bytes;
  static constexpr bool has_minima = true;
  static constexpr int zero = 0;
  static constexpr int n_scales = 1;

  RWKV_ATTR static void unpack(const std::byte* from, Index n, Groups& to) noexcept {
    for (Index g = 0; g < n; g += 8, from += size) {
      unpack_scales(from, to.scales + g, to.offsets + g);
      RWKV_UNROLL
      for (int pair = 0; pair < 4; ++pair) {
        RWKV_UNROLL
        for (int half = 0; half < 2; ++half) {
          const Bytes codes = load_bytes(from + codes_at + pair * 32 + half * 16);
          Bytes low = field(codes, 0, 15), high = field(codes, 4, 15);
          if constexpr (n_bits == 5) {
            const Bytes fifth = load_bytes(from + 16 + half * 16);
            low |= field(fifth, 2 * pair - 4, 16);
            high |= field(fifth, 2 * pair + 1 - 4, 16);
          }
          store(low, to.unpacked + (g + 2 * pair) * group_size + half * 16);
          store(high, to.unpacked + (g + 2 * pair + 1) * group_size + half * 16);
        }
      }
    }
    to.codes = to.unpacked;
    to.stride = group_size;
  }

  RWKV_ATTR static void locate(const std::byte* from, Index n, Groups& to) noexcept {
    for (Index g = 0; g < n; g += 8) unpack_scales(from + g / 8 * size, to.scales + g, to.offsets + g);
    to.codes = from + codes_at;
    to.stride = size;
  }

private:
  RWKV_INLINE static void unpack_scales(const std::byte* from, float* scales, float* offsets) noexcept {
    std::uint32_t a, b, c;  // GroupScales::packed
    std::memcpy(&a, from + 4, sizeof(a));
    std::memcpy(&b, from + 8, sizeof(b));
    std::memcpy(&c, from + 12, sizeof(c));
    const std::uint32_t bits[2][2] = {{a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)},
                                      {b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)}};
    alignas(16) std::byte bytes[16];
    std::memcpy(bytes, bits, sizeof(bits));
    const Lanes d = Lanes::set_f16(from), minimum = Lanes::set(0) - Lanes::set_f16(from + 2);
    for (Index g = 0; g < 8; g += Lanes::count) {
      (Lanes::load_u8(bytes + g) * d).store(scales + g);
      (Lanes::load_u8(bytes + 8 + g) * minimum).store(offsets + g);
    }
  }
};

/// Halves of 128 numbers: 64 bytes of low bits, two groups in each half byte; 32 bytes of high bits for four groups.
struct PackedQ6_K {
  static constexpr DType dtype = DType::q6_k;
  static constexpr Index block = 256, size = 210;
  static constexpr CodeLayout layout = CodeLayout::unsigned_bytes;
  static constexpr bool has_minima = false;
  static constexpr int zero = 32;
  static constexpr int n_scales = 2;

  RWKV_ATTR static void unpack(const std::byte* from, Index n, Groups& to) noexcept {
    for (Index g = 0; g < n; g += 8, from += size) {
      const Lanes d = Lanes::set_f16(from + 208);
      for (Index k = 0; k < 16; k += Lanes::count) (Lanes::load_i8(from + 192 + k) * d).store(to.scales + 2 * g + k);
      RWKV_UNROLL
      for (int i = 0; i < 8; ++i) {  // 16 bytes of low bits each
        const int half = i / 4, part = i % 4 / 2, at = i % 2 * 16;
        const Bytes low = load_bytes(from + i * 16), high = load_bytes(from + 128 + half * 32 + at);
        std::byte* const first = to.unpacked + (g + half * 4 + part) * group_size + at;
        store(field(low, 0, 15) | field(high, 2 * part - 4, 48), first);
        store(field(low, 4, 15) | field(high, 2 * part, 48), first + 2 * group_size);
      }
    }
    multiply_all(to.scales, -zero, 2 * n, to.offsets);
    to.codes = to.unpacked;
    to.stride = group_size;
  }
};

/// What a product needs of a type: its codes in the layout that it names.
template <class Packed>
constexpr Unpack for_products() noexcept {
  if constexpr (Packed::layout == CodeLayout::nibbles || Packed::layout == CodeLayout::nibble_pairs) {
    return Packed::locate;
  } else {
    return Packed::unpack;
  }
}

template <class... Types>
struct PackedTypes {};
using AllPacked = PackedTypes<PackedQ8_0, PackedIQ4_NL, PackedSimple<4, false>, PackedSimple<4, true>,
                              PackedSimple<5, false>, PackedSimple<5, true>, PackedK<4>, PackedK<5>, PackedQ6_K>;

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
