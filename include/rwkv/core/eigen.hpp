// SPDX-License-Identifier: MIT
// Matrices and stored tensors as Eigen sees them, in place.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <type_traits>

#include "rwkv/core/error.hpp"
#include "rwkv/core/matrix.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

template <class Scalar>
using RowMatrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class Scalar>
using ColumnVector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

/// The matrix as Eigen sees it; nothing is copied.
template <class T>
[[nodiscard]] auto map_matrix(MatrixView<T> matrix) noexcept {
  using Plain = RowMatrix<std::remove_const_t<T>>;
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const Plain, Plain>>(matrix.data, matrix.n_rows,
                                                                                matrix.n_cols);
}

/// A two-dimensional tensor of a checkpoint as Eigen sees it, in place: no copy, no conversion. Scalar is the type that
/// is stored: float, double, Eigen::half or Eigen::bfloat16. The tensor's owner must outlive the map.
///
/// Throws ArgumentError if the tensor has another type or not two dimensions, or if it lies at an address that is not a
/// multiple of the size of Scalar (some formats do not align; read_all() reads those).
template <class Scalar>
[[nodiscard]] Eigen::Map<const RowMatrix<Scalar>> map_matrix(const TensorView& tensor) {
  constexpr DType dtype = std::is_same_v<Scalar, float>         ? DType::f32
                          : std::is_same_v<Scalar, double>      ? DType::f64
                          : std::is_same_v<Scalar, Eigen::half> ? DType::f16
                                                                : DType::bf16;
  static_assert(dtype != DType::bf16 || std::is_same_v<Scalar, Eigen::bfloat16>);
  if (tensor.dtype != dtype || tensor.shape.rank() != 2) {
    throw ArgumentError({.item = "map_matrix",
                         .expected = "a matrix of " + std::string(name(dtype)),
                         .found = std::string(name(tensor.dtype)) + " " + to_string(tensor.shape)});
  }
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % sizeof(Scalar) != 0) {
    throw ArgumentError(
        {.item = "map_matrix", .problem = "the tensor is not aligned", .hint = "Copy it with read_all()."});
  }
  return {reinterpret_cast<const Scalar*>(tensor.data), tensor.shape[0], tensor.shape[1]};
}

template <class Scalar>
Eigen::Map<const RowMatrix<Scalar>> map_matrix(TensorView&&) = delete;  // its owner would not outlive the map

RWKV_NAMESPACE_END
