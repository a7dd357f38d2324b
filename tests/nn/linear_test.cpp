// SPDX-License-Identifier: MIT
#include "rwkv/nn/linear.hpp"

#include "rwkv/core/eigen.hpp"
#include "support/kernel_tables.hpp"
#include "support/support.hpp"
#include "support/weights.hpp"

using namespace rwkv;
using rwkv_test::random_values;

namespace {

/// Weights in f64, so that both precisions see the same numbers.
Linear random_linear(Index n_out, Index n_in, std::uint64_t seed) {
  const auto values = random_values<double>(n_out * n_in, seed);
  return Linear(make_tensor(DType::f64, {n_out, n_in}, std::span<const double>(values)));
}

template <class T>
MatrixView<T> view(std::vector<T>& values, Index n_rows) {
  return {values.data(), n_rows, static_cast<Index>(values.size()) / n_rows};
}

}  // namespace

TEST_SUITE_BEGIN("nn/linear");

TEST_CASE("y = x W^T, as Eigen has it, for one token and for many") {
  const Index n_in = 70, n_out = 51;
  const Linear linear = random_linear(n_out, n_in, 1);
  Workspace workspace({3});
  for (const Index n_tokens : {1, 2, 5, 33, 100}) {
    auto x = random_values<double>(n_tokens * n_in, 2);
    std::vector<double> y(static_cast<std::size_t>(n_tokens * n_out));
    linear.apply<double>(view(x, n_tokens), view(y, n_tokens), workspace);
    const RowMatrix<double> expected =
        map_matrix(view(x, n_tokens)) * map_matrix<double>(linear.weight().tensor).transpose();
    CHECK((map_matrix(view(y, n_tokens)) - expected).cwiseAbs().maxCoeff() < 1e-12);  // 70 products of size 1
  }
}

TEST_CASE("float is within the rounding of its sums of double") {
  const Index n_in = 300, n_out = 40, n_tokens = 7;
  const Linear linear = random_linear(n_out, n_in, 3);
  auto x = random_values<double>(n_tokens * n_in, 4);
  std::vector<float> x_float(x.begin(), x.end());
  x.assign(x_float.begin(), x_float.end());
  std::vector<double> y(static_cast<std::size_t>(n_tokens * n_out));
  std::vector<float> y_float(y.size());
  for (const Isa isa : all_isas) {
    if (!is_available(isa)) continue;
    Workspace workspace({2, isa});
    linear.apply<double>(view(x, n_tokens), view(y, n_tokens), workspace);
    linear.apply<float>(view(x_float, n_tokens), view(y_float, n_tokens), workspace);
    // n_in + 3 roundings (one of the weight) of half a unit of sum |x w|, which is about 0.64 n_in here: below n_in.
    CHECK(rwkv_test::max_abs_difference(y_float, y) < static_cast<double>((n_in + 3) * n_in) * 0x1p-24);
  }
}

TEST_CASE("y = x W by input is the same product, for every type, number of rows, threads and columns") {
  struct Case {
    DType dtype;
    Index n_in, n_out, first_output;  // of 2 * n_out columns
  };
  const Case cases[]{{DType::f64, 70, 51, 0},  {DType::f32, 300, 40, 0},  {DType::f32, 600, 37, 37},
                     {DType::f16, 257, 96, 5}, {DType::bf16, 5, 1100, 0}, {DType::q8_0, 300, 64, 32},
                     {DType::q4_k, 40, 256, 0}};
  for (const Case& each : cases) {
    const auto& [dtype, n_in, n_out, first_output] = each;
    CAPTURE(name(each.dtype));
    CAPTURE(each.n_in);
    const rwkv_test::Stored stored = rwkv_test::random_stored(dtype, n_in * 2 * n_out, 11);
    const TensorView wide = stored.view({n_in, 2 * n_out});
    const RowMatrix<double> all = map_matrix(MatrixView<const double>{read_all<double>(wide).data(), n_in, 2 * n_out});
    const RowMatrix<double> columns = all.middleCols(first_output, n_out);
    const Linear linear = Linear::by_input(wide, first_output, n_out);
    CHECK(linear.n_in() == n_in);
    CHECK(linear.n_out() == n_out);
    for (const Index n_tokens : {1, 3, 16, 17, 50}) {
      CAPTURE(n_tokens);
      auto x = random_values<double>(n_tokens * n_in, 12);
      std::vector<float> x_float(x.begin(), x.end());
      x.assign(x_float.begin(), x_float.end());
      const RowMatrix<double> expected = map_matrix(view(x, n_tokens)) * columns;
      const RowMatrix<double> magnitude = map_matrix(view(x, n_tokens)).cwiseAbs() * columns.cwiseAbs();
      Workspace one({1});
      std::vector<double> y(static_cast<std::size_t>(n_tokens * n_out), NAN);
      linear.apply<double>(view(x, n_tokens), view(y, n_tokens), one);
      // read_all() rounds the values of blocks to floats, products of doubles do not.
      const double in_double = info(dtype).block_elements > 1 ? 0x1p-23 : 1e-14;
      CHECK(((map_matrix(view(y, n_tokens)) - expected).array() / magnitude.array()).abs().maxCoeff() < in_double);
      for (const Isa isa : all_isas) {
        if (!is_available(isa)) continue;
        std::vector<float> before;
        for (const int n_threads : {1, 3}) {
          Workspace workspace({n_threads, isa});
          std::vector<float> y_float(y.size(), NAN);
          linear.apply<float>(view(x_float, n_tokens), view(y_float, n_tokens), workspace);
          if (n_threads > 1) CHECK(y_float == before);
          before = y_float;
          const RowMatrix<double> difference = map_matrix(view(y_float, n_tokens)).cast<double>() - expected;
          // n_in + 3 roundings (one of a weight in f64, one of the sums of tasks) of half a unit
          const double bound = static_cast<double>(n_in + 3) * 0x1p-24;
          CHECK((difference.array() / magnitude.array()).abs().maxCoeff() < bound);
        }
      }
    }
  }
}

TEST_CASE("interleaved rows give the same product, for every instruction set, number of rows and threads") {
  const Index n_in = 320, n_out = 208;
  for (const DType dtype : {DType::q8_0, DType::q4_0, DType::iq4_nl}) {
    CAPTURE(name(dtype));
    const rwkv_test::Stored stored = rwkv_test::random_stored(dtype, n_in * n_out, 11);
    const TensorView weight = stored.view({n_out, n_in});
    const Linear rows(weight), interleaved = Linear::interleaved(weight);
    CHECK(interleaved.weight().tensor.n_bytes() == weight.n_bytes());
    for (const KernelTable<float>& table : rwkv_test::available_tables()) {
      CAPTURE(name(table.isa));
      for (const bool is_rounded : {true, false}) {
        Workspace one(table, {.n_threads = 1, .rounded_activations = is_rounded});
        Workspace three(table, {.n_threads = 3, .rounded_activations = is_rounded});
        for (const Index n_tokens : {1, 4, 7, 16, 40}) {
          CAPTURE(n_tokens);
          auto x = random_values<float>(n_tokens * n_in, 5);
          std::vector<float> expected(static_cast<std::size_t>(n_tokens * n_out)), y(expected.size()), same(y.size());
          rows.apply<float>(view(x, n_tokens), view(expected, n_tokens), one);
          interleaved.apply<float>(view(x, n_tokens), view(y, n_tokens), one);
          interleaved.apply<float>(view(x, n_tokens), view(same, n_tokens), three);
          CHECK(y == same);
          // Sums of n_in products of numbers of size 1 and up to 127 * 3, rounded a few times in each group.
          const double largest = *std::max_element(expected.begin(), expected.end());
          CHECK(rwkv_test::max_abs_difference(y, expected) <= 1e-5 * largest);
        }
      }
    }
    Workspace workspace({2});
    auto x = random_values<double>(3 * n_in, 5);
    std::vector<double> expected(3 * n_out), y(expected.size());
    rows.apply<double>(view(x, 3), view(expected, 3), workspace);
    interleaved.apply<double>(view(x, 3), view(y, 3), workspace);
    CHECK(rwkv_test::max_abs_difference(y, expected) <= 1e-9);
    CHECK_THROWS_WITH_AS(static_cast<void>(Linear::interleaved(stored.view({n_out - 1, n_in}))),
                         doctest::Contains("16 rows"), ArgumentError);
  }
  CHECK_THROWS_WITH_AS(
      static_cast<void>(Linear::interleaved(rwkv_test::random_stored(DType::q4_k, 4096, 1).view({16, 256}))),
      doctest::Contains("q8_0, q4_0 or iq4_nl"), ArgumentError);
}

TEST_CASE("by input, weights of inputs that are zero are not read") {
  const Index n_in = 600, n_out = 100;
  auto weights = random_values<float>(n_in * n_out, 13);
  for (const Index n_tokens : {1, 4}) {
    auto x = random_values<float>(n_tokens * n_in, 14);
    for (Index k = 0; k < n_in; ++k) {
      if (k % 3 == 0) continue;
      for (Index t = 0; t < n_tokens; ++t) x[static_cast<std::size_t>(t * n_in + k)] = 0;
      for (Index o = 0; o < n_out; ++o) weights[static_cast<std::size_t>(k * n_out + o)] = NAN;
    }
    const Linear linear = Linear::by_input(make_tensor({n_in, n_out}, weights));
    Workspace workspace({2});
    std::vector<float> y(static_cast<std::size_t>(n_tokens * n_out), NAN);
    linear.apply<float>(view(x, n_tokens), view(y, n_tokens), workspace);
    CHECK(std::ranges::all_of(y, [](float value) { return std::isfinite(value); }));
  }
}

TEST_CASE("an observer is told of each product: the stored weights and their inputs") {
  const Linear linear = Linear::by_input(make_tensor({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}));
  std::vector<float> x{7, 8}, y(3), seen;
  Workspace workspace({1});
  workspace.observe_products([&](const TensorView& weight, MatrixView<const float> rows) {
    CHECK(weight.data == linear.weight().tensor.data);
    seen.assign(rows.span().begin(), rows.span().end());
  });
  linear.apply<float>(view(x, 1), view(y, 1), workspace);
  CHECK(seen == x);
  CHECK(y == std::vector<float>{39, 54, 69});
  workspace.observe_products(nullptr);
  seen.clear();
  linear.apply<float>(view(x, 1), view(y, 1), workspace);
  CHECK(seen.empty());
}

TEST_CASE("columns that a matrix does not have are refused") {
  const rwkv_test::Stored stored = rwkv_test::random_stored(DType::q8_0, 4 * 64, 1);
  const TensorView weight = stored.view({4, 64});
  CHECK_THROWS_WITH_AS(static_cast<void>(Linear::by_input(weight, 64, 32)),
                       "linear layer: expected columns of q8_0 [4, 64], found 32 from column 64", ArgumentError);
  CHECK_THROWS_AS(static_cast<void>(Linear::by_input(weight, 16, 32)), ArgumentError);
  CHECK_THROWS_AS(static_cast<void>(Linear::by_input(weight, -32, 32)), ArgumentError);
}

TEST_CASE("with weights in blocks, rounded activations are the same for any number of rows and threads") {
  const Index n_in = 96, n_out = 70;
  std::vector<std::byte> bytes(static_cast<std::size_t>(n_out * n_in / 32 * 34));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i % 34 == 1 ? 0x2c : i * 37 % 251);
  const Linear linear(make_tensor(DType::q8_0, {n_out, n_in}, std::span<const std::byte>(bytes)));
  auto x = random_values<float>(40 * n_in, 9);
  const auto multiply = [&](Index n_tokens, Workspace& workspace) {
    std::vector<float> y(static_cast<std::size_t>(n_tokens * n_out), NAN);
    linear.apply<float>(MatrixView<const float>{x.data(), n_tokens, n_in}, view(y, n_tokens), workspace);
    return y;
  };
  Workspace one({1}), three({3});
  Workspace exact({.n_threads = 2, .rounded_activations = false});
  const auto many = multiply(40, one);
  double largest = 0;
  for (const float value : many) largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (const Index n_tokens : {1, 2, 16, 17, 40}) {
    CAPTURE(n_tokens);
    const auto y = multiply(n_tokens, one);
    CHECK(y == multiply(n_tokens, three));
    const std::vector<float> expected(many.begin(), many.begin() + n_tokens * n_out);
    CHECK(rwkv_test::max_abs_difference(y, expected) < 1e-6 * largest);
    const double rounding = rwkv_test::max_abs_difference(y, multiply(n_tokens, exact));
    CHECK(rounding > 1e-4 * largest);  // or it is not rounded
    CHECK(rounding < 2e-2 * largest);
  }
}

TEST_CASE("products of one group give what each gives alone, with the same bits for any number of threads") {
  const Linear a = random_linear(33, 20, 5), b = random_linear(70, 24, 6);
  for (const Index n_tokens : {1, 40}) {
    auto xa = random_values<float>(n_tokens * 20, 7), xb = random_values<float>(n_tokens * 24, 8);
    std::vector<std::vector<float>> results;
    for (const int n_threads : {1, 2, 3, 7}) {
      Workspace workspace({n_threads});
      std::vector<float> ya(static_cast<std::size_t>(n_tokens * 33)), yb(static_cast<std::size_t>(n_tokens * 70));
      const Product<float> products[]{{&a, view(xa, n_tokens), view(ya, n_tokens)},
                                      {&b, view(xb, n_tokens), view(yb, n_tokens)}};
      multiply<float>(products, workspace);
      std::vector<float> alone(ya.size());
      a.apply<float>(view(xa, n_tokens), view(alone, n_tokens), workspace);
      CHECK(alone == ya);
      ya.insert(ya.end(), yb.begin(), yb.end());
      results.push_back(ya);
    }
    for (const auto& result : results) CHECK(result == results[0]);
  }
}

TEST_CASE("sizes that do not fit are refused") {
  const Linear linear = random_linear(3, 4, 1);
  Workspace workspace({1});
  std::vector<float> x(8), y(6);
  CHECK_THROWS_WITH_AS(linear.apply<float>({x.data(), 2, 4}, {y.data(), 3, 2}, workspace),
                       "y: expected shape [2, 3], found [3, 2]", ArgumentError);
  CHECK_THROWS_WITH_AS(linear.apply<float>({x.data(), 1, 8}, {y.data(), 1, 3}, workspace),
                       "x: expected shape [1, 4], found [1, 8]", ArgumentError);
}

TEST_CASE("only matrices of real numbers are weights") {
  CHECK_THROWS_WITH_AS(Linear(make_tensor({4}, std::vector<float>(4))), doctest::Contains("found f32 [4]"),
                       ArgumentError);
  const std::vector<std::int32_t> integers(4);
  CHECK_THROWS_WITH_AS(Linear(make_tensor(DType::i32, {2, 2}, std::span<const std::int32_t>(integers))),
                       doctest::Contains("found i32 [2, 2]"), ArgumentError);
}

TEST_CASE("a bias is added to every row, whatever type it is stored in, and one of another length is refused") {
  constexpr Index n_in = 7, n_out = 5;
  const auto weight = random_values<float>(n_in * n_out, 1);
  const float bias[n_out] = {0.5f, -1, 2.25f, -3.5f, 0};  // the same in every type
  const double wide[n_out] = {0.5, -1, 2.25, -3.5, 0};
  std::uint16_t f16[n_out], bf16[n_out];
  std::ranges::transform(bias, f16, f32_to_f16);
  std::ranges::transform(bias, bf16, f32_to_bf16);
  const TensorView biases[] = {make_tensor({n_out}, bias), make_tensor<double>(DType::f64, {n_out}, wide),
                               make_tensor<std::uint16_t>(DType::f16, {n_out}, f16),
                               make_tensor<std::uint16_t>(DType::bf16, {n_out}, bf16)};
  const TensorView stored = make_tensor({n_out, n_in}, weight);
  Workspace workspace({2});
  for (const TensorView& stored_bias : biases) {
    CAPTURE(name(stored_bias.dtype));
    const Linear plain(stored), biased(stored, stored_bias);
    for (const Index n_rows : {0, 1, 3, 40}) {
      const auto x = random_values<float>(n_rows * n_in, 3);
      std::vector<float> y(static_cast<std::size_t>(n_rows * n_out)), expected(y.size());
      plain.apply<float>({x.data(), n_rows, n_in}, {expected.data(), n_rows, n_out}, workspace);
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += bias[i % n_out];
      biased.apply<float>({x.data(), n_rows, n_in}, {y.data(), n_rows, n_out}, workspace);
      CHECK(y == expected);
    }
  }
  CHECK_THROWS_WITH_AS(Linear(stored, make_tensor({4}, std::vector<float>(4))), doctest::Contains("5 real numbers"),
                       ArgumentError);
}

TEST_CASE("a product without a linear is left out of its group") {
  const auto weight = random_values<float>(6, 1), x = random_values<float>(2, 2);
  const Linear linear(make_tensor({3, 2}, weight));
  Workspace workspace({2});
  std::vector<float> alone(3), grouped(3);
  linear.apply<float>({x.data(), 1, 2}, {alone.data(), 1, 3}, workspace);
  const Product<float> products[]{{&linear, {x.data(), 1, 2}, {grouped.data(), 1, 3}}, {nullptr, {}, {}}};
  multiply<float>(products, workspace);
  CHECK(grouped == alone);
}

TEST_SUITE_END();
