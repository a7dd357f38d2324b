// SPDX-License-Identifier: MIT
// What formats do to tensors before they store them, planned: the numbers move when the tensor is made.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/planned_tensor.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The same numbers in another shape.
[[nodiscard]] inline PlannedTensor reshaped(PlannedTensor tensor, const Shape& shape) {
  RWKV_ASSERT(shape.checked_n_elements() == tensor.shape.checked_n_elements());
  tensor.make = [make = std::move(tensor.make), shape] {
    TensorView made = make();
    made.shape = shape;
    return made;
  };
  tensor.shape = shape;
  return tensor;
}

/// The same numbers as f32; those of f64 are rounded.
[[nodiscard]] inline PlannedTensor as_f32(PlannedTensor tensor) {
  if (tensor.dtype == DType::f32) return tensor;
  tensor.dtype = DType::f32;
  tensor.make = [make = std::move(tensor.make)]() -> TensorView {
    const TensorView made = make();
    const auto values = std::make_shared<Buffer<float>>(read_all<float>(made));
    return {DType::f32, made.shape, reinterpret_cast<const std::byte*>(values->data()), values};
  };
  return tensor;
}

/// function(x) of every number x, computed in double precision and rounded to f32.
[[nodiscard]] inline PlannedTensor computed(PlannedTensor tensor, double (*function)(double)) {
  tensor.dtype = DType::f32;
  tensor.make = [make = std::move(tensor.make), function] {
    const TensorView made = make();
    const Buffer<double> numbers = read_all<double>(made);
    std::vector<float> values;
    for (const double x : numbers) values.push_back(static_cast<float>(function(x)));
    return make_tensor(made.shape, values);
  };
  return tensor;
}

/// With the last two axes exchanged. The type must be one of single numbers.
[[nodiscard]] inline PlannedTensor turned(PlannedTensor tensor) {
  tensor.shape = transposed({tensor.dtype, tensor.shape, nullptr, nullptr}).shape;
  tensor.make = [make = std::move(tensor.make)] { return transposed(make()); };
  return tensor;
}

/// Tensors of one type, one behind the other.
[[nodiscard]] inline PlannedTensor joined(std::string name, const std::vector<PlannedTensor>& parts,
                                          const Shape& shape) {
  PlannedTensor result{std::move(name), parts.front().dtype, shape, {}};
  result.make = [parts, shape]() -> TensorView {
    const auto bytes = std::make_shared<Buffer<std::byte>>(checked_n_bytes(parts.front().dtype, shape).value());
    std::byte* to = bytes->data();
    for (const PlannedTensor& part : parts) {
      const TensorView made = part.make();
      to = std::copy_n(made.data, made.n_bytes(), to);
    }
    return {parts.front().dtype, shape, bytes->data(), bytes};
  };
  return result;
}

}  // namespace detail

RWKV_NAMESPACE_END
