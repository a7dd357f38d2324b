// SPDX-License-Identifier: MIT
// The official tensors of a model, from what the converter of rwkv.cpp made of them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/renaming.hpp"
#include "rwkv/io/time_mixing_names.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Undoes python/convert_pytorch_to_ggml.py of RWKV/rwkv.cpp. It drops all axes of length 1 of the tensors `.time_*`
/// and then, with td and tf for the official time_decay and time_first:
///
///   RWKV-4     time_decay -exp(td)
///   RWKV-5     time_decay exp(-exp(td)), time_first exp(tf), with one or two axes of length 1 added; time_faaaa too
///   RWKV-6     time_decay [H, N, 1], time_faaaa [H, N, 1]; low-rank matrices transposed
///   RWKV-7     x_r, x_w, x_k, x_v, x_a, x_g as the rows of x_rwkvag [6, 1, C]; low-rank matrices transposed
///
/// Logarithms are taken and kept in double precision, so that the exponentials are the numbers of the file again when
/// they are rounded to float; 0 and 1 become infinities, which give back 0 and 1.
class RwkvCppOfficial {
public:
  explicit RwkvCppOfficial(const Checkpoint& stored) : stored_(stored) {
    const auto has = [&stored](std::string_view part) {
      return std::any_of(stored.entries().begin(), stored.entries().end(),
                         [part](const Checkpoint::Entry& entry) { return time_mixing_part(entry.name) == part; });
    };
    generation_ = has("r_k") || has("x_rwkvag") ? 7 : has("time_maa_x") ? 6 : has("ln_x.weight") ? 5 : 4;
  }

  /// Tensors stay in the file unless their numbers change or move.
  /// Throws FormatError if the converter cannot have made one of them.
  [[nodiscard]] Checkpoint read() const {
    Checkpoint official(stored_.path());
    for (const auto& [name, tensor] : stored_.entries()) {
      if (generation_ == 7 && time_mixing_part(name) == "x_rwkvag") {
        constexpr std::string_view letters = "rwkvag";
        const std::string_view stem(name.data(), name.size() - letters.size());
        add_mixes(official, name, tensor, stem, letters);
      } else {
        official.add(name, restore(name, tensor));
      }
    }
    return official;
  }

private:
  [[nodiscard]] TensorView restore(std::string_view name, const TensorView& tensor) const {
    const std::string_view part = time_mixing_part(name);
    switch (generation_) {
      case 4: return part == "time_decay" ? restore_v4_decay(name, tensor) : tensor;
      case 5: return restore_v5(name, part, tensor);
      case 6:
        if (part == "time_decay") return {tensor.dtype, {1, 1, tensor.n_elements()}, tensor.data, tensor.owner};
        if (part == "time_faaaa") return {tensor.dtype, by_head(tensor, true), tensor.data, tensor.owner};
        break;
      default: break;
    }
    return is_low_rank(name) ? untransposed(stored_.path(), name, tensor) : tensor;
  }

  [[nodiscard]] TensorView restore_v4_decay(std::string_view name, const TensorView& tensor) const {
    return invert(name, tensor, tensor.shape, {-infinity, 0, "-exp(time_decay), not above 0"},
                  [](double x) { return std::log(-x); });
  }

  [[nodiscard]] TensorView restore_v5(std::string_view name, std::string_view part, const TensorView& tensor) const {
    if (part != "time_decay" && part != "time_first" && part != "time_faaaa") return tensor;
    // One number for each channel, and not for each head, in a model of one head: [1, N] lost its first axis.
    const std::string norm = std::string(name.substr(0, name.size() - part.size())) + "ln_x.weight";
    const TensorView* const channels = stored_.find(norm);
    const Shape shape = by_head(tensor, channels != nullptr && channels->n_elements() == tensor.n_elements());
    if (part == "time_faaaa") return {tensor.dtype, shape, tensor.data, tensor.owner};
    if (part == "time_first") {
      return invert(name, tensor, shape, {0, infinity, "exp(time_first), not below 0"},
                    [](double x) { return std::log(x); });
    }
    return invert(name, tensor, shape, {0, 1, "exp(-exp(time_decay)), from 0 to 1"},
                  [](double x) { return std::log(-std::log(x)); });
  }

  /// [H] or [H, N], without the axes of length 1 that the converter put behind them. `is_by_channel`: there must be
  /// two axes.
  [[nodiscard]] static Shape by_head(const TensorView& tensor, bool is_by_channel) {
    auto rank = static_cast<std::size_t>(tensor.shape.rank());
    while (rank > 1 && tensor.shape[static_cast<Index>(rank) - 1] == 1) --rank;
    if (rank == 1 && is_by_channel) return {1, tensor.n_elements()};
    return Shape(std::span(tensor.shape.begin(), rank));
  }

  static constexpr double infinity = std::numeric_limits<double>::infinity();
  struct Range {
    double low, high;
    std::string_view meaning;
  };

  /// The inverse of what the converter computed for every number, which must lie in the range of that function.
  template <class Inverse>
  [[nodiscard]] TensorView invert(std::string_view name, const TensorView& tensor, const Shape& shape,
                                  const Range& range, Inverse&& inverse) const {
    Buffer<double> values = read_all<double>(tensor);
    for (double& value : values) {
      if (value < range.low || value > range.high) {
        throw FormatError({.path = stored_.path(),
                           .item = tensor_item(name),
                           .expected = range.meaning,
                           .found = value < range.low ? "a smaller number" : "a larger number"});
      }
      value = inverse(value);
    }
    return make_tensor<double>(DType::f64, shape, std::as_const(values).span());
  }

  const Checkpoint& stored_;
  int generation_;
};

}  // namespace detail

RWKV_NAMESPACE_END
