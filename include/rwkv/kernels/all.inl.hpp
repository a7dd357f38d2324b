// SPDX-License-Identifier: MIT
// Included once for each instruction set, with these macros set and undefined again by who includes it:
//   RWKV_ISA        the namespace to fill; it defines Scalar, Lanes (the registers) and unpacking (the namespace of
//                   blocks.inl.hpp and integer.inl.hpp) already, and math.inl.hpp was included
//   RWKV_ISA_VALUE  its name in enum Isa
//   RWKV_ATTR       target attribute of functions
//   RWKV_INLINE     the same and always inlined: whatever a kernel calls must carry one of the two, or code for new
//                   processors leaks into programs that run on old ones. No lambdas, no standard algorithms here.

#include "rwkv/kernels/stored.inl.hpp"

#include "rwkv/kernels/matmul.inl.hpp"

#include "rwkv/kernels/by_input.inl.hpp"
#include "rwkv/kernels/elementwise.inl.hpp"
#include "rwkv/kernels/small_matmul.inl.hpp"
#include "rwkv/kernels/wkv4.inl.hpp"
#include "rwkv/kernels/wkv5.inl.hpp"
#include "rwkv/kernels/wkv7.inl.hpp"

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

template <class Stored>
void set_products(KernelTable<Scalar>& table, DType dtype) noexcept {
  const auto slot = static_cast<std::size_t>(dtype);
  if constexpr (Stored::size <= sizeof(Scalar)) {
    table.gemv[slot] = gemv<Stored>;
    // In double speed is no matter, and the text takes long to compile.
    table.gemv_by_input[slot] = gemv_by_input<std::conditional_t<sizeof(Scalar) == sizeof(float), Stored, void>>;
  } else {
    table.gemv[slot] = gemv_of_widened<expand<Stored>, 1, Stored::size>;
    table.gemv_by_input[slot] = gemv_by_input<void>;
  }
  table.gemm.multiply[slot] = gemm<expand<Stored>, 1, Stored::size>;
  table.expand[slot] = expand<Stored>;
}

template <class... Packed>
void set_products(KernelTable<Scalar>& table, unpacking::PackedTypes<Packed...>) noexcept {
  ((table.gemv[static_cast<std::size_t>(Packed::dtype)] =
        gemv_of_widened<expand_packed<Packed>, Packed::block, Packed::size>),
   ...);
  ((table.gemv_by_input[static_cast<std::size_t>(Packed::dtype)] = gemv_by_input<void>), ...);
  ((table.gemm.multiply[static_cast<std::size_t>(Packed::dtype)] =
        gemm<expand_packed<Packed>, Packed::block, Packed::size>),
   ...);
  ((table.expand[static_cast<std::size_t>(Packed::dtype)] = expand_packed<Packed>), ...);
}

[[nodiscard]] inline KernelTable<Scalar> make_table() noexcept {
  KernelTable<Scalar> table{};
  table.isa = RWKV_ISA_VALUE;
  table.gemm = packed_products();
  set_products<StoredF32>(table, DType::f32);
  set_products<StoredF16>(table, DType::f16);
  set_products<StoredBF16>(table, DType::bf16);
  set_products<StoredF64>(table, DType::f64);
  RWKV_ISA::set_products(table, unpacking::AllPacked{});
  if constexpr (sizeof(Scalar) == sizeof(float)) {
    table.rounded = unpacking::rounded_products(unpacking::AllPacked{});
  }
  table.gemm_by_input = gemm_by_input;
  table.layer_norm = layer_norm;
  table.mix = mix;
  table.add = add;
  table.gate = gate;
  table.silu_gate = silu_gate;
  table.relu_squared = relu_squared;
  table.multiply = multiply;
  table.tanh = tanh_all;
  table.sigmoid = sigmoid_all;
  table.decay6 = decay6;
  table.decay7 = decay7;
  table.keys7 = keys7;
  table.bonus7 = bonus7;
  table.wkv4 = wkv4;
  table.wkv5 = wkv5;
  table.wkv7 = wkv7;
  table.wkv5_chunked = wkv5_chunked;
  table.wkv7_chunked = wkv7_chunked;
  return table;
}

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END
