// SPDX-License-Identifier: MIT
// Included once for each instruction set, with these macros set and undefined again by who includes it:
//   RWKV_ISA        the namespace to fill; it defines Scalar and Lanes, the registers, already
//   RWKV_ISA_VALUE  its name in enum Isa
//   RWKV_ATTR       target attribute of functions
//   RWKV_INLINE     the same and always inlined: whatever a kernel calls must carry one of the two, or code for new
//                   processors leaks into programs that run on old ones. No lambdas, no standard algorithms here.

#include <cmath>
#include <cstring>

// Before loops over registers: compilers keep an array in registers only if they unroll all loops over it, and at -O2
// they do so only when told.
#if defined(__clang__)
#define RWKV_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RWKV_UNROLL _Pragma("GCC unroll 16")
#endif

#include "rwkv/kernels/math.inl.hpp"

#include "rwkv/kernels/stored.inl.hpp"

#include "rwkv/kernels/elementwise.inl.hpp"
#include "rwkv/kernels/matmul.inl.hpp"
#include "rwkv/kernels/small_matmul.inl.hpp"
#include "rwkv/kernels/wkv4.inl.hpp"
#include "rwkv/kernels/wkv5.inl.hpp"
#include "rwkv/kernels/wkv7.inl.hpp"

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

template <class Stored>
void set_products(KernelTable<Scalar>& table, DType dtype) noexcept {
  const auto slot = static_cast<std::size_t>(dtype);
  if constexpr (Stored::block == 1 && Stored::size <= sizeof(Scalar)) {
    table.gemv[slot] = gemv<Stored>;
  } else {
    table.gemv[slot] = gemv_of_blocks<Stored>;
  }
  table.gemm[slot] = gemm<Stored>;
  table.expand[slot] = expand<Stored>;
}

[[nodiscard]] inline KernelTable<Scalar> make_table() noexcept {
  KernelTable<Scalar> table{};
  table.isa = RWKV_ISA_VALUE;
  table.gemm_rows = Lanes::gemm_rows;
  table.gemm_tokens = gemm_tokens;
  set_products<StoredF32>(table, DType::f32);
  set_products<StoredF16>(table, DType::f16);
  set_products<StoredBF16>(table, DType::bf16);
  set_products<StoredF64>(table, DType::f64);
  set_products<StoredQ8_0>(table, DType::q8_0);
  set_products<StoredQ4_0>(table, DType::q4_0);
  set_products<StoredQ4_1>(table, DType::q4_1);
  set_products<StoredQ5<false>>(table, DType::q5_0);
  set_products<StoredQ5<true>>(table, DType::q5_1);
  set_products<StoredIQ4_NL>(table, DType::iq4_nl);
  set_products<StoredQ4_K>(table, DType::q4_k);
  set_products<StoredQ5_K>(table, DType::q5_k);
  set_products<StoredQ6_K>(table, DType::q6_k);
  table.pack = pack;
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

#undef RWKV_UNROLL
