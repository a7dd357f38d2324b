// SPDX-License-Identifier: MIT
#include "rwkv/arch/init.hpp"

#include "rwkv/model.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::max_abs_difference;

namespace {

const Config small{Generation::v4, 4, 32, 32, 128, 0, 0, 65};

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name) {
  const auto buffer = read_all<float>(checkpoint.at(name));
  return {buffer.begin(), buffer.end()};
}

}  // namespace

TEST_SUITE_BEGIN("arch/init");

TEST_CASE("layer 1 of an RWKV-4 with 4 layers of width 32 has the printed values") {
  // Printed with four decimals in an article on RWKV-4 (2023); section 9 of the specification gives the formulas.
  const Checkpoint model = init(small, 1);
  const std::vector<float> time_mix_k{0.0000f, 0.0743f, 0.1250f, 0.1694f, 0.2102f, 0.2485f, 0.2849f, 0.3199f,
                                      0.3536f, 0.3862f, 0.4180f, 0.4489f, 0.4792f, 0.5089f, 0.5379f, 0.5665f,
                                      0.5946f, 0.6223f, 0.6495f, 0.6764f, 0.7029f, 0.7291f, 0.7550f, 0.7806f,
                                      0.8059f, 0.8310f, 0.8558f, 0.8804f, 0.9047f, 0.9288f, 0.9527f, 0.9765f};
  const std::vector<float> time_mix_v{0.1000f, 0.1743f, 0.2250f, 0.2694f, 0.3102f, 0.3485f, 0.3849f, 0.4199f,
                                      0.4536f, 0.4862f, 0.5180f, 0.5489f, 0.5792f, 0.6089f, 0.6379f, 0.6665f,
                                      0.6946f, 0.7223f, 0.7495f, 0.7764f, 0.8029f, 0.8291f, 0.8550f, 0.8806f,
                                      0.9059f, 0.9310f, 0.9558f, 0.9804f, 1.0047f, 1.0288f, 1.0527f, 1.0765f};
  const std::vector<float> time_mix_r{0.0000f, 0.2726f, 0.3536f, 0.4116f, 0.4585f, 0.4985f, 0.5338f, 0.5656f,
                                      0.5946f, 0.6215f, 0.6465f, 0.6700f, 0.6922f, 0.7133f, 0.7334f, 0.7527f,
                                      0.7711f, 0.7888f, 0.8059f, 0.8224f, 0.8384f, 0.8539f, 0.8689f, 0.8835f,
                                      0.8977f, 0.9116f, 0.9251f, 0.9383f, 0.9512f, 0.9638f, 0.9761f, 0.9882f};
  const std::vector<float> time_decay{-5.0000f, -4.8367f, -4.6419f, -4.4330f, -4.2144f, -3.9883f, -3.7561f, -3.5186f,
                                      -3.2766f, -3.0305f, -2.7807f, -2.5276f, -2.2713f, -2.0122f, -1.7504f, -1.4861f,
                                      -1.2195f, -0.9506f, -0.6796f, -0.4066f, -0.1317f, 0.1451f,  0.4237f,  0.7039f,
                                      0.9858f,  1.2692f,  1.5542f,  1.8406f,  2.1284f,  2.4176f,  2.7082f,  3.0000f};
  std::vector<float> time_first;
  for (int i = 0; i < 32; ++i) time_first.push_back(i % 3 == 0 ? -1.2040f : i % 3 == 1 ? -0.7040f : -1.7040f);
  const double printed = 5.1e-5;  // half of the last decimal, and float
  CHECK(max_abs_difference(values(model, "blocks.1.att.time_mix_k"), time_mix_k) < printed);
  CHECK(max_abs_difference(values(model, "blocks.1.att.time_mix_v"), time_mix_v) < printed);
  CHECK(max_abs_difference(values(model, "blocks.1.att.time_mix_r"), time_mix_r) < printed);
  CHECK(max_abs_difference(values(model, "blocks.1.att.time_decay"), time_decay) < printed);
  CHECK(max_abs_difference(values(model, "blocks.1.att.time_first"), time_first) < printed);
  CHECK(max_abs_difference(values(model, "blocks.1.ffn.time_mix_k"), time_mix_k) < printed);
  CHECK(max_abs_difference(values(model, "blocks.1.ffn.time_mix_r"), time_mix_k) < printed);
}

TEST_CASE("matrices are orthogonal with the gain of their shape, or zero") {
  const Checkpoint model = init(small, 7);
  const auto gram_error = [&](const char* name, double gain) {
    const auto matrix = map_matrix<float>(model.at(name)).cast<double>().eval();
    const auto gram =
        matrix.rows() < matrix.cols() ? (matrix * matrix.transpose()).eval() : (matrix.transpose() * matrix).eval();
    return (gram - gain * gain * Eigen::MatrixXd::Identity(gram.rows(), gram.cols())).cwiseAbs().maxCoeff();
  };
  CHECK(gram_error("blocks.2.att.value.weight", 1.0) < 1e-5);
  CHECK(gram_error("blocks.2.ffn.key.weight", 2.0) < 1e-5);  // sqrt(128 / 32)
  CHECK(gram_error("head.weight", 0.5 * std::sqrt(65.0 / 32)) < 1e-5);
  CHECK(gram_error("emb.weight", 1e-4 * std::sqrt(65.0)) < 1e-9);
  for (const char* zero : {"att.key", "att.receptance", "att.output", "ffn.receptance", "ffn.value"}) {
    const auto weights = values(model, "blocks.3." + std::string(zero) + ".weight");
    CHECK(std::all_of(weights.begin(), weights.end(), [](float weight) { return weight == 0.0f; }));
  }
}

TEST_CASE("a new model loads, and its blocks are the identity on the residual stream") {
  const Model model(init(small, 3));
  CHECK(model.config() == small);
  Workspace workspace({1});
  auto state = model.new_state();
  const std::vector<Token> tokens{1, 2, 3};
  Activations rows = model.embed(tokens, workspace);
  const Buffer<float> before = rows.x;
  model.apply_layers(0, 4, rows, state, workspace);
  CHECK(std::ranges::equal(rows.x, before));
}

TEST_CASE("the same seed gives the same model, another one another") {
  CHECK(values(init(small, 5), "head.weight") == values(init(small, 5), "head.weight"));
  CHECK(values(init(small, 5), "head.weight") != values(init(small, 6), "head.weight"));
}

TEST_CASE("synthetic models run in every storage type") {
  const std::vector<Token> tokens{3, 1, 4, 1, 5};
  Workspace workspace({2});
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const Model model(synthetic(small, dtype, 1));
    auto state = model.new_state();
    const auto logits = model.forward(tokens, state, workspace);
    CHECK(std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); }));
    CHECK(max_abs_difference(logits, std::vector<float>(logits.size())) > 0.01);
  }
  CHECK_THROWS_WITH_AS(static_cast<void>(synthetic(small, DType::i8, 1)), doctest::Contains("found i8"), ArgumentError);
}

TEST_SUITE_END();
