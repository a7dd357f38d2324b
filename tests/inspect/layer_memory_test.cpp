// SPDX-License-Identifier: MIT
#include "rwkv/inspect/layer_memory.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/load.hpp"
#include "rwkv/model.hpp"
#include "support/golden.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;

TEST_SUITE_BEGIN("inspect/layer_memory");

TEST_CASE("matrices of heads and their norms are those of the State") {
  const Config& config = rwkv_test::small_model(Generation::v7);
  State state = Model(synthetic(config, DType::f32, 1)).new_state();
  const auto s = state.tensor("blocks.1.att.S");
  s[0] = 3;  // head 0
  s[63] = 4;
  s[64] = -2;  // head 1
  const LayerMemory memory = layer_memory(state, config, 1);
  CHECK(memory.n_head == 2);
  CHECK(memory.n_rows == 8);
  CHECK(memory.n_cols == 8);
  CHECK(std::equal(memory.values.begin(), memory.values.end(), s.begin(), s.end()));
  CHECK(memory.norms() == std::vector<double>{5, 2});
  CHECK(layer_memory(state, config, 0).norms() == std::vector<double>{0, 0});
  CHECK_THROWS_AS(static_cast<void>(layer_memory(state, config, 2)), ArgumentError);
}

TEST_CASE("a State of other sizes is refused") {
  Config config = rwkv_test::small_model(Generation::v7);
  const State state = Model(synthetic(config, DType::f32, 1)).new_state();
  config.n_head = 4;
  CHECK_THROWS_WITH_AS(static_cast<void>(layer_memory(state, config, 1)), doctest::Contains("expected 256 numbers"),
                       ArgumentError);
}

TEST_CASE("RWKV-4 remembers weighted means of values, and nothing before the first token") {
  const Config& config = rwkv_test::small_model(Generation::v4);
  State state = Model(synthetic(config, DType::f32, 1)).new_state();
  CHECK(layer_memory(state, config, 0).norms() == std::vector<double>{0});
  state.tensor("blocks.0.att.aa")[2] = -6;
  state.tensor("blocks.0.att.bb")[2] = 2;
  const LayerMemory memory = layer_memory(state, config, 0);
  CHECK(memory.n_head == 1);
  CHECK(memory.n_rows == 1);
  CHECK(memory.n_cols == 24);
  CHECK(memory.values[2] == -3);
  CHECK(memory.norms() == std::vector<double>{3});
}

TEST_CASE("what has no such memory has no heads") {
  const Config& v1 = rwkv_test::small_model(Generation::v1);
  CHECK(layer_memory(Model(synthetic(v1, DType::f32, 1)).new_state(), v1, 0).n_head == 0);
  const Config& v3 = rwkv_test::small_model(Generation::v3);  // with ffnPre
  const State state = Model(synthetic(v3, DType::f32, 1)).new_state();
  CHECK(layer_memory(state, v3, 0).n_head == 0);
  CHECK(layer_memory(state, v3, 0).norms().empty());
  CHECK(layer_memory(state, v3, 1).n_head == 1);
}

TEST_CASE("the norms after a text are those of the reference's State") {
  RWKV_NEEDS_SHARED();
  for (const std::string model_name : {"v5.2", "v6.0", "v7.0"}) {
    CAPTURE(model_name);
    const std::string path = "testdata/models/" + model_name + "/" + model_name + "-fp32";
    const rwkv_test::Golden golden(path + ".golden.safetensors");
    const Model model = load_model(rwkv_test::shared_file(path + ".pth"));
    Workspace workspace;
    State state = model.new_state();
    model.forward(golden.tokens(), state, workspace);
    for (Index layer = 0; layer < model.config().n_layer; ++layer) {
      const std::string name = "state_final_ref." + std::to_string(layer) + ".att_kv";
      REQUIRE(golden.contains(name));
      const std::vector<double> expected = golden.values(name);
      const std::vector<double> norms = layer_memory(state, model.config(), layer).norms();
      const std::size_t n = expected.size() / norms.size();
      for (std::size_t head = 0; head < norms.size(); ++head) {
        double sum = 0;
        for (std::size_t i = head * n; i < (head + 1) * n; ++i) sum += expected[i] * expected[i];
        CHECK(norms[head] == doctest::Approx(std::sqrt(sum)).epsilon(1e-4));
      }
    }
  }
}

TEST_SUITE_END();
