// SPDX-License-Identifier: MIT
// Several States of a model as few tensors of a file, exact or short.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/float16.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/state.hpp"
#include "rwkv/state/state_exchange.hpp"

RWKV_NAMESPACE_BEGIN

/// How States are stored. The short forms shorten matrices, which are 97 % of the States of RWKV-5 to 7 with heads of
/// 64; the States of RWKV-1 to 4 are mostly vectors, some of them exponents, which stay f32 in every form.
enum class StateForm {
  f32,  ///< exact
  f16,  ///< numbers beyond the largest of f16 become the largest
  q8    ///< q = round(x / scale), scale = max |x| / 127 in each row (the last axis)
};

[[nodiscard]] constexpr DType matrix_type(StateForm form) noexcept {
  return form == StateForm::f32 ? DType::f32 : form == StateForm::f16 ? DType::f16 : DType::i8;
}

namespace detail {

/// The nearest f16, or the largest one for numbers beyond.
[[nodiscard]] inline std::uint16_t to_finite_f16(float value) noexcept {
  constexpr float largest = 65504;
  return f32_to_f16(std::clamp(value, -largest, largest));
}

/// Throws UnsupportedError that names the item: what the short forms would silently make another number.
inline void check_finite(const std::string& item, std::span<const float> values) {
  if (std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) return;
  throw UnsupportedError(
      {.item = item, .problem = "has a number that is not finite", .hint = "The form f32 keeps it."});
}

/// Whether a tensor of a State is stored as the form says, and not as f32.
[[nodiscard]] inline bool is_matrix(const StateLayout::Entry& entry) noexcept {
  return entry.shape.rank() >= 2 && entry.limit == 0;
}

[[nodiscard]] inline Index row_length(const StateLayout::Entry& entry) noexcept {
  return std::max<Index>(entry.shape[entry.shape.rank() - 1], 1);
}

/// What the tensors of one State have together.
struct StateSizes {
  explicit StateSizes(const StateLayout& layout) {
    for (const StateLayout::Entry& entry : layout.entries()) {
      const Index n = entry.shape.checked_n_elements().value_or(0);
      (is_matrix(entry) ? n_matrix : n_vector) += n;
      if (is_matrix(entry)) n_rows += n / row_length(entry);
    }
  }
  Index n_vector = 0, n_matrix = 0, n_rows = 0;
};

}  // namespace detail

/// Collects States of one model, and adds to a file the tensors
///
///   vectors   F32 [n, ...]             of each State, in the order of its layout, vectors and whole numbers
///   matrices  F32, F16 or I8 [n, ...]  and everything else; with I8
///   scales    F32 [n, rows]
class PackedStates {
public:
  explicit PackedStates(StateForm form) : form_(form) {}

  /// Throws UnsupportedError if the form is short and a number in a matrix is not finite.
  void add(const State& state) {
    for (const StateLayout::Entry& entry : state.layout().entries()) {
      const std::span<const float> values = state.tensor(entry.name);
      if (!detail::is_matrix(entry)) {
        vectors_.insert(vectors_.end(), values.begin(), values.end());
        continue;
      }
      if (form_ != StateForm::f32) detail::check_finite("state " + tensor_item(entry.name), values);
      switch (form_) {
        case StateForm::f32: append(values); break;
        case StateForm::f16: append(values, detail::to_finite_f16); break;
        case StateForm::q8: append_quants(values, detail::row_length(entry)); break;
      }
    }
    ++n_;
  }

  void add_to(Checkpoint& file, const StateLayout& layout) const {
    const detail::StateSizes sizes(layout);
    file.add("vectors", make_tensor({n_, sizes.n_vector}, std::span<const float>(vectors_)));
    file.add("matrices", make_tensor(matrix_type(form_), {n_, sizes.n_matrix}, std::span<const std::byte>(matrices_)));
    if (form_ == StateForm::q8) file.add("scales", make_tensor({n_, sizes.n_rows}, std::span<const float>(scales_)));
  }

private:
  template <class T>
  void append(std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    matrices_.insert(matrices_.end(), bytes.begin(), bytes.end());
  }

  template <class Convert>
  void append(std::span<const float> values, Convert convert) {
    for (const float value : values) {
      const auto converted = convert(value);
      append(std::span(&converted, 1));
    }
  }

  void append_quants(std::span<const float> values, Index n_row) {
    for (std::size_t first = 0; first < values.size(); first += static_cast<std::size_t>(n_row)) {
      const auto row = values.subspan(first, static_cast<std::size_t>(n_row));
      float largest = 0;
      for (const float value : row) largest = std::max(largest, std::abs(value));
      const float scale = largest / 127;
      scales_.push_back(scale);
      append(row, [scale](float value) {
        return static_cast<std::int8_t>(scale > 0 ? std::lround(std::clamp(value / scale, -127.0f, 127.0f)) : 0);
      });
    }
  }

  StateForm form_;
  Index n_ = 0;
  std::vector<float> vectors_, scales_;
  std::vector<std::byte> matrices_;
};

/// The States in such tensors of a file. The file must outlive it.
class StoredStates {
public:
  /// Throws FormatError or ModelError, naming the tensor, unless there are n States of this layout.
  StoredStates(const Checkpoint& file, const StateLayout& layout, Index n)
      : file_(file),
        sizes_(layout),
        vectors_(find("vectors", n, sizes_.n_vector)),
        matrices_(find("matrices", n, sizes_.n_matrix)) {
    const DType type = matrices_.dtype;
    require(vectors_.dtype == DType::f32, "vectors", "F32");
    require(type == DType::f32 || type == DType::f16 || type == DType::i8, "matrices", "F32, F16 or I8");
    if (type == DType::i8) scales_ = find("scales", n, sizes_.n_rows);
    require(scales_.dtype == DType::f32, "scales", "F32");
  }

  /// State i into one of that layout. Throws ModelError for whole numbers that are none, or beyond their limit.
  void read(Index i, State& state) const {
    Index vector = i * sizes_.n_vector, matrix = i * sizes_.n_matrix, row = i * sizes_.n_rows;
    for (const StateLayout::Entry& entry : state.layout().entries()) {
      const std::span<float> values = state.tensor(entry.name);
      const bool is_matrix = detail::is_matrix(entry);
      Index& at = is_matrix ? matrix : vector;
      const TensorView& from = is_matrix ? matrices_ : vectors_;
      for (std::size_t k = 0; k < values.size(); ++k) values[k] = number(from, at + static_cast<Index>(k));
      at += std::ssize(values);
      if (is_matrix && scales_.data != nullptr) scale(values, detail::row_length(entry), row);
      const std::string bad = detail::first_impossible<float>(entry, values);
      if (bad.empty()) continue;
      detail::refuse_state_tensor({file_.path(), entry.name},
                                  "whole numbers from 0 to " + std::to_string(entry.limit - 1), bad);
    }
  }

private:
  [[nodiscard]] TensorView find(const std::string& name, Index n_rows, Index n_cols) const {
    const TensorView* const tensor = file_.find(name);
    if (tensor == nullptr)
      throw FormatError({.path = file_.path(), .item = tensor_item(name), .problem = "is missing"});
    if (tensor->shape == Shape{n_rows, n_cols}) return *tensor;
    throw ModelError({.path = file_.path(),
                      .item = tensor_item(name),
                      .expected = "shape " + to_string({n_rows, n_cols}),
                      .found = to_string(tensor->shape)});
  }
  void require(bool is_fine, const std::string& name, const char* types) const {
    if (!is_fine) throw FormatError({.path = file_.path(), .item = tensor_item(name), .expected = types});
  }

  [[nodiscard]] static float number(const TensorView& tensor, Index i) noexcept {
    if (tensor.dtype == DType::i8) return static_cast<float>(static_cast<std::int8_t>(tensor.data[i]));
    return read_element<float>(tensor.dtype, tensor.data, i);
  }

  void scale(std::span<float> values, Index n_row, Index& row) const noexcept {
    for (std::size_t first = 0; first < values.size(); first += static_cast<std::size_t>(n_row), ++row) {
      const float factor = read_element<float>(DType::f32, scales_.data, row);
      for (float& value : values.subspan(first, static_cast<std::size_t>(n_row))) value *= factor;
    }
  }

  const Checkpoint& file_;
  detail::StateSizes sizes_;
  TensorView vectors_, matrices_, scales_;
};

RWKV_NAMESPACE_END
