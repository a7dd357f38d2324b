// SPDX-License-Identifier: MIT
// How the error of a rounded weight is made up for by the weights after it.
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/eigen.hpp"
#include "rwkv/core/error.hpp"
#include "rwkv/core/to_text.hpp"

RWKV_NAMESPACE_BEGIN

/// What a quantiser needs to round the weights of a row one after the other, so that the error of an output is small
/// and not only that of each weight.
///
/// With the second moments H = mean of x x^T of the inputs [n_in] over a text, and H = R R^T, R upper triangular, an
/// error e of a row changes the output by the mean square
///
///   e H e^T = sum over k of R_kk^2 (e_k + sum over j < k of e_j a_jk)^2,   a_jk = R_jk / R_kk,
///
/// so that, from left to right, weight k is best rounded as if it were w_k + sum over j < k of e_j a_jk, e = w -
/// rounded, and its rounding counts R_kk^2. This gives what the algorithm of GPTQ does (Frantar et al., arXiv
/// 2210.17323), in the form that Chee et al. (QuIP, arXiv 2307.13304) have shown to be the same: it needs no inverse.
///
/// Before, a hundredth of its mean is added to the diagonal, or more where rounding needs it: for inputs that were zero
/// or depend on each other, and because a text is not all texts.
///
/// Memory: 2 n_in^2 bytes; 6 n_in^2 while it is made, the moments included. All methods are const; threads may share
/// one.
class ErrorFeedback {
public:
  /// Columns whose factors lie together.
  static constexpr Index panel_size = 32;

  /// Of H [n_in, n_in], of which the lower triangle is read. Inputs that were all zero give no feedback.
  /// Throws ArgumentError unless it has n_in^2 elements, n_in is a multiple of 32, and it is of finite numbers, has no
  /// negative ones on its diagonal, and can be made positive definite by some damping.
  ErrorFeedback(Buffer<float> moments, Index n_in);

  [[nodiscard]] Index n_in() const noexcept { return std::ssize(weights_); }
  /// R_kk^2 [n_in]: the importance of what is rounded.
  [[nodiscard]] std::span<const float> weights() const noexcept { return weights_; }
  /// a_jk [first + 32, 32] for the 32 columns k from `first` on, a multiple of 32, and all j that are not after them; 0
  /// unless j < k.
  [[nodiscard]] const float* panel(Index first) const noexcept { return factors_.data() + panel_begin(first); }

private:
  [[nodiscard]] static Index panel_begin(Index first) noexcept { return first * (first + panel_size) / 2; }

  std::vector<float> weights_;
  Buffer<float> factors_;
};

namespace detail {

/// R^T, lower triangular, of H = R R^T in the place of H [n, n]; false where H is not positive definite in float. Only
/// lower triangles are read and written.
[[nodiscard]] inline bool factorise(Buffer<float>& h, Index n) {
  // Backwards, H = L L^T: the order that Cholesky's method has. By columns, the last element is the first.
  std::reverse(h.begin(), h.end());
  Eigen::Map<Eigen::MatrixXf> backwards(h.data(), n, n);
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXf>> factors(backwards);
  std::reverse(h.begin(), h.end());
  return factors.info() == Eigen::Success;
}

inline void check_moments(const Buffer<float>& moments, Index n_in) {
  if (n_in < 0 || n_in % ErrorFeedback::panel_size != 0 || moments.size() != n_in * n_in) {
    throw ArgumentError({.item = "moments",
                         .expected = "a square matrix of a multiple of 32 inputs",
                         .found = std::to_string(moments.size()) + " numbers for " + std::to_string(n_in)});
  }
  for (Index i = 0; i < n_in; ++i) {
    const float* const row = moments.data() + i * n_in;
    const auto bad = std::find_if(row, row + i + 1, [](float x) { return !std::isfinite(x); }) - row;
    if (bad == i + 1 && row[i] >= 0) continue;
    throw ArgumentError({.item = "moments of inputs " + std::to_string(i) + " and " + std::to_string(std::min(bad, i)),
                         .expected = "moments that are finite numbers, not negative on the diagonal",
                         .found = to_text(row[std::min(bad, i)]),
                         .hint = "Take another text for calibration, or no error feedback."});
  }
}

}  // namespace detail

inline ErrorFeedback::ErrorFeedback(Buffer<float> moments, Index n_in) {
  detail::check_moments(moments, n_in);
  weights_.assign(static_cast<std::size_t>(n_in), 1.0f);
  factors_ = Buffer<float>(panel_begin(n_in));
  auto h = map_matrix(MatrixView<float>{moments.data(), n_in, n_in});
  const double mean = h.diagonal().cast<double>().sum() / static_cast<double>(n_in);
  if (!(mean > 0)) return;
  for (Index i = 0; i < n_in; ++i) {
    for (Index j = 0; j <= i; ++j) h(j, i) = static_cast<float>(h(i, j) / mean);
  }
  const ColumnVector<float> diagonal = h.diagonal();
  for (float damping = 0.01f;; damping *= 10) {  // the first is enough unless rounding spoils it
    for (Index i = 0; i < n_in; ++i) {
      for (Index j = 0; j < i; ++j) h(i, j) = h(j, i);
      h(i, i) = diagonal[i] + damping;
    }
    if (detail::factorise(moments, n_in)) break;
    if (damping < 1e37f) continue;
    throw ArgumentError({.item = "moments", .expected = "the mean of x x^T over inputs x", .found = "another matrix"});
  }
  for (Index k = 0; k < n_in; ++k) {
    float* const column = factors_.data() + panel_begin(k - k % panel_size) + k % panel_size;
    for (Index j = 0; j < k; ++j) column[j * panel_size] = h(k, j) / h(k, k);
    weights_[static_cast<std::size_t>(k)] = h(k, k) * h(k, k);
  }
}

RWKV_NAMESPACE_END
