// SPDX-License-Identifier: MIT
// Part of the text included once for each instruction set: tiles of small matrices in registers.

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

inline constexpr int tile_rows = 4;  // with Lanes::tile_vectors registers each

/// Register number `vector` of a row of a tile. A tile of several is whole, one of a single register may be ragged:
/// `left` values remain.
template <int n_vectors>
RWKV_INLINE Lanes load_column(const Scalar* row, int vector, Index left) noexcept {
  if constexpr (n_vectors == 1) return load(row, left);
  return Lanes::load(row + vector * Lanes::count);
}
template <int n_vectors>
RWKV_INLINE void store_column(Lanes lanes, Scalar* row, int vector, Index left) noexcept {
  if constexpr (n_vectors == 1) return store(lanes, row, left);
  lanes.store(row + vector * Lanes::count);
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
