// SPDX-License-Identifier: MIT
#include "rwkv/quant/error_feedback.hpp"

#include "quant/block_types.hpp"
#include "rwkv/core/random.hpp"

using namespace rwkv;
using rwkv_test::block_types;
using rwkv_test::random_values;

namespace {

constexpr Index n_in = 256;

std::string bytes_of(const TensorView& tensor) {
  return {reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.n_bytes())};
}

/// Moments of inputs that are mixtures of a quarter as many, and a little of their own.
RowMatrix<double> correlated_moments(Index n, std::uint64_t seed) {
  const auto numbers = random_values<double>(n * n / 4, seed);
  const Eigen::Map<const RowMatrix<double>> mixture(numbers.data(), n, n / 4);
  return mixture * mixture.transpose() / static_cast<double>(n / 4) + 0.05 * RowMatrix<double>::Identity(n, n);
}

Buffer<float> as_buffer(const RowMatrix<double>& matrix) {
  Buffer<float> buffer(matrix.size());
  std::copy_n(matrix.data(), matrix.size(), buffer.data());
  return buffer;
}

ErrorFeedback feedback_of(const RowMatrix<double>& moments) { return {as_buffer(moments), moments.rows()}; }

/// The sum over rows e = x - decoded of e H e^T: the mean square of what the outputs are off by.
double output_error(std::span<const float> x, const TensorView& blocks, const RowMatrix<double>& moments) {
  const auto decoded = read_all<double>(blocks);
  const Index n_rows = blocks.shape[0], n = blocks.shape[1];
  const RowMatrix<double> e = Eigen::Map<const RowMatrix<float>>(x.data(), n_rows, n).cast<double>() -
                              Eigen::Map<const RowMatrix<double>>(decoded.data(), n_rows, n);
  return (e * moments).cwiseProduct(e).sum();
}

std::vector<float> diagonal_of(const RowMatrix<double>& moments) {
  std::vector<float> diagonal;
  for (Index i = 0; i < moments.rows(); ++i) diagonal.push_back(static_cast<float>(moments(i, i)));
  return diagonal;
}

}  // namespace

TEST_SUITE_BEGIN("quant/error_feedback");

TEST_CASE("the factors are those of the moments with a hundredth on the diagonal") {
  const RowMatrix<double> h = correlated_moments(96, 1);
  const ErrorFeedback feedback = feedback_of(h);
  RowMatrix<double> r = RowMatrix<double>::Zero(96, 96);
  for (Index k = 0; k < 96; ++k) {
    const double size = std::sqrt(static_cast<double>(feedback.weights()[static_cast<std::size_t>(k)]));
    const Index first = k - k % ErrorFeedback::panel_size;
    for (Index j = 0; j < first + ErrorFeedback::panel_size; ++j) {
      const double factor = static_cast<double>(feedback.panel(first)[j * ErrorFeedback::panel_size + k - first]);
      if (j >= k) CHECK(factor == 0);
      r(j, k) = j == k ? size : size * factor;
    }
  }
  const double mean = h.trace() / 96;
  const RowMatrix<double> expected = h / mean + 0.01 * RowMatrix<double>::Identity(96, 96);
  CHECK((r * r.transpose() - expected).cwiseAbs().maxCoeff() < 96 * 0x1p-23);  // sums of 96 products of up to about 1
}

TEST_CASE("errors of outputs fall for every type, against a search that knows the importance") {
  const RowMatrix<double> h = correlated_moments(n_in, 2);
  const ErrorFeedback feedback = feedback_of(h);
  const auto values = random_values<float>(40 * n_in, 3);
  const TensorView tensor = make_tensor({40, n_in}, values);
  const std::vector<float> importance = diagonal_of(h);
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    const double search = output_error(values, quantised(tensor, dtype, {.importance = importance}), h);
    const double found = output_error(values, quantised(tensor, dtype, {.feedback = &feedback}), h);
    CHECK(found < 0.6 * search);  // a quarter of the directions have nearly all of the size
  }
}

TEST_CASE("inputs that have nothing to do with each other give what the search gives") {
  const auto values = random_values<float>(33 * n_in, 4);
  const TensorView tensor = make_tensor({33, n_in}, values);
  const RowMatrix<double> h = 3 * RowMatrix<double>::Identity(n_in, n_in);
  const ErrorFeedback feedback = feedback_of(h), none(Buffer<float>(n_in * n_in), n_in);
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    // The same scales, and codes that may differ where a number is as near to one as to the next.
    const TensorView search = quantised(tensor, dtype), found = quantised(tensor, dtype, {.feedback = &feedback});
    const double error = output_error(values, search, h);
    CHECK(output_error(values, found, h) == doctest::Approx(error).epsilon(1e-5));
    CHECK(bytes_of(quantised(tensor, dtype, {.feedback = &none})) == bytes_of(found));
  }
}

TEST_CASE("neither threads nor pieces change the blocks, and a row does not depend on others") {
  constexpr Index n_rows = 53;
  const ErrorFeedback feedback = feedback_of(correlated_moments(n_in, 5));
  const TensorView tensor = make_tensor({n_rows, n_in}, random_values<float>(n_rows * n_in, 6));
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    const Quantiser quantiser(dtype, n_in, {.feedback = &feedback});
    const std::string expected = bytes_of(quantised(tensor, dtype, {.feedback = &feedback}));
    for (const int n_threads : {1, 3}) {
      ThreadPool threads(n_threads);
      std::string found;
      for (Index begin = 0; begin < n_rows; begin += 9) {
        const Range rows{begin, std::min(begin + 9, n_rows)};
        std::vector<std::byte> blocks(static_cast<std::size_t>(rows.size() * quantiser.row_bytes()));
        quantiser.quantise(tensor, rows, blocks, threads);
        found.append(reinterpret_cast<const char*>(blocks.data()), blocks.size());
      }
      CHECK(found == expected);
    }
  }
}

TEST_CASE("inputs that are zero, copies of each other or of very different sizes leave finite blocks") {
  RowMatrix<double> h = RowMatrix<double>::Ones(n_in, n_in);  // all inputs are the same number
  const auto values = random_values<float>(20 * n_in, 7);
  const TensorView tensor = make_tensor({20, n_in}, values);
  const auto check_finite = [&] {
    const ErrorFeedback feedback = feedback_of(h);
    for (const DType dtype : block_types()) {
      CAPTURE(name(dtype));
      const auto found = read_all<float>(quantised(tensor, dtype, {.feedback = &feedback}));
      CHECK(std::ranges::all_of(found, [](float x) { return std::abs(x) < 100; }));
    }
  };
  check_finite();
  h.topRows(100).setZero();
  h.leftCols(100).setZero();
  check_finite();
  h *= 1e30;
  h(7, 7) = 1e-30;
  check_finite();
  h.diagonal().setConstant(1e-6);  // no moments of anything: more damping
  check_finite();
}

TEST_CASE("moments and numbers that are none are refused") {
  const auto feedback = [](const RowMatrix<double>& h) { static_cast<void>(feedback_of(h)); };
  RowMatrix<double> h = RowMatrix<double>::Identity(64, 64);
  h(40, 3) = std::nan("");
  CHECK_THROWS_WITH_AS(feedback(h), doctest::Contains("moments of inputs 40 and 3"), ArgumentError);
  h(40, 3) = 0;
  h(9, 9) = -1;
  CHECK_THROWS_WITH_AS(feedback(h), doctest::Contains("moments of inputs 9 and 9"), ArgumentError);
  CHECK_THROWS_AS(feedback(RowMatrix<double>::Identity(40, 40)), ArgumentError);
  CHECK_THROWS_AS(ErrorFeedback(Buffer<float>(64), 64), ArgumentError);

  const ErrorFeedback identity = feedback_of(RowMatrix<double>::Identity(64, 64));
  CHECK_THROWS_WITH_AS(Quantiser(DType::q4_0, 32, {.feedback = &identity}), doctest::Contains("found 64"),
                       ArgumentError);
  std::vector<float> values(3 * 64, 1.0f);
  values[2 * 64 + 5] = 70000;
  CHECK_THROWS_WITH_AS(static_cast<void>(quantised(make_tensor({3, 64}, values), DType::q4_0, {.feedback = &identity})),
                       doctest::Contains("row 2, column 5: expected numbers of up to 65504"), ArgumentError);
}

TEST_CASE("empty matrices") {
  const ErrorFeedback feedback(Buffer<float>{}, 0);
  CHECK(quantised(make_tensor({3, 0}, std::vector<float>{}), DType::q4_0, {.feedback = &feedback}).n_bytes() == 0);
}

TEST_CASE("what is no mean of x x^T is refused") {
  Buffer<float> moments(32 * 32);
  for (Index i = 0; i < 32; ++i) moments[i * 33] = 1e-30f;
  moments[32] = 1e38f;
  CHECK_THROWS_WITH_AS(ErrorFeedback(std::move(moments), 32), doctest::Contains("mean of x x^T"), ArgumentError);
}

TEST_SUITE_END();
