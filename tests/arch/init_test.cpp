// SPDX-License-Identifier: MIT
#include "rwkv/arch/init.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/model.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::max_abs_difference;

namespace {

const Config small{Generation::v4, 4, 32, 32, 128, 0, 0, 65};

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name) {
  const auto buffer = read_all<float>(checkpoint.at(name));
  return {buffer.begin(), buffer.end()};
}

/// How far the rows or columns of a matrix, whichever are fewer, are from being orthogonal with length `gain`.
float gram_error(const Checkpoint& model, const char* name, double gain) {
  const auto matrix = map_matrix<float>(model.at(name)).cast<double>().eval();
  const auto gram =
      matrix.rows() < matrix.cols() ? (matrix * matrix.transpose()).eval() : (matrix.transpose() * matrix).eval();
  return static_cast<float>(
      (gram - gain * gain * Eigen::MatrixXd::Identity(gram.rows(), gram.cols())).cwiseAbs().maxCoeff());
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
  CHECK(gram_error(model, "blocks.2.att.value.weight", 1.0) < 1e-5);
  CHECK(gram_error(model, "blocks.2.ffn.key.weight", 2.0) < 1e-5);  // sqrt(128 / 32)
  CHECK(gram_error(model, "head.weight", 0.5 * std::sqrt(65.0 / 32)) < 1e-5);
  CHECK(gram_error(model, "emb.weight", 1e-4 * std::sqrt(65.0)) < 1e-9);
  for (const char* zero : {"att.key", "att.receptance", "att.output", "ffn.receptance", "ffn.value"}) {
    const auto weights = values(model, "blocks.3." + std::string(zero) + ".weight");
    CHECK(std::all_of(weights.begin(), weights.end(), [](float weight) { return weight == 0.0f; }));
  }
}

TEST_CASE("layer 1 of RWKV-5, 6 and 7 with 4 layers of width 8 begins with the values of RWKV-LM's formulas") {
  // Computed with numpy from the formulas in section 9 of the specification: 2 heads of 4 channels.
  using Expected = std::vector<std::pair<const char*, std::vector<float>>>;
  const auto check = [](Generation generation, const LowRank& low_rank, const Expected& expected) {
    const Checkpoint model = init({generation, 4, 8, 8, 16, 2, 4, 10, low_rank}, 1);
    for (const auto& [name, numbers] : expected) {
      const std::string tensor = name;  // clang 14 does not capture structured bindings
      CAPTURE(tensor);
      CHECK(max_abs_difference(values(model, "blocks.1." + tensor), numbers) < 2e-6);  // six decimals, and float
    }
  };
  check(
      Generation::v5_2, {},
      {
          {"att.time_decay",
           {-6.000000f, -5.448948f, -4.791186f, -4.086054f, -3.348285f, -2.585255f, -1.801473f, -1.000000f}},
          {"att.time_faaaa", {0.333333f, 0.385714f, 0.138095f, 0.190476f, 0.242857f, -0.004762f, 0.047619f, 0.100000f}},
          {"att.time_mix_v", {0.100000f, 0.310224f, 0.453553f, 0.579207f, 0.694604f, 0.802927f, 0.905927f, 1.004703f}},
          {"att.time_mix_g", {0.000000f, 0.458502f, 0.594604f, 0.692248f, 0.771105f, 0.838407f, 0.897735f, 0.951159f}},
          {"att.ln_x.weight", {0.615572f, 0.615572f, 0.615572f, 0.615572f, 0.615572f, 0.615572f, 0.615572f, 0.615572f}},
          {"ffn.time_mix_r", {0.000000f, 0.210224f, 0.353553f, 0.479207f, 0.594604f, 0.702927f, 0.805927f, 0.904703f}},
      });
  check(Generation::v5_1, {},
        {
            {"att.time_decay", {-6.000000f, -1.000000f}},
            {"att.time_faaaa", {0.333333f, 0.000000f}},
        });
  check(
      Generation::v6, {.mix = 2, .decay = 3},
      {
          {"att.time_decay",
           {-6.000000f, -5.448948f, -4.791186f, -4.086054f, -3.348285f, -2.585255f, -1.801473f, -1.000000f}},
          {"att.time_faaaa", {0.333333f, 0.385714f, 0.138095f, 0.190476f, 0.242857f, -0.004762f, 0.047619f, 0.100000f}},
          {"att.time_maa_w", {1.000000f, 0.789776f, 0.646447f, 0.520793f, 0.405396f, 0.297073f, 0.194073f, 0.095297f}},
          {"att.time_maa_v", {0.900000f, 0.689776f, 0.546447f, 0.420793f, 0.305396f, 0.197073f, 0.094073f, -0.004703f}},
          {"att.time_maa_r", {1.000000f, 0.541498f, 0.405396f, 0.307752f, 0.228895f, 0.161593f, 0.102265f, 0.048841f}},
          {"ffn.time_maa_k", {1.000000f, 0.584081f, 0.442807f, 0.338858f, 0.253546f, 0.179862f, 0.114290f, 0.054776f}},
      });
  check(
      Generation::v7, {.decay = 2, .rate = 3, .value = 4, .gate = 5},
      {
          {"att.ln_x.weight", {0.615572f, 0.615572f, 0.615572f, 0.615572f, 0.615572f, 0.615572f, 0.615572f, 0.615572f}},
          {"att.x_r", {1.000000f, 0.267957f, 0.187748f, 0.136813f, 0.098750f, 0.068073f, 0.042234f, 0.019830f}},
          {"att.x_a", {1.000000f, 0.754295f, 0.607708f, 0.484212f, 0.373668f, 0.271853f, 0.176495f, 0.086191f}},
          {"att.x_v", {1.000000f, 0.664357f, 0.517032f, 0.402461f, 0.305041f, 0.218665f, 0.140181f, 0.067703f}},
          {"ffn.x_k", {1.000000f, 0.482087f, 0.355082f, 0.266803f, 0.196932f, 0.138183f, 0.087005f, 0.041370f}},
          {"att.w0", {-8.000000f, -5.566312f, -4.525953f, -1.601968f, -5.707472f, -2.413247f, -0.619076f, 3.000000f}},
          {"att.a0", {-0.690000f, -0.366190f, -0.242381f, 0.081429f, -0.461429f, -0.137619f, -0.013810f, 0.310000f}},
          {"att.v0", {0.930000f, 0.872857f, 0.815714f, 0.758571f, 0.701429f, 0.644286f, 0.587143f, 0.530000f}},
          {"att.k_k", {0.760000f, 0.745714f, 0.731429f, 0.717143f, 0.702857f, 0.688571f, 0.674286f, 0.660000f}},
      });
}

TEST_CASE("matrices of RWKV-7 are orthogonal with their gains, zero, or small") {
  const Config config{Generation::v7, 3, 32, 32, 64, 2, 16, 40, {.decay = 8, .rate = 8, .value = 4, .gate = 8}};
  const Checkpoint model = init(config, 7);
  CHECK(gram_error(model, "blocks.2.att.receptance.weight", 1.0) < 1e-5);
  CHECK(gram_error(model, "blocks.2.att.key.weight", 0.1) < 1e-6);
  CHECK(gram_error(model, "blocks.2.att.value.weight", 1.0) < 1e-5);
  CHECK(gram_error(model, "blocks.2.ffn.key.weight", 1.0) < 1e-5);
  CHECK(gram_error(model, "blocks.2.att.w2", 0.1) < 1e-6);
  CHECK(gram_error(model, "head.weight", 0.5 * std::sqrt(40.0 / 32)) < 1e-5);
  for (const char* zero : {"att.output.weight", "ffn.value.weight", "att.w1", "att.a1", "att.v1", "att.g1"}) {
    const auto weights = values(model, "blocks.2." + std::string(zero));
    CHECK(std::all_of(weights.begin(), weights.end(), [](float weight) { return weight == 0.0f; }));
  }
  for (const float value : values(model, "emb.weight")) CHECK(std::abs(value) <= 1e-4f);
  for (const float value : values(model, "blocks.2.att.k_a")) CHECK(value == 1.02f);
  for (const float value : values(model, "blocks.2.att.r_k")) CHECK(value == -0.04f);
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

TEST_CASE("synthetic models of every generation run in every storage type, and are what they were made as") {
  const std::vector<Token> tokens{3, 1, 4, 1, 5};
  Workspace workspace({2});
  for (const Config& config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      const Model model(synthetic(config, dtype, 1));
      CHECK(model.config() == config);
      auto state = model.new_state();
      const auto logits = model.forward(tokens, state, workspace);
      CHECK(std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); }));
      CHECK(max_abs_difference(logits, std::vector<float>(logits.size())) > 0.01);
    }
  }
  CHECK_THROWS_WITH_AS(static_cast<void>(synthetic(small, DType::i8, 1)), doctest::Contains("found i8"), ArgumentError);
}

TEST_SUITE_END();
