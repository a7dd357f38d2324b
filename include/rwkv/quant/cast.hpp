// SPDX-License-Identifier: MIT
// Tensors of real numbers in another type.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/float16.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/core/thread_pool.hpp"
#include "rwkv/core/to_text.hpp"
#include "rwkv/quant/quantise.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Throws ArgumentError for a finite number that f16 has not: as an infinity it would spoil the model silently.
[[nodiscard]] inline std::uint16_t to_f16_or_throw(float value) {
  const std::uint16_t bits = f32_to_f16(value);
  if ((bits & 0x7fffu) != 0x7c00u || std::isinf(value)) return bits;
  throw ArgumentError({.item = "f16", .expected = "numbers of up to 65504", .found = to_text(value)});
}

/// Numbers to a type of single numbers.
inline void store_numbers(std::span<const float> values, DType dtype, std::byte* to) {
  const auto store = [&](auto narrow) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto number = narrow(values[i]);
      std::memcpy(to + i * sizeof(number), &number, sizeof(number));
    }
  };
  switch (dtype) {
    case DType::f64: return store([](float x) { return static_cast<double>(x); });
    case DType::f16: return store(to_f16_or_throw);
    case DType::bf16: return store(f32_to_bf16);
    default: RWKV_ASSERT(dtype == DType::f32); return store([](float x) { return x; });
  }
}

}  // namespace detail

/// What to do with the numbers i, i + 1, ... of a tensor on their way into another type. Called by several threads.
using ChangeNumbers = FunctionRef<void(Index i, std::span<float> numbers)>;

/// A copy of a tensor in the type `dtype`, rounded to the nearest where it has fewer digits (numbers of f64 first to
/// f32), quantised with the options where it is one of blocks. All numbers go through `change` before. Threads share
/// the tensor; besides the result, some MB of memory are used for each.
///
/// Throws ArgumentError if one of the types holds no real numbers, rows are no whole blocks, or numbers do not fit; and
/// what `change` throws.
[[nodiscard]] inline TensorView cast(const TensorView& tensor, DType dtype, ThreadPool& threads, ChangeNumbers change,
                                     const QuantiseOptions& options = {}) {
  const auto n_bytes = checked_n_bytes(dtype, tensor.shape);
  if (!n_bytes || !info(dtype).is_real || !info(tensor.dtype).is_real) {
    throw ArgumentError({.item = "cast",
                         .expected = "real numbers, in rows of a multiple of " +
                                     std::to_string(info(dtype).block_elements) + " for " + std::string(name(dtype)),
                         .found = std::string(name(tensor.dtype)) + " " + to_string(tensor.shape)});
  }
  const auto bytes = std::make_shared<Buffer<std::byte>>(*n_bytes);
  const Index n = tensor.n_elements(), rank = tensor.shape.rank();
  std::optional<Quantiser> quantiser;
  if (info(dtype).block_elements > 1) quantiser.emplace(dtype, tensor.shape[rank - 1], options);
  const Index row = quantiser ? std::max(quantiser->n_in(), Index{1}) : 1;
  const Index piece = row * std::max((Index{1} << 18) / row, Index{1});  // about 1 MB of f32, whole rows or blocks
  const auto offset = [](DType type, Index i) { return i / info(type).block_elements * info(type).block_bytes; };
  threads.run((n + piece - 1) / piece, [&](Index i, int) {
    const Index begin = i * piece, size = std::min(piece, n - begin);
    Buffer<float> values = read_all<float>({tensor.dtype, {size}, tensor.data + offset(tensor.dtype, begin), nullptr});
    change(begin, values.span());
    const std::span<const float> numbers = std::as_const(values).span();
    std::byte* const to = bytes->data() + offset(dtype, begin);
    if (!quantiser) return detail::store_numbers(numbers, dtype, to);
    quantiser->quantise(numbers, begin / row, {to, static_cast<std::size_t>(offset(dtype, size))});
  });
  return {dtype, tensor.shape, bytes->data(), bytes};
}

/// The same without a change; a tensor that is of that type already is not copied.
[[nodiscard]] inline TensorView cast(const TensorView& tensor, DType dtype, ThreadPool& threads,
                                     const QuantiseOptions& options = {}) {
  if (tensor.dtype == dtype) return tensor;
  return cast(
      tensor, dtype, threads, [](Index, std::span<float>) {}, options);
}

RWKV_NAMESPACE_END
