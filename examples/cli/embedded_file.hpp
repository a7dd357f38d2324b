// SPDX-License-Identifier: MIT
// Files that are part of the program: the assembler puts them among its read-only data, so that they are mapped with it
// and read in place.
#pragma once

#include <cstddef>
#include <span>

#if defined(__APPLE__)
#define RWKV_SYMBOL(name) "_" #name
#define RWKV_READ_ONLY ".section __TEXT,__const\n"
#define RWKV_PREVIOUS ".text\n"
#else
#define RWKV_SYMBOL(name) #name
#define RWKV_READ_ONLY ".pushsection .rodata\n"
#define RWKV_PREVIOUS ".popsection\n"
#endif
/// Defines the bytes of a file as name[] and the place behind them as name_end[].
#define RWKV_INCLUDE_FILE(name, path)                                                                         \
  __asm__(RWKV_READ_ONLY ".balign 64\n.globl " RWKV_SYMBOL(name) "\n" RWKV_SYMBOL(                            \
      name) ":\n.incbin \"" path                                                                              \
            "\"\n.globl " RWKV_SYMBOL(name##_end) "\n" RWKV_SYMBOL(name##_end) ":\n.byte 0\n" RWKV_PREVIOUS); \
  extern "C" const std::byte name[];                                                                          \
  extern "C" const std::byte name##_end[];
