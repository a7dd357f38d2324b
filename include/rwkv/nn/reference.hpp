// SPDX-License-Identifier: MIT
// The operators that RWKV came from, in double and written for reading. Tests tie the fast code to them.
//
// Tokens are rows. All maxima are subtracted before exponentials, as in any softmax.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "rwkv/core/eigen.hpp"

RWKV_NAMESPACE_BEGIN
namespace reference {

using Matrix = RowMatrix<double>;
using Vector = ColumnVector<double>;

/// Attention of token t over the tokens i <= t (all tokens if not causal): sum of e^{q_t . k_i} v_i over the sum of
/// e^{q_t . k_i}. q and k are [T, D], v is [T, C]. Without the usual 1 / sqrt(D): Zhai et al., "An Attention Free
/// Transformer" (2021), section 2, leaves it to q.
[[nodiscard]] inline Matrix softmax_attention(const Matrix& q, const Matrix& k, const Matrix& v, bool causal = true) {
  Matrix scores = q * k.transpose();
  for (Index t = 0; t < scores.rows(); ++t) {
    const Index n = causal ? t + 1 : scores.cols();
    const double largest = scores.row(t).head(n).maxCoeff();
    scores.row(t).head(n) = (scores.row(t).head(n).array() - largest).exp();
    scores.row(t).tail(scores.cols() - n).setZero();
    scores.row(t) /= scores.row(t).sum();
  }
  return scores * v;
}

/// Attention without queries: y_t[c] = sum over i of e^{bias(t, i, c) + k_i[c]} v_i[c], over the same sum without v;
/// for i <= t. k and v are [T, C]. Zhai et al. (2021), equation 2, with a bias that may depend on the channel.
template <class Bias>
[[nodiscard]] Matrix aft(const Matrix& k, const Matrix& v, Bias bias) {
  Matrix y(k.rows(), k.cols());
  for (Index c = 0; c < k.cols(); ++c) {
    for (Index t = 0; t < k.rows(); ++t) {
      double largest = -std::numeric_limits<double>::infinity();
      for (Index i = 0; i <= t; ++i) largest = std::max(largest, bias(t, i, c) + k(i, c));
      double numerator = 0;
      double denominator = 0;
      for (Index i = 0; i <= t; ++i) {
        const double weight = std::exp(bias(t, i, c) + k(i, c) - largest);
        numerator += weight * v(i, c);
        denominator += weight;
      }
      y(t, c) = numerator / denominator;
    }
  }
  return y;
}

/// WKV in closed form: equation 14 of Peng et al. (2023), as the sum that it is; see arch/wkv4.hpp for the formula.
/// w < 0 and u are [C], k and v are [T, C]. It is AFT with a bias of (t - 1 - i) w for the past and u for the present.
[[nodiscard]] inline Matrix wkv(const Vector& w, const Vector& u, const Matrix& k, const Matrix& v) {
  Matrix y(k.rows(), k.cols());
  for (Index c = 0; c < k.cols(); ++c) {
    for (Index t = 0; t < k.rows(); ++t) {
      const double present = u(c) + k(t, c);
      double largest = present;
      for (Index i = 0; i < t; ++i) largest = std::max(largest, static_cast<double>(t - 1 - i) * w(c) + k(i, c));
      double numerator = std::exp(present - largest) * v(t, c);
      double denominator = std::exp(present - largest);
      for (Index i = 0; i < t; ++i) {
        const double weight = std::exp(static_cast<double>(t - 1 - i) * w(c) + k(i, c) - largest);
        numerator += weight * v(i, c);
        denominator += weight;
      }
      y(t, c) = numerator / denominator;
    }
  }
  return y;
}

/// y_t = e^{x_t} / sum over i <= t of e^{x_i}, for every column of x [T, C]: a softmax over the past of each token.
[[nodiscard]] inline Matrix time_softmax(const Matrix& x) {
  Matrix y(x.rows(), x.cols());
  for (Index c = 0; c < x.cols(); ++c) {
    for (Index t = 0; t < x.rows(); ++t) {
      const double largest = x.col(c).head(t + 1).maxCoeff();
      y(t, c) = std::exp(x(t, c) - largest) / (x.col(c).head(t + 1).array() - largest).exp().sum();
    }
  }
  return y;
}

/// y = (x - mean) / sqrt(variance + eps) * weight + bias for every row of x, with the biased variance.
[[nodiscard]] inline Matrix layer_norm(const Matrix& x, const Vector& weight, const Vector& bias, double eps) {
  Matrix y = x.colwise() - x.rowwise().mean();
  for (Index t = 0; t < y.rows(); ++t) {
    y.row(t) /= std::sqrt(y.row(t).squaredNorm() / static_cast<double>(y.cols()) + eps);
    y.row(t) = y.row(t).cwiseProduct(weight.transpose()) + bias.transpose();
  }
  return y;
}

}  // namespace reference
RWKV_NAMESPACE_END
