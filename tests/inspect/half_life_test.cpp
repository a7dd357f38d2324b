// SPDX-License-Identifier: MIT
#include "rwkv/inspect/half_life.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/load.hpp"
#include "support/golden.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;

namespace {

/// A synthetic model with other values in one tensor.
Checkpoint with_values(Generation generation, const std::string& name, const std::vector<float>& values) {
  return synthetic(rwkv_test::small_model(generation), DType::f32, 1).transformed([&](Checkpoint::Entry entry) {
    if (entry.name == name) entry.tensor = make_tensor(entry.tensor.shape, values);
    return entry;
  });
}

}  // namespace

TEST_SUITE_BEGIN("inspect/half_life");

TEST_CASE("half of a memory is left after the half-life") {
  CHECK(half_life(std::log(0.5)) == doctest::Approx(1).epsilon(1e-15));
  CHECK(half_life(std::log(0.5) / 10) == doctest::Approx(10).epsilon(1e-15));
  CHECK(half_life(-std::numeric_limits<double>::infinity()) == 0);
  CHECK(half_life(0) == std::numeric_limits<double>::infinity());
}

TEST_CASE("a decay set by hand has the half-life of the equation") {
  std::vector<float> values(16, 0.0f);
  values[1] = -5;
  values[2] = 2;
  const auto decays_with = [&](Generation generation, const std::string& name) {
    const Checkpoint checkpoint = with_values(generation, name, values);
    return stored_decays(checkpoint, rwkv_test::small_model(generation));
  };
  for (const Generation generation : {Generation::v2, Generation::v5_2, Generation::v6}) {
    CAPTURE(name(generation));
    const Decays decays = decays_with(generation, "blocks.1.att.time_decay");
    CHECK(decays.source == (generation == Generation::v6 ? DecaySource::bias : DecaySource::weights));
    const std::vector<double>& layer = decays.layers.at(1);
    REQUIRE(layer.size() == 16);
    CHECK(half_life(layer[0]) == doctest::Approx(0.6931471805599453));                      // ln w = -1
    CHECK(half_life(layer[1]) == doctest::Approx(0.6931471805599453 * 148.4131591025766));  // -e^-5
    CHECK(half_life(layer[2]) == doctest::Approx(0.6931471805599453 / 7.38905609893065));   // -e^2
  }
  const Decays decays = decays_with(Generation::v7, "blocks.1.att.w0");
  CHECK(decays.source == DecaySource::bias);
  const double strongest = 0.6065306597126334;  // e^{-1/2}; RWKV-7 cannot forget faster
  CHECK(half_life(decays.layers.at(1)[0]) == doctest::Approx(0.6931471805599453 / (strongest / 2)));
  CHECK(half_life(decays.layers.at(1)[1]) == doctest::Approx(0.6931471805599453 / (strongest * 0.006692850924284856)));
  CHECK(half_life(decays.layers.at(1)[2]) == doctest::Approx(0.6931471805599453 / (strongest * 0.8807970779778823)));
}

TEST_CASE("every generation has a decay for each channel or head, but for RWKV-1 and layers without time mixing") {
  for (const Config& config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    const Decays decays = stored_decays(synthetic(config, DType::f32, 1), config);
    if (config.generation == Generation::v1) {
      CHECK(decays.source == DecaySource::none);
      CHECK(decays.layers.empty());
      continue;
    }
    REQUIRE(std::ssize(decays.layers) == config.n_layer);
    const Index n = has_decay_by_head(config.generation) ? config.n_head : config.n_att;
    for (std::size_t i = 0; i < decays.layers.size(); ++i) {
      CHECK(std::ssize(decays.layers[i]) == (config.has_ffn_pre && i == 0 ? 0 : n));
      for (const double decay : decays.layers[i]) CHECK(decay < 0);
    }
  }
}

TEST_CASE("a State of RWKV-4 fades as the decays say") {
  // Keys of zero weight leave a memory alone: with e^k = 0 the sums shrink by w each token, and pp holds their scale.
  const Config& config = rwkv_test::small_model(Generation::v4);
  const Checkpoint checkpoint = with_values(Generation::v4, "blocks.0.att.key.weight", std::vector<float>(24 * 16));
  const Decays decays = stored_decays(checkpoint, config);
  const Model model(checkpoint);
  Workspace workspace;
  State state = model.new_state();
  const auto log_bb = [&] {
    const auto bb = state.tensor("blocks.0.att.bb"), pp = state.tensor("blocks.0.att.pp");
    std::vector<double> logs;
    for (std::size_t c = 0; c < bb.size(); ++c) logs.push_back(std::log(static_cast<double>(bb[c])) + pp[c]);
    return logs;
  };
  for (float& pp : state.tensor("blocks.0.att.pp")) pp = 60;  // beside it e^0 vanishes
  for (float& bb : state.tensor("blocks.0.att.bb")) bb = 1;
  const std::vector<double> before = log_bb();
  const std::vector<Token> text(5, 3);
  model.forward(text, state, workspace);
  const std::vector<double> after = log_bb();
  for (std::size_t c = 0; c < before.size(); ++c) {
    CAPTURE(c);
    const double expected = 5 * decays.layers[0][c];
    if (expected > -40) CHECK(after[c] - before[c] == doctest::Approx(expected).epsilon(1e-4).scale(60));
  }
}

TEST_CASE("the decays of a published kind of model are those of its tensor") {
  RWKV_NEEDS_SHARED();
  const Checkpoint checkpoint = open_checkpoint(rwkv_test::shared_file("testdata/models/v4/v4-fp32.pth"));
  const Decays decays = stored_decays(checkpoint, detect(checkpoint));
  REQUIRE(decays.layers.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const Buffer<double> stored = read_all<double>(checkpoint.at("blocks." + std::to_string(i) + ".att.time_decay"));
    for (std::size_t c = 0; c < decays.layers[i].size(); ++c) {
      // Half of a memory: w^n = 1/2 for w = exp(-exp(time_decay)).
      const double w = std::exp(-std::exp(stored[static_cast<Index>(c)]));
      CHECK(std::pow(w, half_life(decays.layers[i][c])) == doctest::Approx(0.5).epsilon(1e-9));
    }
  }
}

TEST_SUITE_END();
