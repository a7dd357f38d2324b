// SPDX-License-Identifier: MIT
// What the writers share: how a planned tensor gets into a file, and what they refuse in the same words.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/core/utf8.hpp"
#include "rwkv/io/atomic_file.hpp"
#include "rwkv/io/planned_tensor.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Makes a tensor and hands its bytes to write(bytes), in pieces.
inline void write_planned(const PlannedTensor& planned, WriteProgress progress,
                          FunctionRef<void(std::span<const std::byte>)> write) {
  constexpr std::size_t piece = std::size_t{8} << 20;  // some milliseconds: how soon a program can be interrupted
  const TensorView tensor = planned.make();
  RWKV_ASSERT(tensor.dtype == planned.dtype && tensor.shape == planned.shape);
  std::span<const std::byte> bytes(tensor.data, static_cast<std::size_t>(tensor.n_bytes()));
  while (!bytes.empty()) {
    const auto next = bytes.first(std::min(piece, bytes.size()));
    write(next);
    progress(static_cast<Index>(next.size()));
    bytes = bytes.subspan(next.size());
  }
}

inline void write_planned(const PlannedTensor& planned, WriteProgress progress, AtomicFile& file) {
  write_planned(planned, progress, [&file](std::span<const std::byte> bytes) { file.write(bytes); });
}

/// Throws UnsupportedError: the format has no such type.
[[noreturn]] inline void refuse_stored_type(const std::string& path, const PlannedTensor& tensor,
                                            std::string_view format) {
  const bool is_block = info(tensor.dtype).block_elements > 1;
  throw UnsupportedError({.path = path,
                          .item = tensor_item(tensor.name),
                          .problem = std::string(format) + " has no type " + std::string(name(tensor.dtype)),
                          .hint = is_block ? "Choose f32, f16 or bf16, or a format of ggml."
                                           : "f32 holds the same numbers, f16 takes half the room."});
}

/// Throws ArgumentError unless the name is UTF-8, as most formats want it.
inline void check_utf8_name(const std::string& path, const PlannedTensor& tensor) {
  if (is_utf8(tensor.name)) return;
  throw ArgumentError({.path = path, .item = tensor_item(tensor.name), .problem = "the name is not UTF-8"});
}

}  // namespace detail

RWKV_NAMESPACE_END
