// SPDX-License-Identifier: MIT
// Choosing a table of kernels at run time.
#pragma once

#include "rwkv/core/linkage.hpp"
#include "rwkv/kernels/isa.hpp"
#include "rwkv/kernels/table.hpp"

RWKV_NAMESPACE_BEGIN

/// The kernels of an instruction set. double exists for checking, and only as portable code: `isa` is then ignored.
/// Throws UnsupportedError if this processor does not have the instruction set.
template <class Scalar>
[[nodiscard]] KernelTable<Scalar> kernel_table(Isa isa);

RWKV_EXTERN(KernelTable<float> kernel_table<float>(Isa))
RWKV_EXTERN(KernelTable<double> kernel_table<double>(Isa))

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <string>
#include <type_traits>

#include "rwkv/kernels/avx2.hpp"
#include "rwkv/kernels/avx512.hpp"
#include "rwkv/kernels/avx512_amx.hpp"
#include "rwkv/kernels/avx512_vnni.hpp"
#include "rwkv/kernels/neon.hpp"
#include "rwkv/kernels/neon_dot.hpp"
#include "rwkv/kernels/scalar.hpp"

RWKV_NAMESPACE_BEGIN

template <class Scalar>
KernelTable<Scalar> kernel_table(Isa isa) {
  if constexpr (std::is_same_v<Scalar, double>) {
    return kernels::scalar_f64::make_table();
  } else {
    if (!is_available(isa)) {
      throw UnsupportedError({.item = "instruction set " + in_quotes(name(isa)),
                              .problem = "this processor does not have it",
                              .hint = "The best it has is " + in_quotes(name(best_isa())) + "."});
    }
#if RWKV_HAS_X86
    if (isa == Isa::avx512) return kernels::avx512::make_table();
    if (isa == Isa::avx512_vnni || isa == Isa::avx512_amx) {
      KernelTable<float> table = kernels::avx512::make_table();
      table.isa = isa;
      table.rounded = kernels::avx512_vnni::rounded_products(kernels::avx2::AllPacked{});
      kernels::avx512_vnni::set_gemm(table.rounded, kernels::avx2::AllPacked{});
      kernels::avx512_vnni::set_interleaved(table.rounded);
      if (isa == Isa::avx512_amx) kernels::avx512_amx::use_tiles(table, kernels::avx2::AllPacked{});
      return table;
    }
    if (isa == Isa::avx2) return kernels::avx2::make_table();
#endif
#if RWKV_HAS_NEON
    if (isa == Isa::neon) return kernels::neon::make_table();
#endif
#if RWKV_HAS_NEON_DOT
    if (isa == Isa::neon_dot) {
      KernelTable<float> table = kernels::neon::make_table();
      table.isa = isa;
      table.rounded = kernels::neon_dot::rounded_products(kernels::neon::AllPacked{});
      return table;
    }
#endif
    return kernels::scalar_f32::make_table();
  }
}

RWKV_NAMESPACE_END
#endif
