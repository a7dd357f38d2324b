// SPDX-License-Identifier: MIT
// The model that is part of the program: its files, which the assembler puts among the program's read-only data, so
// that they are mapped with it and read in place.
#include "command.hpp"

#if defined(RWKV_DEMO_WEIGHTS)
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

RWKV_INCLUDE_FILE(rwkv_demo_weights, RWKV_DEMO_WEIGHTS)
RWKV_INCLUDE_FILE(rwkv_demo_vocabulary, RWKV_DEMO_VOCABULARY)

namespace cli {

std::optional<DemoModel> demo_model() {
  return DemoModel{{rwkv_demo_weights, rwkv_demo_weights_end}, {rwkv_demo_vocabulary, rwkv_demo_vocabulary_end}};
}

}  // namespace cli
#else
std::optional<cli::DemoModel> cli::demo_model() { return std::nullopt; }
#endif
