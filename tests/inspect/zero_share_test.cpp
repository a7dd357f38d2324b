// SPDX-License-Identifier: MIT
#include "rwkv/inspect/zero_share.hpp"

#include <array>

#include "rwkv/arch/sparse.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("inspect/zero_share");

TEST_CASE("zeros are counted by the layer of the matrix that they meet") {
  const Config& config = rwkv_test::small_model(Generation::v7);
  const Checkpoint checkpoint = synthetic(config, DType::f32, 1);
  ZeroShare zeros(checkpoint, config);
  CHECK_FALSE(zeros.all());
  const std::array<float, 8> some{0, 1, 0, -0.0f, 1e-30f, 2, 0, 3}, none{1, 1, 1, 1, 1, 1, 1, 1};
  zeros.add(checkpoint.at("blocks.0.ffn.value.weight"), {some.data(), 2, 4});
  zeros.add(checkpoint.at("blocks.0.ffn.value.weight"), {none.data(), 1, 8});
  zeros.add(checkpoint.at("blocks.0.ffn.key.weight"), {some.data(), 1, 8});  // no value matrix
  const auto shares = zeros.by_layer();
  REQUIRE(shares.size() == 2);
  CHECK(shares[0] == 0.25);  // 4 of 16
  CHECK_FALSE(shares[1]);
  zeros.add(checkpoint.at("blocks.1.ffn.value.weight"), {some.data(), 1, 8});
  CHECK(zeros.by_layer()[1] == 0.5);
  CHECK(zeros.all() == 8.0 / 24);
}

TEST_CASE("matrices that were copied by input are found, and RWKV-1 has none") {
  const Config& config = rwkv_test::small_model(Generation::v4);
  const Checkpoint checkpoint = sparse_channel_mix(synthetic(config, DType::f32, 1));
  ZeroShare zeros(checkpoint, config);
  const std::array<float, 2> x{0, 1};
  zeros.add(checkpoint.at("blocks.1.ffn.value.weight"), {x.data(), 1, 2});
  CHECK(zeros.all() == 0.5);

  const Config& v1 = rwkv_test::small_model(Generation::v1);
  const Checkpoint old = synthetic(v1, DType::f32, 1);
  ZeroShare of_old(old, v1);
  for (const Checkpoint::Entry& entry : old.entries()) of_old.add(entry.tensor, {x.data(), 1, 2});
  CHECK_FALSE(of_old.all());
}

TEST_SUITE_END();
