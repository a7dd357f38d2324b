// SPDX-License-Identifier: MIT
// Instruction sets: which exist, which this processor has.
#pragma once

#include "rwkv/core/linkage.hpp"

#if RWKV_HAS_X86
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif RWKV_HAS_NEON && defined(__linux__)
#include <sys/auxv.h>
#elif RWKV_HAS_NEON && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "rwkv/core/error.hpp"

RWKV_NAMESPACE_BEGIN

/// Of each kind of processor from the plainest to the fastest. `scalar` is portable C++ without intrinsics.
enum class Isa { scalar, avx2, avx512, avx512_vnni, avx512_amx, neon, neon_dot };

inline constexpr std::array<Isa, 7> all_isas{Isa::scalar,     Isa::avx2, Isa::avx512,  Isa::avx512_vnni,
                                             Isa::avx512_amx, Isa::neon, Isa::neon_dot};

[[nodiscard]] constexpr std::string_view name(Isa isa) noexcept {
  switch (isa) {
    case Isa::avx2: return "avx2";      // with FMA and F16C, as every such processor but the very first
    case Isa::avx512: return "avx512";  // F, BW, VL and DQ
    case Isa::avx512_vnni: return "avx512-vnni";
    case Isa::avx512_amx: return "avx512-amx";  // with BF16, and tiles of bf16 numbers
    case Isa::neon: return "neon";
    case Isa::neon_dot: return "neon-dot";  // with the dot products of bytes of Armv8.2
    default: return "scalar";
  }
}

namespace detail {

/// Whether this is an AArch64 processor with dot products of bytes, and there is code that uses them.
[[nodiscard]] inline bool has_neon_dot() noexcept {
#if !RWKV_HAS_NEON_DOT
  return false;
#elif defined(__ARM_FEATURE_DOTPROD)
  return true;  // or the program would not run
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__APPLE__)
  int has = 0;
  std::size_t size = sizeof(has);
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, nullptr, 0) == 0 && has != 0;
#else
  return false;
#endif
}

#if RWKV_HAS_X86
/// Whether the processor has tiles of bf16 numbers, and the operating system lets this process use them, which it has
/// to be asked for (Intel SDM volume 1, chapter 18; Linux, Documentation/arch/x86/xstate.rst).
[[nodiscard]] inline bool ask_for_amx() noexcept {
#if defined(__linux__)
  constexpr unsigned has_amx_bf16 = 1u << 22, has_amx_tile = 1u << 24;  // of EDX
  constexpr unsigned has_xgetbv = 1u << 27;                             // of ECX
  constexpr unsigned tile_states = 3u << 17;                            // of XCR0: configuration and data
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  if ((d & has_amx_bf16) == 0 || (d & has_amx_tile) == 0) return false;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & has_xgetbv) == 0) return false;
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & tile_states) != tile_states) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace detail

/// Whether this processor and its operating system run these instructions.
[[nodiscard]] inline bool is_available(Isa isa) noexcept {
  if (isa == Isa::scalar) return true;
#if RWKV_HAS_X86
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool has_f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  const bool has_avx2 = has_f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::avx2) return has_avx2;
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (isa == Isa::avx512) return has_avx512;
  const bool has_vnni = has_avx512 && __builtin_cpu_supports("avx512vnni");
  if (isa == Isa::avx512_vnni) return has_vnni;
  if (isa != Isa::avx512_amx || !has_vnni || !__builtin_cpu_supports("avx512bf16")) return false;
  static const bool has_amx = detail::ask_for_amx();
  return has_amx;
#else
  return RWKV_HAS_NEON != 0 && (isa == Isa::neon || (isa == Isa::neon_dot && detail::has_neon_dot()));
#endif
}

/// The fastest available one.
[[nodiscard]] inline Isa best_isa() noexcept {
  Isa best = Isa::scalar;
  for (const Isa isa : all_isas) {
    if (is_available(isa)) best = isa;
  }
  return best;
}

/// By its name(). Throws ArgumentError for anything else.
[[nodiscard]] inline Isa isa_from_name(std::string_view text) {
  std::string known;
  for (const Isa isa : all_isas) {
    if (name(isa) == text) return isa;
    known += (known.empty() ? "" : ", ") + std::string(name(isa));
  }
  throw ArgumentError({.item = "instruction set", .expected = "one of " + known, .found = in_quotes(text)});
}

RWKV_NAMESPACE_END
