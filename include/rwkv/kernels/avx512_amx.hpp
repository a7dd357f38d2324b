// SPDX-License-Identifier: MIT
// Products of many rows with AMX; everything else is that of AVX-512 VNNI.
#pragma once

#include "rwkv/kernels/avx512_vnni.hpp"

#if RWKV_HAS_X86
#define RWKV_ISA avx512_amx
#define RWKV_ATTR \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16,avx2,fma,f16c")))
#define RWKV_INLINE                                                                                       \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16,avx2,fma,f16c"), \
                 always_inline)) inline

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

namespace unpacking = avx2;

/// The eight tiles of the processor, by number. In assembly: the intrinsics of g++ take no template parameters, and
/// those of version 12 do not say which memory they read.
struct Tiles {
  /// Whole tiles, all eight of them. They belong to the thread, which gives them back at the end.
  RWKV_INLINE static void begin() noexcept {
    struct alignas(64) Configuration {  // Intel SDM, volume 2, LDTILECFG
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t n_rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static_assert(sizeof(Configuration) == 64);
    const Configuration configuration;
    __asm__ volatile("ldtilecfg %0" ::"m"(configuration) : "memory");
  }
  RWKV_INLINE static void end() noexcept { __asm__ volatile("tilerelease" ::: "memory"); }

  template <int tile>
  RWKV_INLINE static void zero() noexcept {
    __asm__ volatile("tilezero {%%tmm%c0|tmm%c0}" ::"i"(tile));
  }
  /// 16 rows of 64 bytes, one after the other.
  template <int tile>
  RWKV_INLINE static void load(const void* from) noexcept {
    constexpr long stride = 64;
    __asm__ volatile("tileloadd {(%0,%1,1), %%tmm%c2|tmm%c2, [%0+%1*1]}" ::"r"(from), "r"(stride), "i"(tile)
                     : "memory");
  }
  template <int tile>
  RWKV_INLINE static void store(void* to) noexcept {
    constexpr long stride = 64;
    __asm__ volatile("tilestored {%%tmm%c2, (%0,%1,1)|[%0+%1*1], tmm%c2}" ::"r"(to), "r"(stride), "i"(tile) : "memory");
  }
  /// sum[i][j] += sum over pairs p of a[i][2 p] b[p][2 j] + a[i][2 p + 1] b[p][2 j + 1]
  template <int sum, int a, int b>
  RWKV_INLINE static void multiply() noexcept {
    __asm__ volatile("tdpbf16ps {%%tmm%c2, %%tmm%c1, %%tmm%c0|tmm%c0, tmm%c1, tmm%c2}" ::"i"(sum), "i"(a), "i"(b));
  }
};

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END

#include "rwkv/kernels/tile_gemm.inl.hpp"

#undef RWKV_INLINE
#undef RWKV_ATTR
#undef RWKV_ISA
#endif
