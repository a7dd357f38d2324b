// SPDX-License-Identifier: MIT
#include "rwkv/quant/cast.hpp"

#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::max_abs_difference;
using rwkv_test::random_values;

namespace {

std::string bytes_of(const TensorView& tensor) {
  return {reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.n_bytes())};
}

}  // namespace

TEST_SUITE_BEGIN("quant/cast");

TEST_CASE("the same type is the same tensor") {
  ThreadPool threads(1);
  const TensorView tensor = make_tensor({2, 3}, random_values<float>(6, 1));
  CHECK(cast(tensor, DType::f32, threads).data == tensor.data);
}

TEST_CASE("numbers are rounded to the nearest, and widening is exact") {
  ThreadPool threads(2);
  const auto values = random_values<float>(600'000, 2);  // more than two pieces
  const TensorView tensor = make_tensor({600, 1000}, values);
  for (const DType dtype : {DType::f16, DType::bf16}) {
    CAPTURE(name(dtype));
    const TensorView narrow = cast(tensor, dtype, threads);
    CHECK(narrow.dtype == dtype);
    CHECK(narrow.shape == tensor.shape);
    auto expected = values;
    for (float& x : expected) {
      x = dtype == DType::f16 ? f16_to_f32(f32_to_f16(x)) : bf16_to_f32(f32_to_bf16(x));
    }
    CHECK(max_abs_difference(read_all<float>(narrow), expected) == 0);
    for (const DType wide : {DType::f32, DType::f64}) {
      CHECK(max_abs_difference(read_all<double>(cast(narrow, wide, threads)), expected) == 0);
      CHECK(bytes_of(cast(cast(narrow, wide, threads), dtype, threads)) == bytes_of(narrow));
    }
  }
}

TEST_CASE("blocks are those of quantised, for any number of threads, and expand to their numbers") {
  ThreadPool one(1), three(3);
  const TensorView tensor = make_tensor({300, 2048}, random_values<float>(300 * 2048, 3));
  for (const DType dtype : {DType::q8_0, DType::q4_0, DType::q5_1, DType::iq4_nl, DType::q4_k, DType::q6_k}) {
    CAPTURE(name(dtype));
    const TensorView blocks = cast(tensor, dtype, three);
    CHECK(bytes_of(blocks) == bytes_of(quantised(tensor, dtype)));
    CHECK(bytes_of(blocks) == bytes_of(cast(tensor, dtype, one)));
    CHECK(max_abs_difference(read_all<float>(cast(blocks, DType::f32, three)), read_all<float>(blocks)) == 0);
  }
}

TEST_CASE("what does not fit is refused") {
  ThreadPool threads(2);
  const TensorView large = make_tensor({1, 32}, std::vector<float>(32, 65520.0f));
  CHECK_THROWS_WITH_AS(static_cast<void>(cast(large, DType::f16, threads)), doctest::Contains("up to 65504"),
                       ArgumentError);
  CHECK_THROWS_AS(static_cast<void>(cast(large, DType::q8_0, threads)), ArgumentError);
  CHECK_THROWS_AS(static_cast<void>(cast(large, DType::i8, threads)), ArgumentError);
  CHECK_THROWS_WITH_AS(static_cast<void>(cast(make_tensor({2, 48}, std::vector<float>(96)), DType::q8_0, threads)),
                       doctest::Contains("rows of a multiple of 32 for q8_0, found f32 [2, 48]"), ArgumentError);
  const float infinity = std::numeric_limits<float>::infinity();
  const TensorView special = make_tensor({2}, std::vector<float>{infinity, std::nanf("")});
  const auto halves = read_all<float>(cast(special, DType::f16, threads));
  CHECK(halves[0] == infinity);
  CHECK(std::isnan(halves[1]));
}

TEST_CASE("scalars and empty tensors") {
  ThreadPool threads(2);
  CHECK(read_all<float>(cast(make_tensor({}, std::vector<float>{7}), DType::bf16, threads))[0] == 7);
  CHECK(cast(make_tensor({0, 32}, std::vector<float>{}), DType::q8_0, threads).shape == Shape{0, 32});
}

TEST_SUITE_END();
