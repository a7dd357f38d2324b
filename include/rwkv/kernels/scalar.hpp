// SPDX-License-Identifier: MIT
// Portable kernels, for float and for double: "registers" are small arrays that a compiler may keep in whatever it has.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "rwkv/core/float16.hpp"
#include "rwkv/kernels/table.hpp"

RWKV_NAMESPACE_BEGIN
namespace kernels {

template <class Scalar>
struct ArrayLanes {
  static constexpr Index count = 4;
  static constexpr Index gemm_rows = 4;
  static constexpr int tile_vectors = 2;  // 4 x 2 sums, 2 of a row, 1 factor: 11 of 16 registers
  Scalar values[count];

#define RWKV_EACH(expression)                                    \
  ArrayLanes result;                                             \
  for (int i = 0; i < count; ++i) result.values[i] = expression; \
  return result
  static ArrayLanes set(Scalar value) noexcept { RWKV_EACH(value); }
  static ArrayLanes load(const Scalar* from) noexcept { RWKV_EACH(from[i]); }
  static ArrayLanes load_f32(const std::byte* from) noexcept { RWKV_EACH(static_cast<Scalar>(read<float>(from, i))); }
  static ArrayLanes load_f16(const std::byte* from) noexcept {
    RWKV_EACH(static_cast<Scalar>(f16_to_f32(read<std::uint16_t>(from, i))));
  }
  static ArrayLanes load_bf16(const std::byte* from) noexcept {
    RWKV_EACH(static_cast<Scalar>(bf16_to_f32(read<std::uint16_t>(from, i))));
  }
  static ArrayLanes load_f64(const std::byte* from) noexcept { RWKV_EACH(static_cast<Scalar>(read<double>(from, i))); }
  friend ArrayLanes operator+(ArrayLanes a, ArrayLanes b) noexcept { RWKV_EACH(a.values[i] + b.values[i]); }
  friend ArrayLanes operator-(ArrayLanes a, ArrayLanes b) noexcept { RWKV_EACH(a.values[i] - b.values[i]); }
  friend ArrayLanes operator*(ArrayLanes a, ArrayLanes b) noexcept { RWKV_EACH(a.values[i] * b.values[i]); }
  friend ArrayLanes operator/(ArrayLanes a, ArrayLanes b) noexcept { RWKV_EACH(a.values[i] / b.values[i]); }
  static ArrayLanes fma(ArrayLanes a, ArrayLanes b, ArrayLanes c) noexcept {
    RWKV_EACH(a.values[i] * b.values[i] + c.values[i]);
  }
  /// The larger; b where a is NaN or b is (as the x86 instruction), so that max(constant, x) keeps the NaN of x.
  static ArrayLanes max(ArrayLanes a, ArrayLanes b) noexcept {
    RWKV_EACH(a.values[i] > b.values[i] ? a.values[i] : b.values[i]);
  }
  static ArrayLanes min(ArrayLanes a, ArrayLanes b) noexcept {
    RWKV_EACH(a.values[i] < b.values[i] ? a.values[i] : b.values[i]);
  }
  /// a < b ? yes : no
  static ArrayLanes where_less(ArrayLanes a, ArrayLanes b, ArrayLanes yes, ArrayLanes no) noexcept {
    RWKV_EACH(a.values[i] < b.values[i] ? yes.values[i] : no.values[i]);
  }
  static ArrayLanes round(ArrayLanes a) noexcept { RWKV_EACH(std::nearbyint(a.values[i])); }
  /// a 2^n for integers n in [-126, 127]; NaN if n is, which no integer is
  static ArrayLanes scale(ArrayLanes a, ArrayLanes n) noexcept {
    RWKV_EACH(n.values[i] == n.values[i] ? a.values[i] * power_of_two(static_cast<std::int32_t>(n.values[i]))
                                         : n.values[i]);
  }
#undef RWKV_EACH
  void store(Scalar* to) const noexcept {
    for (int i = 0; i < count; ++i) to[i] = values[i];
  }
  [[nodiscard]] Scalar total() const noexcept { return (values[0] + values[2]) + (values[1] + values[3]); }
  static void store_totals(const ArrayLanes (&lanes)[4], Scalar* to) noexcept {
    for (int i = 0; i < 4; ++i) to[i] = lanes[i].total();
  }

private:
  static Scalar power_of_two(std::int32_t n) noexcept {
    return static_cast<Scalar>(std::bit_cast<float>((n + 127) << 23));
  }

  template <class Stored>
  static Stored read(const std::byte* from, int i) noexcept {
    Stored value;
    std::memcpy(&value, from + static_cast<std::size_t>(i) * sizeof(Stored), sizeof(Stored));
    return value;
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
using Lanes = ArrayLanes<float>;
}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
#include "rwkv/kernels/all.inl.hpp"
#undef RWKV_ISA

#define RWKV_ISA scalar_f64
RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {
using Scalar = double;
using Lanes = ArrayLanes<double>;
}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
#include "rwkv/kernels/all.inl.hpp"
#undef RWKV_ISA

#undef RWKV_ISA_VALUE
#undef RWKV_INLINE
#undef RWKV_ATTR
