// SPDX-License-Identifier: MIT
#include "rwkv/quant/quantise.hpp"

#include "quant/block_types.hpp"

using namespace rwkv;
using rwkv_test::block_types;
using rwkv_test::random_values;

namespace {

constexpr ScaleRule rules[] = {ScaleRule::plain, ScaleRule::search};

std::string bytes_of(const TensorView& tensor) {
  return {reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.n_bytes())};
}

/// What 256 copies of a number come back as.
Buffer<float> constant(float value, DType dtype, ScaleRule rule) {
  const std::vector<float> values(256, value);
  return read_all<float>(quantised(make_tensor({256}, values), dtype, {.rule = rule}));
}

}  // namespace

TEST_SUITE_BEGIN("quant/quantise");

TEST_CASE("neither threads nor pieces change the blocks") {
  constexpr Index n_rows = 37, n_in = 1280;
  auto values = random_values<float>(n_rows * n_in, 3);
  // Workers take subnormal numbers for zeros, other threads do not: some rows are subnormal or have such squares.
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] *= i / n_in % 5 == 1 ? 1e-38f : i / n_in % 5 == 3 ? 1e-19f : 1;
  const auto importance = random_values<float>(n_in, 4);
  std::vector<float> weights;
  for (const float value : importance) weights.push_back(value * value);
  const TensorView tensor = make_tensor({n_rows, n_in}, values);
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    for (const ScaleRule rule : rules) {
      const Quantiser quantiser(dtype, n_in, {rule, weights});
      const std::string expected = bytes_of(quantised(tensor, dtype, {rule, weights}));
      for (const int n_threads : {1, 2, 3, 7}) {
        CAPTURE(n_threads);
        ThreadPool threads(n_threads);
        std::string found;
        for (Index begin = 0; begin < n_rows; begin += 10) {
          const Range rows{begin, std::min(begin + 10, n_rows)};
          std::vector<std::byte> blocks(static_cast<std::size_t>(rows.size() * quantiser.row_bytes()));
          quantiser.quantise(tensor, rows, blocks, threads);
          found.append(reinterpret_cast<const char*>(blocks.data()), blocks.size());
        }
        CHECK(found == expected);
      }
    }
  }
}

TEST_CASE("a row does not depend on its neighbours, nor a block of 32 on others") {
  const auto values = random_values<float>(7 * 32, 5);
  for (const DType dtype : block_types()) {
    if (info(dtype).block_elements != 32) continue;
    CAPTURE(name(dtype));
    const std::string row = bytes_of(quantised(make_tensor({7 * 32}, values), dtype));
    CHECK(bytes_of(quantised(make_tensor({7, 32}, values), dtype)) == row);
    CHECK(bytes_of(quantised(make_tensor({7, 1, 32}, values), dtype)) == row);
  }
}

TEST_CASE("numbers of every type are quantised as the same numbers in float") {
  const auto values = random_values<float>(512, 6);
  for (const DType from : {DType::f16, DType::bf16, DType::f64, DType::q8_0, DType::q6_k}) {
    CAPTURE(name(from));
    TensorView tensor;
    if (info(from).block_elements > 1) {
      tensor = quantised(make_tensor({2, 256}, values), from);
    } else if (from == DType::f64) {
      const std::vector<double> numbers(values.begin(), values.end());
      tensor = make_tensor<double>(from, {2, 256}, numbers);
    } else {
      std::vector<std::uint16_t> numbers;
      for (const float value : values) numbers.push_back(from == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value));
      tensor = make_tensor<std::uint16_t>(from, {2, 256}, numbers);
    }
    const TensorView in_float = make_tensor({2, 256}, read_all<float>(tensor).span());
    for (const DType to : block_types()) CHECK(bytes_of(quantised(tensor, to)) == bytes_of(quantised(in_float, to)));
  }
}

TEST_CASE("what a block holds exactly comes back exactly") {
  Random random(9);
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    const bool has_offset =
        dtype == DType::q4_1 || dtype == DType::q5_1 || dtype == DType::q4_k || dtype == DType::q5_k;
    const int group = dtype == DType::q6_k ? 16 : 32;
    const int half = dtype == DType::q8_0 ? 127 : dtype == DType::q6_k ? 32 : dtype == DType::q5_0 ? 16 : 8;
    const int max_code = dtype == DType::q5_1 || dtype == DType::q5_k ? 31 : 15;
    std::vector<float> values;
    for (int i = 0; i < 512; ++i) {
      // Each group has its first and its last code: from them the plain rule has the scale.
      const int code = i % group < 2 ? i % group : static_cast<int>(random.next() % 15) + 1;
      const float scale = 0.25f * static_cast<float>(i / 256 + 1);  // of all groups of a block of 256
      if (dtype == DType::iq4_nl) {
        values.push_back(scale * iq4_values[i % group < 2 ? 0 : code]);
      } else if (has_offset) {
        values.push_back(scale * static_cast<float>((i % group == 1 ? max_code : code) - 4));
      } else {
        values.push_back(scale * static_cast<float>(i % group == 0 ? -half : code - 8));
      }
    }
    for (const ScaleRule rule : rules) {
      const auto found = read_all<float>(quantised(make_tensor({2, 256}, values), dtype, {.rule = rule}));
      // q4_k and q5_k hold a 63rd of a scale and of a minimum, rounded to f16; numbers are up to 35 / 2 of these.
      const bool is_rounded = dtype == DType::q4_k || dtype == DType::q5_k;
      const double bound = is_rounded ? 18 * 0x1p-11 : 0;
      CHECK(rwkv_test::max_abs_difference(found, values) <= bound);
    }
  }
}

TEST_CASE("zeros stay zeros") {
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    for (const ScaleRule rule : rules) {
      for (const float value : constant(0, dtype, rule)) CHECK(value == 0);
    }
  }
}

TEST_CASE("a constant comes back as closely as f16 holds it") {
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    for (const ScaleRule rule : rules) {
      for (const float value : {1.0f, -1.0f, 0.3f, -0.3f, 65504.0f, -65504.0f}) {
        CAPTURE(value);
        // Half of the last digit of f16, twice where a scale of a scale is rounded, too.
        for (const float found : constant(value, dtype, rule)) {
          CHECK(std::abs(found - value) <= 0x1p-10f * std::abs(value));
        }
      }
    }
  }
}

TEST_CASE("one large number among small ones comes back, and the small ones become next to nothing") {
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    std::vector<float> values(256, 1e-3f);
    values[77] = -60000;
    const auto found = read_all<float>(quantised(make_tensor({256}, values), dtype));
    // iq4_nl has no zero: the 31 others are 1 of 127 each, and the scale that is best for all is less by 31 / 127^2.
    // Where there is a minimum, zero is its sum with a multiple of the scale, both rounded to f16.
    const bool has_zero = dtype == DType::q8_0 || dtype == DType::q4_0 || dtype == DType::q5_0 || dtype == DType::q6_k;
    const float largest_zero = dtype == DType::iq4_nl ? 60000.0f / 127 : has_zero ? 1.001e-3f : 60000 * 0x1p-10f;
    CHECK(std::abs(found[77] + 60000) <= 60000 * (dtype == DType::iq4_nl ? 0.002f : 0x1p-10f));
    for (Index i = 0; i < 256; ++i) {
      if (i != 77) CHECK(std::abs(found[i]) <= largest_zero);
    }
  }
}

TEST_CASE("numbers too small for scales in f16 become zeros, not noise") {
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    for (const ScaleRule rule : rules) {
      for (const float value : {1e-9f, -1e-12f, 1e-30f, -1e-39f, 1e-45f}) {
        CAPTURE(value);
        for (const float found : constant(value, dtype, rule)) CHECK(found == 0);
      }
    }
  }
}

TEST_CASE("numbers of which f16 holds scales with few digits lose no more than these") {
  // 2^-24 is the unit of f16 there: a scale is off by half of it, times the largest code, and a number by half a step.
  struct Format {
    DType dtype;
    double max_code;
  };
  const auto values = random_values<float>(256, 10, 1e-6);
  for (const Format& format :
       {Format{DType::q4_0, 8}, Format{DType::q4_1, 15}, Format{DType::q5_0, 16}, Format{DType::q5_1, 31}}) {
    CAPTURE(name(format.dtype));
    const auto found = read_all<double>(quantised(make_tensor({256}, values), format.dtype));
    double error = 0;
    for (std::size_t i = 0; i < 256; ++i) {
      const double difference = found[static_cast<Index>(i)] - static_cast<double>(values[i]);
      error += difference * difference;
    }
    const double step = std::max(8e-6 / format.max_code, 0x1p-24);  // numbers lie in +-4e-6
    CHECK(std::sqrt(error / 256) <= step / 2 + format.max_code * 0x1p-25);
  }
}

TEST_CASE("blocks are finite whatever the numbers are") {
  Random random(12);
  std::vector<float> values(64 * 256);
  for (float& value : values) {
    const double magnitude = std::exp2(random.uniform() * 160 - 144);
    value = static_cast<float>((random.next() % 2 == 0 ? 1 : -1) * std::min(magnitude, 65504.0));
  }
  for (const DType dtype : block_types()) {
    CAPTURE(name(dtype));
    for (const ScaleRule rule : rules) {
      const auto found = read_all<float>(quantised(make_tensor({64, 256}, values), dtype, {.rule = rule}));
      CHECK(std::ranges::all_of(found, [](float value) { return std::abs(value) < 2 * 65504.0f; }));
    }
  }
}

TEST_CASE("rows that do not fit and types that are no blocks are refused") {
  const std::vector<float> values(96, 1.0f);
  const TensorView tensor = make_tensor({3, 32}, values);
  CHECK_THROWS_WITH_AS(static_cast<void>(quantised(tensor, DType::q4_k, {.name = "head.weight"})),
                       "tensor 'head.weight': expected rows of a multiple of 256 numbers for q4_k, found 32. "
                       "Types with blocks of 32 may fit.",
                       ArgumentError);
  CHECK_THROWS_WITH_AS(static_cast<void>(quantised(make_tensor({2, 48}, values), DType::q8_0)),
                       "quantiser: expected rows of a multiple of 32 numbers for q8_0, found 48", ArgumentError);
  CHECK_THROWS_WITH_AS(static_cast<void>(quantised(tensor, DType::bf16)),
                       "quantiser: expected a type of blocks, q8_0 to q6_k, found bf16", ArgumentError);
  const std::vector<std::int32_t> integers(32);
  CHECK_THROWS_WITH_AS(static_cast<void>(quantised(make_tensor<std::int32_t>(DType::i32, {32}, integers), DType::q8_0)),
                       "quantiser: expected rows of 32 real numbers, found i32 [32]", ArgumentError);
}

TEST_CASE("numbers that a block cannot hold are refused with their place") {
  using Case = std::pair<float, const char*>;
  for (const Case& each : {Case{INFINITY, "inf"}, {-INFINITY, "-inf"}, {NAN, "nan"}, {65536.0f, "65536. Keep"}}) {
    const float bad = each.first;
    CAPTURE(bad);
    std::vector<float> values(3 * 512, 1.0f);
    values[2 * 512 + 300] = bad;
    for (const DType dtype : block_types()) {
      for (const ScaleRule rule : rules) {
        const QuantiseOptions options{rule, {}, "emb.weight"};
        const std::string start = "tensor 'emb.weight', row 2, column 300: expected numbers of up to 65504, found ";
        CHECK_THROWS_WITH_AS(static_cast<void>(quantised(make_tensor({3, 512}, values), dtype, options)),
                             doctest::Contains((start + each.second).c_str()), ArgumentError);
      }
    }
  }
}

TEST_CASE("importance that is not one good number for each input is refused") {
  std::vector<float> importance(64, 1.0f);
  CHECK_THROWS_WITH_AS(Quantiser(DType::q8_0, 32, {.importance = importance}),
                       "quantiser, importance: expected 32 numbers, found 64", ArgumentError);
  for (const float bad : {-1.0f, NAN, INFINITY}) {
    importance[5] = bad;
    CHECK_THROWS_WITH_AS(Quantiser(DType::q8_0, 64, {.importance = importance, .name = "x"}),
                         doctest::Contains("tensor 'x', importance of input 5: expected a finite number, not negative"),
                         ArgumentError);
  }
}

TEST_CASE("rows that a tensor has not, and too little room, are refused") {
  const std::vector<float> values(96, 1.0f);
  const TensorView tensor = make_tensor({3, 32}, values);
  const Quantiser quantiser(DType::q4_0, 32);
  ThreadPool threads(1);
  std::vector<std::byte> blocks(36);
  CHECK(quantiser.row_bytes() == 18);
  CHECK_NOTHROW(quantiser.quantise(tensor, {1, 3}, blocks, threads));
  CHECK_NOTHROW(quantiser.quantise(tensor, {3, 3}, {}, threads));
  for (const Range rows : {Range{2, 4}, Range{-1, 1}, Range{3, 1}}) {
    CHECK_THROWS_WITH_AS(quantiser.quantise(tensor, rows, blocks, threads),
                         doctest::Contains("expected rows within 0 .. 3"), ArgumentError);
  }
  CHECK_THROWS_WITH_AS(quantiser.quantise(tensor, {0, 3}, blocks, threads),
                       "quantiser: expected room for 54 bytes, found 36", ArgumentError);
  CHECK_THROWS_WITH_AS(quantiser.quantise(make_tensor({1, 96}, values), {0, 1}, blocks, threads),
                       "quantiser: expected rows of 32 real numbers, found f32 [1, 96]", ArgumentError);
}

TEST_SUITE_END();
