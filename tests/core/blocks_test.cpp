// SPDX-License-Identifier: MIT
#include "rwkv/core/blocks.hpp"

#include "rwkv/core/tensor.hpp"
#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("core/blocks");

TEST_CASE("blocks give the values of the reference to the last bit") {
  RWKV_NEEDS_SHARED();
  int n_types = 0;
  for (const DTypeInfo& type : dtype_infos) {
    if (type.block_elements == 1) continue;
    ++n_types;
    std::string file(type.name);
    std::ranges::transform(file, file.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    CAPTURE(file);
    const std::string blocks = rwkv_test::read_file(rwkv_test::shared_file("spec/golden/quant/" + file + ".bin"));
    const std::string floats = rwkv_test::read_file(rwkv_test::shared_file("spec/golden/quant/" + file + ".f32"));
    const auto n_blocks = static_cast<Index>(blocks.size()) / type.block_bytes;
    REQUIRE(static_cast<Index>(floats.size()) == n_blocks * type.block_elements * 4);
    const Shape shape{n_blocks, type.block_elements};
    const auto values =
        read_all<float>({type.dtype, shape, reinterpret_cast<const std::byte*>(blocks.data()), nullptr});
    CHECK(std::memcmp(values.data(), floats.data(), floats.size()) == 0);
  }
  CHECK(n_types == 9);
}

TEST_CASE("rows are whole blocks") {
  CHECK(checked_n_bytes(DType::q4_0, {3, 64}) == 3 * 2 * 18);
  CHECK_FALSE(checked_n_bytes(DType::q4_0, {3, 48}).has_value());
  CHECK(checked_n_bytes(DType::q6_k, {256}) == 210);
  CHECK_FALSE(checked_n_bytes(DType::q6_k, {8, 32}).has_value());
}

TEST_SUITE_END();
