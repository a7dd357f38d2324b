// SPDX-License-Identifier: MIT
#include "rwkv/core/tensor.hpp"

#include "rwkv/core/eigen.hpp"
#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/tensor");

TEST_CASE("sizes that do not exist are nothing, not a wrong number") {
  constexpr Index huge = Index{1} << 62;
  CHECK(checked_multiply(3, 5) == 15);
  CHECK(checked_multiply(huge, 0) == 0);
  CHECK_FALSE(checked_multiply(huge, 2).has_value());
  CHECK_FALSE(checked_multiply(-1, 2).has_value());
  CHECK(Shape{}.checked_n_elements() == 1);
  CHECK(Shape{huge, huge, 0}.checked_n_elements() == 0);
  CHECK_FALSE(Shape{huge, 4}.checked_n_elements().has_value());
  CHECK_FALSE(Shape{-2, -3}.checked_n_elements().has_value());
  CHECK_FALSE(checked_n_bytes(DType::f64, {huge}).has_value());
  CHECK(checked_n_bytes(DType::bf16, {3, 5}) == 30);
  CHECK(to_string(Shape{1, 20}) == "[1, 20]");
  CHECK(to_string(Shape{}) == "[]");
}

TEST_CASE("numbers are read from any address and every real type") {
  const float values[] = {1.5f, -2.0f};
  std::vector<std::byte> bytes(1 + sizeof(values));
  std::memcpy(bytes.data() + 1, values, sizeof(values));
  CHECK(read_element<double>(DType::f32, bytes.data() + 1, 1) == -2.0);
  const std::vector<std::uint16_t> halves{0x3c00, 0xc000};
  const auto tensor = make_tensor(DType::f16, {2}, std::span<const std::uint16_t>(halves));
  CHECK(read_all<float>(tensor)[1] == -2.0f);
  const std::vector<double> doubles{0.1};
  CHECK(read_all<double>(make_tensor(DType::f64, {1}, std::span<const double>(doubles)))[0] == 0.1);
  const std::vector<std::uint8_t> integers{1};
  CHECK_THROWS_WITH_AS(
      static_cast<void>(read_all<float>(make_tensor(DType::u8, {1}, std::span<const std::uint8_t>(integers)))),
      doctest::Contains("found u8"), ArgumentError);
}

TEST_CASE("values that do not fill a tensor are refused") {
  const std::vector<float> values(5);
  CHECK_THROWS_WITH_AS(static_cast<void>(make_tensor({2, 3}, values)),
                       "make_tensor: expected f32 [2, 3], found 20 bytes", ArgumentError);
}

TEST_CASE("a tensor keeps its owner alive") {
  TensorView view;
  {
    const std::vector<float> values{1, 2, 3};
    const TensorView tensor = make_tensor({3}, values);
    view = tensor;
  }
  CHECK(read_all<float>(view)[2] == 3.0f);
}

TEST_CASE("a transposed copy exchanges the last two axes, in every type") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const TensorView matrix = transposed(make_tensor({2, 3}, values));
  CHECK(matrix.shape == Shape{3, 2});
  const auto turned = read_all<float>(matrix);
  CHECK(std::vector<float>(turned.begin(), turned.end()) == std::vector<float>{1, 4, 2, 5, 3, 6});
  const TensorView stack = transposed(make_tensor({2, 1, 3}, values));
  CHECK(stack.shape == Shape{2, 3, 1});
  const auto kept = read_all<float>(stack);
  CHECK(std::vector<float>(kept.begin(), kept.end()) == values);
  const std::vector<std::uint8_t> bytes{1, 2, 3, 4};
  const TensorView small = transposed(make_tensor(DType::u8, {2, 2}, std::span<const std::uint8_t>(bytes)));
  CHECK(std::to_integer<int>(small.data[1]) == 3);
  constexpr Index huge = Index{1} << 40;
  CHECK(transposed({DType::f32, {0, huge, huge}, nullptr, nullptr}).n_elements() == 0);
  CHECK(transposed({DType::f32, {2, 3}, nullptr, nullptr}).shape == Shape{3, 2});
  CHECK_THROWS_WITH_AS(static_cast<void>(transposed(make_tensor({6}, values))), doctest::Contains("found f32 [6]"),
                       ArgumentError);
}

TEST_CASE("Eigen sees a stored matrix in place") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const TensorView tensor = make_tensor({2, 3}, values);
  const auto map = map_matrix<float>(tensor);
  CHECK(reinterpret_cast<const std::byte*>(map.data()) == tensor.data);
  CHECK(map(1, 0) == 4.0f);
  const std::vector<std::uint16_t> halves{0x3f80, 0x4000};
  const TensorView stored = make_tensor(DType::bf16, {1, 2}, std::span<const std::uint16_t>(halves));
  const auto bf16 = map_matrix<Eigen::bfloat16>(stored);
  CHECK(static_cast<float>(bf16(0, 1)) == 2.0f);
  CHECK_THROWS_WITH_AS(static_cast<void>(map_matrix<double>(tensor)), doctest::Contains("found f32 [2, 3]"),
                       ArgumentError);
  TensorView crooked = tensor;
  crooked.data += 1;
  CHECK_THROWS_WITH_AS(static_cast<void>(map_matrix<float>(crooked)), doctest::Contains("not aligned"), ArgumentError);
}

TEST_SUITE_END();
