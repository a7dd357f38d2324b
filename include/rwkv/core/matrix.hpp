// SPDX-License-Identifier: MIT
// Matrices as the layers see them: rows of numbers that someone else owns.
#pragma once

#include <span>
#include <type_traits>

#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

/// A row-major matrix without gaps between the rows.
template <class T>
struct MatrixView {
  T* data = nullptr;
  Index n_rows = 0;
  Index n_cols = 0;

  [[nodiscard]] T* row(Index i) const noexcept { return data + i * n_cols; }
  [[nodiscard]] Index size() const noexcept { return n_rows * n_cols; }
  [[nodiscard]] std::span<T> span() const noexcept { return {data, static_cast<std::size_t>(size())}; }
  /// Rows first .. first + n - 1.
  [[nodiscard]] MatrixView rows(Index first, Index n) const noexcept { return {row(first), n, n_cols}; }
  operator MatrixView<const T>() const noexcept  // NOLINT(google-explicit-constructor): as T* to const T*
      requires(!std::is_const_v<T>) {
    return {data, n_rows, n_cols};
  }
};

/// Throws ArgumentError, with the name of the argument, unless the matrix has this shape.
template <class T>
void check_shape(const char* argument, const MatrixView<T>& matrix, Index n_rows, Index n_cols) {
  if (matrix.n_rows == n_rows && matrix.n_cols == n_cols) return;
  throw ArgumentError({.item = argument,
                       .expected = "shape " + to_string(Shape{n_rows, n_cols}),
                       .found = to_string(Shape{matrix.n_rows, matrix.n_cols})});
}

RWKV_NAMESPACE_END
