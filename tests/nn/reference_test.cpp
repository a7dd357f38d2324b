// SPDX-License-Identifier: MIT
// The operators that RWKV came from are one family: each is a special case of another.
#include "rwkv/nn/reference.hpp"

#include "support/support.hpp"

using namespace rwkv;
using reference::Matrix;
using reference::Vector;

namespace {

Matrix random_matrix(Index rows, Index cols, std::uint64_t seed) {
  const auto values = rwkv_test::random_values<double>(rows * cols, seed);
  return map_matrix(MatrixView<const double>{values.data(), rows, cols});
}

double largest(const Matrix& difference) { return difference.cwiseAbs().maxCoeff(); }

}  // namespace

TEST_SUITE_BEGIN("nn/reference");

TEST_CASE("AFT with a bias of (t - 1 - i) w for the past and u for the present is WKV") {
  const Matrix k = random_matrix(30, 4, 1), v = random_matrix(30, 4, 2);
  const Vector w = -random_matrix(4, 1, 3).array().exp(), u = random_matrix(4, 1, 4);
  const auto bias = [&](Index t, Index i, Index c) { return i == t ? u(c) : static_cast<double>(t - 1 - i) * w(c); };
  CHECK(largest(reference::aft(k, v, bias) - reference::wkv(w, u, k, v)) < 1e-14);
}

TEST_CASE("AFT with the bias -(t - i) w of the papers is WKV whose present has the bonus u = -w") {
  // e^{-(t-i) w} = e^{-w} e^{-(t-1-i) w}: a factor common to numerator and denominator once the present has it too,
  // with a bonus of +w for its missing step: -(t-t) w = 0 = -w + w.
  const Matrix k = random_matrix(30, 4, 1), v = random_matrix(30, 4, 2);
  const Vector w = random_matrix(4, 1, 3).array().exp();
  const auto bias = [&](Index t, Index i, Index c) { return -static_cast<double>(t - i) * w(c); };
  CHECK(largest(reference::aft(k, v, bias) - reference::wkv(-w, w, k, v)) < 1e-13);
}

TEST_CASE("softmax attention with one feature of queries 1 is AFT without bias") {
  const Matrix k = random_matrix(20, 1, 5), v = random_matrix(20, 1, 6);
  const Matrix ones = Matrix::Ones(20, 1);
  const auto no_bias = [](Index, Index, Index) { return 0.0; };
  CHECK(largest(reference::softmax_attention(ones, k, v) - reference::aft(k, v, no_bias)) < 1e-14);
}

TEST_CASE("softmax attention gives weights that sum to one, over the past or over everything") {
  const Matrix q = random_matrix(6, 3, 7), k = random_matrix(6, 3, 8);
  const Matrix identity = Matrix::Identity(6, 6);
  const Matrix causal = reference::softmax_attention(q, k, identity);
  const Matrix full = reference::softmax_attention(q, k, identity, false);
  CHECK(largest(causal.rowwise().sum() - Matrix::Ones(6, 1)) < 1e-14);
  CHECK(largest(full.rowwise().sum() - Matrix::Ones(6, 1)) < 1e-14);
  CHECK(causal(0, 0) == 1.0);
  CHECK(causal(2, 5) == 0.0);
  CHECK(full(2, 5) > 0.0);
}

TEST_CASE("time softmax is the weight of the present in a WKV without decay and bonus") {
  const Matrix x = random_matrix(12, 2, 9);
  const Matrix y = reference::time_softmax(x);
  const Vector zero = Vector::Zero(2);
  for (Index t = 0; t < 12; ++t) {
    Matrix only_present = Matrix::Zero(t + 1, 2);
    only_present.row(t).setOnes();
    const Matrix weight = reference::wkv(zero, zero, x.topRows(t + 1), only_present);
    CHECK(largest(weight.row(t) - y.row(t)) < 1e-14);
  }
  CHECK(y.row(0) == Matrix::Ones(1, 2));
}

TEST_CASE("keys far beyond the range of exp do not overflow") {
  const Matrix k = 1000 * random_matrix(10, 2, 10), v = random_matrix(10, 2, 11);
  const Vector w = -Vector::Ones(2), u = Vector::Zero(2);
  CHECK(reference::wkv(w, u, k, v).allFinite());
  CHECK(reference::time_softmax(k).allFinite());
}

TEST_SUITE_END();
