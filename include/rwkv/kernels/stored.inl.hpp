// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: how stored numbers become numbers.
//
// A Stored type has `block` numbers in `size` bytes.

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

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
