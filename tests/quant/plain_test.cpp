// SPDX-License-Identifier: MIT
#include "rwkv/quant/plain.hpp"

#include "quant/block_types.hpp"
#include "rwkv/io/open.hpp"

using namespace rwkv;
using rwkv_test::block_types;

namespace {

constexpr QuantiseOptions plain{.rule = ScaleRule::plain};

/// How many tensors of `file` are in blocks; checks that they are the plain blocks of the same ones in `source`.
int check_blocks(const std::string& source, const std::string& file) {
  const Checkpoint numbers = open_checkpoint(rwkv_test::shared_file(source));
  const Checkpoint blocks = open_checkpoint(rwkv_test::shared_file(file));
  int n_tensors = 0;
  for (const Checkpoint::Entry& entry : blocks.entries()) {
    const TensorView& expected = entry.tensor;
    if (info(expected.dtype).block_elements == 1) continue;
    CAPTURE(entry.name);
    ++n_tensors;
    const TensorView found = quantised(numbers.at(entry.name), expected.dtype, plain);
    REQUIRE(found.n_bytes() == expected.n_bytes());
    CHECK(std::memcmp(found.data, expected.data, static_cast<std::size_t>(found.n_bytes())) == 0);
  }
  return n_tensors;
}

}  // namespace

TEST_SUITE_BEGIN("quant/plain");

TEST_CASE("the blocks are those that ggml makes, byte for byte") {
  RWKV_NEEDS_SHARED();
  for (const char* file : {"v7_Q8_0.bin", "v7_Q4_0.bin", "v7_Q5_1.bin"}) {
    CAPTURE(file);
    CHECK(check_blocks("spec/golden/formats/v7_F32.bin", "spec/golden/formats/" + std::string(file)) > 5);
  }
}

TEST_CASE("the blocks of trained models are those that rwkv.cpp makes, byte for byte") {
  RWKV_NEEDS_SHARED();
  const std::string folder = "testdata/rwkv.cpp-tiny/tiny-rwkv-";
  struct Pair {
    std::string model, type;
    int n_tensors;
  };
  for (const Pair& pair :
       {Pair{"4v0-660K", "Q5_0", 28}, Pair{"4v0-660K", "Q5_1", 28}, Pair{"5v2-730K", "Q5_0", 96},
        Pair{"5v2-730K", "Q5_1", 96}, Pair{"5v2-730K", "FP32-to-Q8_0", 96}, Pair{"5v2-730K", "FP32-to-Q4_0", 96},
        Pair{"7v0-834K", "Q5_0", 72}, Pair{"7v0-834K", "Q5_1", 72}}) {
    const std::string file = folder + pair.model + "-" + pair.type + ".bin";
    CAPTURE(file);
    CHECK(check_blocks(folder + pair.model + "-FP32.bin", file) == pair.n_tensors);
  }
}

TEST_CASE("a ramp in q4_1 has the codes of its rule") {
  std::vector<float> ramp(32);
  for (std::size_t i = 0; i < 32; ++i) ramp[i] = static_cast<float>(i) - 7;
  const TensorView tensor = quantised(make_tensor({32}, ramp), DType::q4_1, plain);
  BlockQ4_1 block;
  std::memcpy(&block, tensor.data, sizeof(block));
  CHECK(block.d == f32_to_f16(31.0f / 15.0f));
  CHECK(block.m == f32_to_f16(-7.0f));
  for (int i = 0; i < 32; ++i) {
    CAPTURE(i);
    CHECK(detail::nibble(block.q, i) == (i * 15 * 2 + 31) / 62);  // i * 15 / 31, rounded; there are no ties
  }
}

TEST_CASE("numbers come back within a step of their block") {
  // Errors in steps of a block's scale; the rounding of scale and minimum to f16 comes on top. Codes of q4_0 and q5_0
  // end one step before the negative of the largest number, those of iq4_nl 14 of 127, its widest gap being 24.
  struct Format {
    DType dtype;
    double largest_error, n_steps;
    bool is_symmetric;
  };
  for (const Format& format : {Format{DType::q8_0, 0.5, 127, true}, Format{DType::q4_0, 1.0, 8, true},
                               Format{DType::q5_0, 1.0, 16, true}, Format{DType::iq4_nl, 14.0, 127, true},
                               Format{DType::q4_1, 0.5, 15, false}, Format{DType::q5_1, 0.5, 31, false}}) {
    CAPTURE(name(format.dtype));
    const auto values = rwkv_test::random_values<float>(100 * 32, 7);
    const auto found = read_all<double>(quantised(make_tensor({100, 32}, values), format.dtype, plain));
    for (std::size_t block = 0; block < values.size(); block += 32) {
      const auto [low, high] = std::minmax_element(&values[block], &values[block] + 32);
      const double largest = std::max(std::abs(*low), std::abs(*high));
      const double range = format.is_symmetric ? largest : static_cast<double>(*high) - static_cast<double>(*low);
      const double step = range / format.n_steps;
      for (std::size_t i = block; i < block + 32; ++i) {
        const double error = std::abs(found[static_cast<Index>(i)] - static_cast<double>(values[i]));
        CHECK(error <= format.largest_error * step + 2 * largest * 0x1p-11);
      }
    }
  }
}

TEST_CASE("numbers come back from blocks of 256 within a step and the rounding of scales") {
  // A scale of 6 bits is off by half a 63rd of the largest one of its block, and so is a minimum; 8 bits of q6_k with
  // 128 alike. A code multiplies that by up to 15, 31 or 32. Codes of q6_k end a step early, as those of q4_0 do.
  struct Format {
    DType dtype;
    int max_code;
    std::size_t n_group;
  };
  for (const Format& format : {Format{DType::q4_k, 15, 32}, Format{DType::q5_k, 31, 32}, Format{DType::q6_k, 32, 16}}) {
    CAPTURE(name(format.dtype));
    const bool has_minimum = format.dtype != DType::q6_k;
    const double max_code = format.max_code;
    constexpr std::size_t n = 20 * 256;
    const auto values = rwkv_test::random_values<float>(n, 8);
    const auto found = read_all<double>(quantised(make_tensor({20, 256}, values), format.dtype, plain));
    for (std::size_t block = 0; block < n; block += 256) {
      double largest_step = 0, largest_minimum = 0;
      std::vector<double> steps;
      for (std::size_t group = block; group < block + 256; group += format.n_group) {
        const auto [low, high] = std::minmax_element(&values[group], &values[group] + format.n_group);
        const double range = has_minimum ? *high - std::min(*low, 0.0f) : std::max(-*low, *high);
        steps.push_back(range / max_code);
        largest_step = std::max(largest_step, steps.back());
        largest_minimum = std::max(largest_minimum, -static_cast<double>(*low));
      }
      const double of_scale = largest_step / (has_minimum ? 63 : 128) / 2 * max_code;
      const double of_minimum = has_minimum ? largest_minimum / 63 / 2 : 0;
      for (std::size_t i = 0; i < 256; ++i) {
        const double step = steps[i / format.n_group];
        const double error = std::abs(found[static_cast<Index>(block + i)] - static_cast<double>(values[block + i]));
        const double of_f16 = (max_code * largest_step + largest_minimum) * 0x1p-11;
        CHECK(error <= (has_minimum ? 0.5 : 1.0) * step + of_scale + of_minimum + of_f16);
      }
    }
  }
}

TEST_SUITE_END();
