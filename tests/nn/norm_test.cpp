// SPDX-License-Identifier: MIT
#include "rwkv/nn/norm.hpp"

#include "rwkv/nn/reference.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::random_values;

namespace {

template <class Scalar>
Buffer<Scalar> buffer(const std::vector<double>& values) {
  const std::vector<Scalar> converted(values.begin(), values.end());
  return Buffer<Scalar>(std::span<const Scalar>(converted));
}

}  // namespace

TEST_SUITE_BEGIN("nn/norm");

TEST_CASE("layer norm in double is the reference, in place too") {
  for (const Index n : {1, 2, 7, 64, 131}) {
    const auto x = random_values<double>(9 * n, 1), weight = random_values<double>(n, 2),
               bias = random_values<double>(n, 3);
    const LayerNorm<double> norm(buffer<double>(weight), buffer<double>(bias));
    Workspace workspace({2});
    auto y = x;
    norm.apply({y.data(), 9, n}, {y.data(), 9, n}, workspace);
    const reference::Matrix expected = reference::layer_norm(map_matrix(MatrixView<const double>{x.data(), 9, n}),
                                                             Eigen::Map<const reference::Vector>(weight.data(), n),
                                                             Eigen::Map<const reference::Vector>(bias.data(), n), 1e-5);
    CHECK((map_matrix(MatrixView<const double>{y.data(), 9, n}) - expected).cwiseAbs().maxCoeff() < 1e-12);
  }
}

TEST_CASE("sizes that do not fit are refused") {
  CHECK_THROWS_WITH_AS(LayerNorm<float>(Buffer<float>(3), Buffer<float>(4)), doctest::Contains("found 4"),
                       ArgumentError);
  const LayerNorm<float> norm(Buffer<float>(3), Buffer<float>(3));
  Workspace workspace({1});
  std::vector<float> x(8);
  CHECK_THROWS_WITH_AS(norm.apply({x.data(), 2, 4}, {x.data(), 2, 4}, workspace),
                       doctest::Contains("x: expected shape [2, 3]"), ArgumentError);
}

TEST_CASE("group norm is the layer norm of each part") {
  const auto x = random_values<double>(60, 1), weight = random_values<double>(60, 2),
             bias = random_values<double>(60, 3);
  const GroupNorm<double> groups(buffer<double>(weight), buffer<double>(bias), 4, 64e-5);
  const KernelTable<double> kernels = kernel_table<double>(Isa::scalar);
  auto y = x, expected = x;
  groups.apply(y.data(), y.data(), kernels);
  for (std::size_t first = 0; first < 60; first += 15) {
    const auto part = [&](const std::vector<double>& all) {
      return buffer<double>({all.begin() + static_cast<Index>(first), all.begin() + static_cast<Index>(first) + 15});
    };
    LayerNorm<double>(part(weight), part(bias), 64e-5).apply(x.data() + first, expected.data() + first, kernels);
  }
  CHECK(y == expected);
  CHECK_THROWS_WITH_AS(GroupNorm<double>(Buffer<double>(6), Buffer<double>(6), 4, 1e-5),
                       doctest::Contains("a multiple of 4"), ArgumentError);
}

TEST_CASE("a constant row becomes the bias, and a row of tiny differences is not blown up") {
  const LayerNorm<float> norm(buffer<float>({2, 2, 2, 2}), buffer<float>({1, 2, 3, 4}));
  Workspace workspace({1});
  std::vector<float> x{5, 5, 5, 5, 1e-4f, -1e-4f, 1e-4f, -1e-4f};
  norm.apply({x.data(), 2, 4}, {x.data(), 2, 4}, workspace);
  CHECK(std::vector<float>(x.begin(), x.begin() + 4) == std::vector<float>{1, 2, 3, 4});
  // 1e-4 / sqrt(1e-8 + 1e-5) * 2 + 1 = 1.06321...
  CHECK(x[4] == doctest::Approx(1 + 2e-4 / std::sqrt(1e-8 + 1e-5)).epsilon(1e-6));
}

TEST_SUITE_END();
