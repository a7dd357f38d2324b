// SPDX-License-Identifier: MIT
#include "support/kernel_tables.hpp"

#include "rwkv/core/float16.hpp"
#include "rwkv/kernels/avx512_vnni.hpp"

#if RWKV_HAS_X86
#define RWKV_ISA emulated_amx
#define RWKV_ATTR __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")))
#define RWKV_INLINE \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c"), always_inline)) inline

RWKV_NAMESPACE_BEGIN
namespace kernels::RWKV_ISA {

namespace unpacking = avx2;

/// As the instructions are described in the Intel SDM, volume 2: TILELOADD, TILESTORED, TDPBF16PS. Tiles that were not
/// begun, or were given back, hold NaN.
struct Tiles {
  static inline thread_local std::byte tiles[8][1024];

  static void begin() noexcept { std::memset(tiles, 0xff, sizeof(tiles)); }
  static void end() noexcept { std::memset(tiles, 0xff, sizeof(tiles)); }
  template <int tile>
  static void zero() noexcept {
    std::memset(tiles[tile], 0, 1024);
  }
  template <int tile>
  static void load(const void* from) noexcept {
    std::memcpy(tiles[tile], from, 1024);
  }
  template <int tile>
  static void store(void* to) noexcept {
    std::memcpy(to, tiles[tile], 1024);
  }
  template <int sum, int a, int b>
  static void multiply() noexcept {
    float sums[16][16];
    std::uint16_t left[16][32], right[16][32];
    std::memcpy(sums, tiles[sum], 1024);
    std::memcpy(left, tiles[a], 1024);
    std::memcpy(right, tiles[b], 1024);
    for (int i = 0; i < 16; ++i) {
      for (int p = 0; p < 16; ++p) {
        for (int j = 0; j < 16; ++j) {
          for (int k = 2 * p; k < 2 * p + 2; ++k) {
            sums[i][j] += bf16_to_f32(left[i][k]) * bf16_to_f32(right[p][2 * j + k % 2]);
          }
        }
      }
    }
    std::memcpy(tiles[sum], sums, 1024);
  }
};

}  // namespace kernels::RWKV_ISA
RWKV_NAMESPACE_END

#include "rwkv/kernels/tile_gemm.inl.hpp"

#undef RWKV_INLINE
#undef RWKV_ATTR
#undef RWKV_ISA
#endif

namespace rwkv_test {

std::optional<rwkv::KernelTable<float>> emulated_amx_table() {
#if RWKV_HAS_X86
  if (rwkv::is_available(rwkv::Isa::avx512_vnni) && __builtin_cpu_supports("avx512bf16")) {
    auto table = rwkv::kernel_table<float>(rwkv::Isa::avx512_vnni);
    rwkv::kernels::emulated_amx::use_tiles(table, rwkv::kernels::avx2::AllPacked{});
    table.isa = rwkv::Isa::avx512_amx;
    return table;
  }
#endif
  return std::nullopt;
}

std::vector<rwkv::KernelTable<float>> available_tables() {
  std::vector<rwkv::KernelTable<float>> tables;
  for (const rwkv::Isa isa : rwkv::all_isas) {
    if (rwkv::is_available(isa)) tables.push_back(rwkv::kernel_table<float>(isa));
  }
  if (const auto table = emulated_amx_table()) tables.push_back(*table);
  return tables;
}

}  // namespace rwkv_test
