// SPDX-License-Identifier: MIT
// Element types of stored tensors. A type is described by its block, so that quantised types (32 or 256 elements that
// share a scale) fit the same table as plain numbers (blocks of one element).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// How the elements of a tensor are stored.
enum class DType : std::uint8_t {
  f32,
  f16,
  bf16,
  f64,
  q8_0,  // from here to q6_k: blocks of ggml, see core/blocks.hpp
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  iq4_nl,
  q4_k,
  q5_k,
  q6_k,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean
};

/// What is to be known of a DType.
struct DTypeInfo {
  DType dtype;
  std::string_view name;  ///< as in messages and in `--dtype`
  Index block_elements;   ///< elements that are stored together; rows are a multiple of it
  Index block_bytes;      ///< bytes they take
  bool is_real;           ///< can hold weights
};

inline constexpr std::array<DTypeInfo, 19> dtype_infos{{
    {DType::f32, "f32", 1, 4, true},
    {DType::f16, "f16", 1, 2, true},
    {DType::bf16, "bf16", 1, 2, true},
    {DType::f64, "f64", 1, 8, true},
    {DType::q8_0, "q8_0", 32, 34, true},
    {DType::q4_0, "q4_0", 32, 18, true},
    {DType::q4_1, "q4_1", 32, 20, true},
    {DType::q5_0, "q5_0", 32, 22, true},
    {DType::q5_1, "q5_1", 32, 24, true},
    {DType::iq4_nl, "iq4_nl", 32, 18, true},
    {DType::q4_k, "q4_k", 256, 144, true},
    {DType::q5_k, "q5_k", 256, 176, true},
    {DType::q6_k, "q6_k", 256, 210, true},
    {DType::i64, "i64", 1, 8, false},
    {DType::i32, "i32", 1, 4, false},
    {DType::i16, "i16", 1, 2, false},
    {DType::i8, "i8", 1, 1, false},
    {DType::u8, "u8", 1, 1, false},
    {DType::boolean, "bool", 1, 1, false},
}};

[[nodiscard]] constexpr const DTypeInfo& info(DType dtype) noexcept {
  return dtype_infos[static_cast<std::size_t>(dtype)];
}

[[nodiscard]] constexpr std::string_view name(DType dtype) noexcept { return info(dtype).name; }

/// The type of that name, or nothing.
[[nodiscard]] constexpr std::optional<DType> dtype_from_name(std::string_view text) noexcept {
  for (const DTypeInfo& each : dtype_infos) {
    if (each.name == text) return each.dtype;
  }
  return std::nullopt;
}

static_assert([] {
  for (std::size_t i = 0; i < dtype_infos.size(); ++i) {
    if (static_cast<std::size_t>(dtype_infos[i].dtype) != i) return false;
  }
  return true;
}());

RWKV_NAMESPACE_END
