// SPDX-License-Identifier: MIT
// Numbers too small for a full fraction. Processors take a hundred times as long for them, and states that decay are
// full of them.
#pragma once

#include <cstdint>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// As long as it lives, this thread takes subnormal numbers, below 1.2e-38 as a float, for zeros, where the processor
/// can (x86-64, AArch64). Then the thread is as it was.
class FlushSubnormals {
public:
  FlushSubnormals() noexcept : before_(control()) { set_control(before_ | flush); }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;
  ~FlushSubnormals() { set_control(before_); }

private:
#if defined(__x86_64__)
  using Control = unsigned;
  static constexpr Control flush = 0x8040;  // MXCSR: results to zero, operands are zero
  static Control control() noexcept { return __builtin_ia32_stmxcsr(); }
  static void set_control(Control value) noexcept { __builtin_ia32_ldmxcsr(value); }
#elif defined(__aarch64__)
  using Control = std::uint64_t;
  static constexpr Control flush = Control{1} << 24;  // FPCR.FZ
  static Control control() noexcept {
    Control value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set_control(Control value) noexcept { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
#else
  using Control = int;
  static constexpr Control flush = 0;
  static Control control() noexcept { return 0; }
  static void set_control(Control) noexcept {}
#endif

  Control before_;
};

RWKV_NAMESPACE_END
