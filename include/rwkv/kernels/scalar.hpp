// SPDX-License-Identifier: MIT
// Portable kernels, for float and for double, in the vectors that GCC and Clang offer on every processor.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "rwkv/core/float16.hpp"
#include "rwkv/kernels/table.hpp"

RWKV_NAMESPACE_BEGIN
namespace kernels {

/// Vectors of 16 bytes in portable C++, for the texts that instruction sets share.
template <class Scalar>
struct PortableLanes {
  static constexpr Index count = 16 / sizeof(Scalar);
  static constexpr Index gemm_rows = 4;
  static constexpr int few_rows = 2;
  static constexpr int tile_vectors = 2;  // 4 x 2 sums, 2 of a row, 1 factor: 11 of 16 registers
  template <class T>
  using Vector __attribute__((vector_size(count * sizeof(T)))) = T;
  using Integers = Vector<std::int32_t>;
  Vector<Scalar> values;

  // A number less a vector is a vector; less, because -0 + 0 would be 0.
  static PortableLanes set(Scalar value) noexcept { return {value - Vector<Scalar>{}}; }
  /// Two values, each in one half.
  static PortableLanes set_halves(const Scalar* from) noexcept {
    PortableLanes lanes;
    for (Index i = 0; i < count; ++i) lanes.values[i] = from[2 * i / count];
    return lanes;
  }
  static PortableLanes load(const Scalar* from) noexcept { return {read<Scalar>(from)}; }
  /// The first n values, all if there are more; the other lanes are zero.
  static PortableLanes load_first(const Scalar* from, Index n) noexcept {
    return n < count ? load_some(from, n) : load(from);
  }
  static PortableLanes load_f32(const std::byte* from) noexcept { return converted(read<float>(from)); }
  static PortableLanes load_f16(const std::byte* from) noexcept { return load_each<std::uint16_t>(from, f16_to_f32); }
  static PortableLanes load_bf16(const std::byte* from) noexcept {
    return converted(as_floats(__builtin_convertvector(read<std::uint16_t>(from), Integers) << 16));
  }
  static PortableLanes load_f64(const std::byte* from) noexcept {
    // One by one: four doubles are more than a vector that functions may hand over everywhere.
    return load_each<double>(from, [](double value) { return value; });
  }
  static PortableLanes load_u8(const std::byte* from) noexcept {
    return load_each<std::uint8_t>(from, [](std::uint8_t value) { return value; });
  }
  static PortableLanes load_i8(const std::byte* from) noexcept {
    return load_each<std::int8_t>(from, [](std::int8_t value) { return value; });
  }
  /// One stored number, in all lanes.
  static PortableLanes set_f16(const std::byte* from) noexcept {
    std::uint16_t bits;
    std::memcpy(&bits, from, sizeof(bits));
    return set(f16_to_f32(bits));
  }
  friend PortableLanes operator+(PortableLanes a, PortableLanes b) noexcept { return {a.values + b.values}; }
  friend PortableLanes operator-(PortableLanes a, PortableLanes b) noexcept { return {a.values - b.values}; }
  friend PortableLanes operator*(PortableLanes a, PortableLanes b) noexcept { return {a.values * b.values}; }
  friend PortableLanes operator/(PortableLanes a, PortableLanes b) noexcept { return {a.values / b.values}; }
  static PortableLanes fma(PortableLanes a, PortableLanes b, PortableLanes c) noexcept {
    return {a.values * b.values + c.values};
  }
  /// The larger; b where a is NaN or b is (as the x86 instruction), so that max(constant, x) keeps the NaN of x.
  static PortableLanes max(PortableLanes a, PortableLanes b) noexcept { return where_less(b, a, a, b); }
  static PortableLanes min(PortableLanes a, PortableLanes b) noexcept { return where_less(a, b, a, b); }
  /// a < b ? yes : no
  static PortableLanes where_less(PortableLanes a, PortableLanes b, PortableLanes yes, PortableLanes no) noexcept {
    return {a.values < b.values ? yes.values : no.values};
  }
  /// The nearest integer, of two the one further from zero; for |a| < 2^31.
  static PortableLanes round(PortableLanes a) noexcept {
    const PortableLanes half = where_less(a, set(0), set(Scalar(-0.5)), set(Scalar(0.5)));
    return converted(__builtin_convertvector(a.values + half.values, Integers));
  }
  /// a 2^n for integers n in [-126, 127]
  static PortableLanes scale(PortableLanes a, PortableLanes n) noexcept {
    return a * converted(as_floats((__builtin_convertvector(n.values, Integers) + 127) << 23));
  }
  void store(Scalar* to) const noexcept { std::memcpy(to, &values, sizeof(values)); }
  /// The first n lanes, all if n is more.
  void store_first(Scalar* to, Index n) const noexcept { n < count ? store_some(to, n) : store(to); }
  /// Of integers in -128 .. 127; anything else becomes some number.
  void store_i8(std::int8_t* to) const noexcept {
    for (Index i = 0; i < count; ++i)
      to[i] = std::abs(values[i]) < 128 ? static_cast<std::int8_t>(values[i]) : std::int8_t{0};
  }
  [[nodiscard]] Scalar first() const noexcept { return values[0]; }
  [[nodiscard]] Scalar largest() const noexcept {
    Scalar most = values[0];
    for (Index i = 1; i < count; ++i) most = values[i] > most ? values[i] : most;
    return most;
  }
  [[nodiscard]] Scalar total() const noexcept {
    if constexpr (count == 2) {
      return values[0] + values[1];
    } else {
      return (values[0] + values[2]) + (values[1] + values[3]);
    }
  }
  static void store_totals(const PortableLanes (&lanes)[4], Scalar* to) noexcept {
    for (int i = 0; i < 4; ++i) to[i] = lanes[i].total();
  }

private:
  RWKV_NOINLINE static PortableLanes load_some(const Scalar* from, Index n) noexcept {
    PortableLanes lanes = set(0);
    std::memcpy(&lanes.values, from, static_cast<std::size_t>(n) * sizeof(Scalar));
    return lanes;
  }
  RWKV_NOINLINE void store_some(Scalar* to, Index n) const noexcept {
    std::memcpy(to, &values, static_cast<std::size_t>(n) * sizeof(Scalar));
  }
  template <class T>
  static Vector<T> read(const void* from) noexcept {
    Vector<T> values;
    std::memcpy(&values, from, sizeof(values));
    return values;
  }
  template <class T, class Function>
  static PortableLanes load_each(const std::byte* from, Function function) noexcept {
    T stored[count];
    std::memcpy(stored, from, sizeof(stored));
    PortableLanes lanes;
    for (Index i = 0; i < count; ++i) lanes.values[i] = static_cast<Scalar>(function(stored[i]));
    return lanes;
  }
  template <class T>
  static PortableLanes converted(T values) noexcept {
    return {__builtin_convertvector(values, Vector<Scalar>)};
  }
  static Vector<float> as_floats(Integers bits) noexcept {
    Vector<float> values;
    std::memcpy(&values, &bits, sizeof(values));
    return values;
  }
};

}  // namespace kernels
RWKV_NAMESPACE_END

#define RWKV_ATTR
#define RWKV_INLINE inline
#define RWKV_ISA_VALUE Isa::scalar

#define RWKV_ISA scalar_f32
RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {
using Scalar = float;
using Lanes = PortableLanes<float>;

/// The values of 16 codes of iq4_nl.
inline Bytes in_iq4_values(Bytes codes) noexcept {
  for (int i = 0; i < 16; ++i) codes[i] = static_cast<std::uint8_t>(iq4_values[codes[i]]);
  return codes;
}

using Dots = ExactDots;

/// The product of a group with 32 activations, in lanes, exactly: each half of the codes in its half of the lanes.
template <CodeLayout layout>
Lanes dot32(const Groups& groups, Index group, const std::int8_t* activations) noexcept {
  const std::byte* const from = groups.at<layout>(group);
  Lanes lanes;
  for (int lane = 0; lane < 4; ++lane) {
    int sum = 0;
    for (int i = lane * 8; i < lane * 8 + 8; ++i) {
      int code = static_cast<int>(from[layout == CodeLayout::nibbles ? i % 16 : i]);
      if (layout == CodeLayout::signed_bytes) code = static_cast<std::int8_t>(code);
      if (layout == CodeLayout::nibbles) code = code >> (i < 16 ? 0 : 4) & 15;
      if (layout == CodeLayout::nibble_pairs) code = code >> (group % 2 * 4) & 15;
      sum += code * activations[i];
    }
    lanes.values[lane] = static_cast<float>(sum);
  }
  return lanes;
}

namespace unpacking = scalar_f32;
}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
// Each needs those before it.
#include "rwkv/kernels/math.inl.hpp"

#include "rwkv/kernels/blocks.inl.hpp"

#include "rwkv/kernels/integer.inl.hpp"

#include "rwkv/kernels/all.inl.hpp"
#undef RWKV_ISA

#define RWKV_ISA scalar_f64
RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {
using Scalar = double;
using Lanes = PortableLanes<double>;
namespace unpacking = scalar_f32;
}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
// Each needs those before it.
#include "rwkv/kernels/math.inl.hpp"

#include "rwkv/kernels/all.inl.hpp"
#undef RWKV_ISA

#undef RWKV_ISA_VALUE
#undef RWKV_INLINE
#undef RWKV_ATTR
