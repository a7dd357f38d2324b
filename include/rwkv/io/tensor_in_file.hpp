// SPDX-License-Identifier: MIT
// The checks that the formats of ggml share.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "rwkv/core/error.hpp"
#include "rwkv/core/mapped_file.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The tensor whose bytes are the first of `data`, a part of the file. `type` is what the format calls the dtype.
/// Throws FormatError if its rows are no whole blocks, or if there is not enough data.
[[nodiscard]] inline TensorView tensor_in_file(const std::shared_ptr<const MappedFile>& file, std::string_view name,
                                               std::string_view type, DType dtype, const Shape& shape,
                                               std::span<const std::byte> data) {
  const auto fail = [&](std::string_view problem, std::string_view expected, std::string_view found) {
    throw FormatError({file->path(), tensor_item(name), problem, expected, found});
  };
  if (const Index block = info(dtype).block_elements; shape[shape.rank() - 1] % block != 0) {
    fail("has type " + std::string(type), "rows of a multiple of " + std::to_string(block) + " numbers",
         to_string(shape));
  }
  const auto n_bytes = checked_n_bytes(dtype, shape);
  if (!n_bytes || static_cast<std::uint64_t>(*n_bytes) > data.size()) {
    fail("shape " + to_string(shape) + " needs more bytes than the file has",
         n_bytes ? std::to_string(*n_bytes) : "fewer", std::to_string(data.size()));
  }
  return {dtype, shape, data.data(), file};
}

/// Throws UnsupportedError for a type of ggml that the kernels do not know.
[[noreturn]] inline void refuse_type(const std::string& path, std::string_view name, std::string_view type) {
  throw UnsupportedError({.path = path,
                          .item = tensor_item(name),
                          .problem = "has type " + std::string(type) + ", which is not supported",
                          .hint = "Quantise the F16 or F32 file anew."});
}

}  // namespace detail

RWKV_NAMESPACE_END
