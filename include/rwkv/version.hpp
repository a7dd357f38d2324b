// SPDX-License-Identifier: MIT
// The version, and the namespace every header opens. CMake reads the three numbers from this file.
#pragma once

#include <cstddef>

#if __cplusplus < 202002L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 202002L)
#error "rwkv.hpp needs C++20: compile with -std=c++20"
#endif

#define RWKV_VERSION_MAJOR 0
#define RWKV_VERSION_MINOR 1
#define RWKV_VERSION_PATCH 0

// The inline namespace makes two incompatible versions in one program a link error instead of a crash.
#define RWKV_NAMESPACE_BEGIN \
  namespace rwkv {           \
  inline namespace abi_0 {
#define RWKV_NAMESPACE_END \
  }                        \
  }

RWKV_NAMESPACE_BEGIN

/// Sizes, counts and positions. Signed, as in Eigen, so that differences are numbers too.
using Index = std::ptrdiff_t;

/// The number of a token in the vocabulary, 0 .. n_vocab - 1.
using Token = int;

RWKV_NAMESPACE_END
