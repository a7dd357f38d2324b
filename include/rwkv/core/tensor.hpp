// SPDX-License-Identifier: MIT
// A tensor as it lies in a file or in memory: type, shape, bytes, and whoever keeps the bytes alive.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "rwkv/core/blocks.hpp"
#include "rwkv/core/buffer.hpp"
#include "rwkv/core/dtype.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/float16.hpp"

RWKV_NAMESPACE_BEGIN

/// a * b, or nothing if that is negative or does not fit. For sizes that come from files.
[[nodiscard]] constexpr std::optional<Index> checked_multiply(Index a, Index b) noexcept {
  if (a < 0 || b < 0) return std::nullopt;
  if (b != 0 && a > std::numeric_limits<Index>::max() / b) return std::nullopt;
  return a * b;
}

/// The lengths of up to eight axes, slowest first. A Shape without axes is that of a single number.
class Shape {
public:
  static constexpr std::size_t max_rank = 8;

  constexpr Shape() noexcept = default;
  constexpr Shape(std::initializer_list<Index> dims) : Shape(std::span<const Index>(dims.begin(), dims.size())) {}
  constexpr explicit Shape(std::span<const Index> dims) : rank_(dims.size()) {
    RWKV_ASSERT(dims.size() <= max_rank);
    std::copy(dims.begin(), dims.end(), dims_.begin());
  }

  [[nodiscard]] constexpr Index rank() const noexcept { return static_cast<Index>(rank_); }
  [[nodiscard]] constexpr Index operator[](Index axis) const noexcept { return dims_[static_cast<std::size_t>(axis)]; }
  [[nodiscard]] constexpr const Index* begin() const noexcept { return dims_.data(); }
  [[nodiscard]] constexpr const Index* end() const noexcept { return dims_.data() + rank_; }

  /// The product of the axes, or nothing if an axis is negative or the product does not fit.
  [[nodiscard]] constexpr std::optional<Index> checked_n_elements() const noexcept {
    if (std::any_of(begin(), end(), [](Index dim) { return dim < 0; })) return std::nullopt;
    if (std::find(begin(), end(), Index{0}) != end()) return 0;
    std::optional<Index> product = 1;
    for (const Index dim : *this) {
      if (product) product = checked_multiply(*product, dim);
    }
    return product;
  }

  friend constexpr bool operator==(const Shape& a, const Shape& b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

private:
  std::array<Index, max_rank> dims_{};
  std::size_t rank_ = 0;
};

/// The shape without its axes of length 1, which formats add and drop; [1] if it has no others.
[[nodiscard]] constexpr Shape without_ones(const Shape& shape) noexcept {
  std::array<Index, Shape::max_rank> dims{1};
  std::size_t rank = 0;
  for (const Index dim : shape) {
    if (dim != 1) dims[rank++] = dim;
  }
  return Shape(std::span<const Index>(dims.data(), std::max<std::size_t>(rank, 1)));
}

/// "[1024, 768]"
[[nodiscard]] inline std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const Index dim : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

/// The bytes that a tensor of this type and shape takes, or nothing if there is no such tensor: a negative or
/// overflowing shape, or rows that are not whole blocks.
[[nodiscard]] constexpr std::optional<Index> checked_n_bytes(DType dtype, const Shape& shape) noexcept {
  const DTypeInfo& type = info(dtype);
  const std::optional<Index> n_elements = shape.checked_n_elements();
  if (!n_elements) return std::nullopt;
  const Index row = shape.rank() == 0 ? 1 : shape[shape.rank() - 1];
  if (row % type.block_elements != 0) return std::nullopt;
  return checked_multiply(*n_elements / type.block_elements, type.block_bytes);
}

/// A contiguous, row-major tensor that someone else owns.
///
/// `data` may have any alignment (files do not care), so it is read through memcpy or unaligned loads. `owner` keeps
/// the bytes alive: a mapped file, or a buffer; null means that the caller sees to it. Copies are cheap and share.
struct TensorView {
  DType dtype = DType::f32;
  Shape shape;
  const std::byte* data = nullptr;
  std::shared_ptr<const void> owner;

  [[nodiscard]] Index n_elements() const noexcept { return shape.checked_n_elements().value_or(0); }
  [[nodiscard]] Index n_bytes() const noexcept { return checked_n_bytes(dtype, shape).value_or(0); }
};

/// A tensor that owns a copy of `values`, for tensors made in memory.
/// Throws ArgumentError unless they are as many bytes as a tensor of this type and shape has.
template <class T>
[[nodiscard]] TensorView make_tensor(DType dtype, Shape shape, std::span<const T> values) {
  auto bytes = std::make_shared<Buffer<std::byte>>(std::as_bytes(values));
  if (checked_n_bytes(dtype, shape) != bytes->size()) {
    throw ArgumentError({.item = "make_tensor",
                         .expected = std::string(name(dtype)) + " " + to_string(shape),
                         .found = std::to_string(bytes->size()) + " bytes"});
  }
  return {dtype, shape, bytes->data(), bytes};
}

[[nodiscard]] inline TensorView make_tensor(Shape shape, std::span<const float> values) {
  return make_tensor(DType::f32, shape, values);
}

namespace detail {

template <class Stored>
[[nodiscard]] Stored load_unaligned(const std::byte* data) noexcept {
  Stored value;
  std::memcpy(&value, data, sizeof(Stored));
  return value;
}

/// NaN for what is not a real type: callers check info(dtype).is_real.
[[nodiscard]] inline float read_block_element(DType dtype, const std::byte* data, Index i) noexcept {
  float value = std::numeric_limits<float>::quiet_NaN();
  with_block(dtype, [&]<class Block>(Block block) {
    float values[Block::size];
    std::memcpy(&block, data + i / Block::size * static_cast<Index>(sizeof(Block)), sizeof(Block));
    block.expand(values);
    value = values[i % Block::size];
  });
  return value;
}

}  // namespace detail

/// Element i of a row of real numbers. Exact, except that f64 is rounded where Scalar is float.
template <class Scalar>
[[nodiscard]] Scalar read_element(DType dtype, const std::byte* data, Index i) noexcept {
  switch (dtype) {
    case DType::f32: return static_cast<Scalar>(detail::load_unaligned<float>(data + 4 * i));
    case DType::f16: return static_cast<Scalar>(f16_to_f32(detail::load_unaligned<std::uint16_t>(data + 2 * i)));
    case DType::bf16: return static_cast<Scalar>(bf16_to_f32(detail::load_unaligned<std::uint16_t>(data + 2 * i)));
    case DType::f64: return static_cast<Scalar>(detail::load_unaligned<double>(data + 8 * i));
    default: return static_cast<Scalar>(detail::read_block_element(dtype, data, i));
  }
}

namespace detail {

/// [n_rows, n_cols] of numbers of `width` bytes to [n_cols, n_rows], in squares that stay in the first-level cache.
template <Index width>
void transpose_matrix(const std::byte* from, Index n_rows, Index n_cols, std::byte* to) noexcept {
  constexpr Index side = 32;
  for (Index first_row = 0; first_row < n_rows; first_row += side) {
    for (Index first_col = 0; first_col < n_cols; first_col += side) {
      for (Index col = first_col; col < std::min(first_col + side, n_cols); ++col) {
        for (Index row = first_row; row < std::min(first_row + side, n_rows); ++row) {
          std::memcpy(to + (col * n_rows + row) * width, from + (row * n_cols + col) * width, width);
        }
      }
    }
  }
}

}  // namespace detail

/// A copy with the last two axes exchanged, in the type of the tensor: the transposed matrix, or a stack of them.
/// A tensor without data gives one without data.
/// Throws ArgumentError if the tensor has fewer than two axes, or is stored in blocks.
[[nodiscard]] inline TensorView transposed(const TensorView& tensor) {
  const auto rank = static_cast<std::size_t>(tensor.shape.rank());
  if (rank < 2 || info(tensor.dtype).block_elements != 1) {
    throw ArgumentError({.item = "transposed",
                         .expected = "two or more axes of single numbers",
                         .found = std::string(name(tensor.dtype)) + " " + to_string(tensor.shape)});
  }
  std::array<Index, Shape::max_rank> shape{};
  std::copy(tensor.shape.begin(), tensor.shape.end(), shape.begin());
  const Index n_rows = shape[rank - 2], n_cols = shape[rank - 1];
  std::swap(shape[rank - 1], shape[rank - 2]);
  const Shape swapped(std::span<const Index>(shape).first(rank));
  if (tensor.data == nullptr) return {tensor.dtype, swapped, nullptr, nullptr};
  const auto buffer = std::make_shared<Buffer<std::byte>>(tensor.n_bytes());
  const Index width = info(tensor.dtype).block_bytes, n_bytes = n_rows * n_cols * width;
  for (Index at = 0; at < buffer->size(); at += n_bytes) {
    const std::byte* const from = tensor.data + at;
    switch (width) {
      case 1: detail::transpose_matrix<1>(from, n_rows, n_cols, buffer->data() + at); break;
      case 2: detail::transpose_matrix<2>(from, n_rows, n_cols, buffer->data() + at); break;
      case 4: detail::transpose_matrix<4>(from, n_rows, n_cols, buffer->data() + at); break;
      default: detail::transpose_matrix<8>(from, n_rows, n_cols, buffer->data() + at); break;
    }
  }
  return {tensor.dtype, swapped, buffer->data(), buffer};
}

/// All elements of a tensor of real numbers, in row-major order.
/// Throws ArgumentError if the tensor holds integers.
template <class Scalar>
[[nodiscard]] Buffer<Scalar> read_all(const TensorView& tensor) {
  if (!info(tensor.dtype).is_real) {
    throw ArgumentError({.expected = "a tensor of real numbers", .found = name(tensor.dtype)});
  }
  Buffer<Scalar> values(tensor.n_elements());
  const auto read = [&]<DType dtype>() {  // one loop for each type, so that the type is not asked for each number
    for (Index i = 0; i < values.size(); ++i) values[i] = read_element<Scalar>(dtype, tensor.data, i);
  };
  switch (tensor.dtype) {
    case DType::f32: read.template operator()<DType::f32>(); break;
    case DType::f16: read.template operator()<DType::f16>(); break;
    case DType::bf16: read.template operator()<DType::bf16>(); break;
    case DType::f64: read.template operator()<DType::f64>(); break;
    default:
      with_block(tensor.dtype, [&]<class Block>(Block block) {
        float numbers[Block::size];
        for (Index i = 0; i < values.size(); i += Block::size) {
          std::memcpy(&block, tensor.data + i / Block::size * static_cast<Index>(sizeof(Block)), sizeof(Block));
          block.expand(numbers);
          std::copy_n(numbers, Block::size, values.data() + i);
        }
      });
  }
  return values;
}

RWKV_NAMESPACE_END
