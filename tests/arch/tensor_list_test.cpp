// SPDX-License-Identifier: MIT
// Broken models of every generation: the error names the tensor.
#include "rwkv/arch/tensor_list.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/model.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::small_model;
using rwkv_test::small_models;

namespace {

/// The tensors of a model of this kind, with values that are not looked at.
Checkpoint blank(const Config& config) {
  Checkpoint checkpoint("test.pth");
  for (const TensorSpec& spec : tensor_list(config)) {
    const auto n = static_cast<std::size_t>(spec.shape.checked_n_elements().value());
    checkpoint.add(spec.name, make_tensor(spec.shape, std::vector<float>(n)));
  }
  detail::add_copy_mask(checkpoint, config);
  return checkpoint;
}

/// The same with the tensor `name` left out, or of another shape.
Checkpoint without(const Checkpoint& whole, const std::string& name, const Shape* shape = nullptr) {
  Checkpoint changed(whole.path());
  for (const auto& [each, tensor] : whole.entries()) {
    if (each != name) {
      changed.add(each, tensor);
    } else if (shape != nullptr) {
      const auto n = static_cast<std::size_t>(shape->checked_n_elements().value());
      changed.add(each, make_tensor(*shape, std::vector<float>(n)));
    }
  }
  return changed;
}

}  // namespace

TEST_SUITE_BEGIN("arch/tensor_list");

TEST_CASE("the tensors that a generation asks for are a model of that generation, and of the same sizes") {
  for (const Config& config : small_models()) {
    CAPTURE(name(config.generation));
    const Model model(blank(config));
    CHECK(model.config() == config);
    Workspace workspace({1});
    auto state = model.new_state();
    CHECK(model.forward(std::vector<Token>{3, 1, 4}, state, workspace).size() == 20);
  }
}

TEST_CASE("a tensor that is missing in one layer is named, in every generation") {
  for (const Config& config : small_models()) {
    CAPTURE(name(config.generation));
    const Checkpoint whole = blank(config);
    for (const TensorSpec& spec : tensor_list(config)) {
      if (!spec.name.starts_with("blocks.1.")) continue;
      CAPTURE(spec.name);
      CHECK_THROWS_WITH_AS(Model{without(whole, spec.name)}, doctest::Contains(("'" + spec.name + "'").c_str()),
                           ModelError);
    }
  }
}

TEST_CASE("a tensor of another shape in one layer is named, in every generation: low-rank widths too") {
  for (const Config& config : small_models()) {
    CAPTURE(name(config.generation));
    const Checkpoint whole = blank(config);
    for (const TensorSpec& spec : tensor_list(config)) {
      if (!spec.name.starts_with("blocks.1.")) continue;
      // One row or one column more; of a vector, one value more.
      const Index rows = spec.shape.rank() < 2 ? 1 : spec.shape[0];
      const Index cols = spec.shape.checked_n_elements().value() / rows;
      for (const Shape& other : {Shape{rows + 1, cols}, Shape{rows, cols + 1}}) {
        CAPTURE(spec.name);
        CAPTURE(to_string(other));
        const Checkpoint broken = without(whole, spec.name, &other);
        CHECK_THROWS_WITH_AS(Model{broken}, doctest::Contains("'blocks."), ModelError);
      }
    }
  }
}

TEST_CASE("a low-rank matrix of another width in one layer is named with both shapes") {
  const Config& v7 = small_model(Generation::v7);
  const Shape wide{16, 7};
  for (const std::string name : {"w1", "a1", "g1"}) {
    const std::string tensor = "blocks.1.att." + name;
    CHECK_THROWS_WITH_AS(Model{without(blank(v7), tensor, &wide)},
                         doctest::Contains((tensor + "': expected shape [16, ").c_str()), ModelError);
  }
  const Shape wide_up{4, 16};
  CHECK_THROWS_WITH_AS(Model{without(blank(v7), "blocks.0.att.w2", &wide_up)},
                       "test.pth: tensor 'blocks.0.att.w2': expected shape [3, 16], found [4, 16]", ModelError);
}

TEST_CASE("heads that do not divide the channels are refused with the tensor that counts them") {
  const Shape three_heads{3}, three_by_four{3, 4};
  const std::pair<Config, std::pair<const char*, Shape>> cases[] = {
      {small_model(Generation::v5_0), {"blocks.0.att.time_decay", three_heads}},
      {small_model(Generation::v5_1), {"blocks.0.att.time_decay", three_heads}},
      {small_model(Generation::v5_2), {"blocks.0.att.time_decay", three_by_four}},
      {small_model(Generation::v6), {"blocks.0.att.time_faaaa", three_by_four}},
      {small_model(Generation::v7), {"blocks.0.att.r_k", three_by_four}},
  };
  for (const auto& [config, change] : cases) {
    const std::string expected = std::string("'") + change.first + "': expected heads of equal size";
    CHECK_THROWS_WITH_AS(Model{without(blank(config), change.first, &change.second)},
                         doctest::Contains(expected.c_str()), ModelError);
  }
}

TEST_CASE("a Config that no model has is refused with what is wrong in it") {
  const auto refused = [](Config config, auto change, const char* message) {
    change(config);
    CHECK_THROWS_WITH_AS(static_cast<void>(tensor_list(config)), doctest::Contains(message), ArgumentError);
  };
  const Config& v7 = small_model(Generation::v7);
  refused(
      v7, [](Config& config) { config.n_head = 0; }, "product is n_att = 16, found 0 and 8");
  refused(
      v7, [](Config& config) { config.head_size = 4; }, "found 2 and 4");
  refused(
      v7, [](Config& config) { config.n_vocab = 0; }, "n_vocab: expected 1 or more, found 0");
  refused(
      v7, [](Config& config) { config.low_rank.value = 0; }, "low_rank.value");
  refused(
      v7, [](Config& config) { config.group_norm_eps = NAN; }, "group_norm_eps");
  refused(
      v7, [](Config& config) { config.n_ctx = 5; }, "n_ctx: expected 0");
  refused(
      v7, [](Config& config) { config.has_ffn_pre = true; }, "has_ffn_pre: expected 0");
  refused(
      small_model(Generation::v6), [](Config& config) { config.low_rank.mix = 0; }, "low_rank.mix");
  refused(
      small_model(Generation::v3), [](Config& config) { config.n_ctx = 0; }, "n_ctx: expected 1 to");
  refused(
      small_model(Generation::v3), [](Config& config) { config.n_ctx = Index{1} << 40; }, "n_ctx: expected 1 to");
  refused(
      small_model(Generation::v4), [](Config& config) { config.n_vocab = -1; }, "n_vocab");
}

TEST_CASE("a small file does not make a State that fills the memory, and heads have a reasonable size") {
  const Config wide{Generation::v5_0, 1, 2, 2048, 2, 1, 2048, 4, {}, false, true};
  CHECK_THROWS_WITH_AS(Model{blank(wide)}, doctest::Contains("2 to 1024 channels"), ModelError);
  const Config narrow{Generation::v5_0, 40, 1, 65536, 1, 64, 1024, 4, {}, false, true};
  CHECK_THROWS_WITH_AS(Model{blank(narrow)}, doctest::Contains("state tensor 'blocks.0.att.S': expected a State of"),
                       ModelError);
}

TEST_CASE("layers of two generations in one file are refused with a tensor of one of them") {
  for (const Config& one : small_models()) {
    for (const Config& other : small_models()) {
      if (one.generation == other.generation || other.generation == Generation::v1) continue;
      // Names alone do not tell these apart; the shapes of their decays and bonuses do, where they differ.
      const bool is_v5 = one.generation >= Generation::v5_0 && one.generation <= Generation::v5_2;
      const bool are_v5 = is_v5 && other.generation >= Generation::v5_0 && other.generation <= Generation::v5_2;
      if (are_v5) continue;
      Checkpoint mixed("test.pth");
      const Checkpoint first = blank(one), second = blank(other);
      for (const auto& [name, tensor] : first.entries()) {
        if (!name.starts_with("blocks.1.")) mixed.add(name, tensor);
      }
      for (const auto& [name, tensor] : second.entries()) {
        if (name.starts_with("blocks.1.")) mixed.add(name, tensor);
      }
      CAPTURE(name(one.generation));
      CAPTURE(name(other.generation));
      CHECK_THROWS_WITH_AS(Model{mixed}, doctest::Contains("'blocks."), Error);
    }
  }
}

TEST_SUITE_END();
