// SPDX-License-Identifier: MIT
// Headers alone, or compiled once: the same text serves both.
//
// By default everything is compiled where it is used: functions are inline or templates. Who links the CMake target
// rwkv::compiled has RWKV_COMPILED defined instead: a heavy header then only declares, and its definitions, with all
// that they include, are compiled into that library. Such a header has three parts:
//
//   the interface             RWKV_API before functions and out-of-class members that are no templates
//   RWKV_EXTERN(...)          for each instance of a template that the library holds
//   #if RWKV_DEFINITIONS      the definitions and their includes, RWKV_API again
//
// and one source in cmake/compiled/ that includes it and instantiates its templates. Non-template definitions must be
// seen by one of these sources only: the linker tells.
#pragma once

// Whether there are the instruction sets of x86-64 and a compiler that makes code for them by attributes.
#if defined(__x86_64__) && defined(__GNUC__)
#define RWKV_HAS_X86 1
#else
#define RWKV_HAS_X86 0
#endif

// Whether there is NEON, which every AArch64 processor has.
#if defined(__aarch64__) && defined(__GNUC__)
#define RWKV_HAS_NEON 1
#else
#define RWKV_HAS_NEON 0
#endif

// Whether code with the dot products of Armv8.2 can be made beside code without. g++ inlines only what was compiled for
// no more extensions than its caller: where -march names others of these, it must name dotprod, too.
#if RWKV_HAS_NEON && (defined(__clang__) || defined(__ARM_FEATURE_DOTPROD) ||                                          \
                      !(defined(__ARM_FEATURE_AES) || defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_COMPLEX) || \
                        defined(__ARM_FEATURE_FP16_SCALAR_ARITHMETIC) || defined(__ARM_FEATURE_SVE)))
#define RWKV_HAS_NEON_DOT 1
#else
#define RWKV_HAS_NEON_DOT 0
#endif

// Small functions that are called from a hundred places: inlined into all of them they cost more than they gain.
#define RWKV_NOINLINE __attribute__((noinline))

// Before loops over registers: compilers keep an array in registers only if they unroll all loops over it, and at -O2
// they do so only when told. (What a sanitizer puts into a loop hides it from g++, which then warns.)
#if defined(__clang__)
#define RWKV_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RWKV_UNROLL
#else
#define RWKV_UNROLL _Pragma("GCC unroll 16")
#endif

#if !defined(RWKV_COMPILED)
#define RWKV_DEFINITIONS 1
#define RWKV_API inline
#define RWKV_EXTERN(...)
#else
#if !defined(RWKV_DEFINITIONS)  // the sources of the library define it as 1
#define RWKV_DEFINITIONS 0
#endif
#define RWKV_API
#define RWKV_EXTERN(...) extern template __VA_ARGS__;
#endif
