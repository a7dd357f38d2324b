// SPDX-License-Identifier: MIT
#include "rwkv/arch/detect.hpp"

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/load.hpp"
#include "rwkv/text/sampler.hpp"
#include "support/small_models.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::shared_file;

namespace {

/// The message of the error of kind E that loading gives.
template <class E>
std::string error_of_loading(const std::string& path) {
  try {
    static_cast<void>(load_model(path));
  } catch (const E& error) {
    return error.what();
  } catch (const Error& error) {
    return std::string("another kind: ") + error.what();
  }
  return "no error";
}

const Config small{Generation::v4, 2, 16, 16, 32, 0, 0, 20};

/// A small model without the tensors that `leave_out` chooses.
template <class Predicate>
Checkpoint model_without(Predicate leave_out, const Config& config = small) {
  Checkpoint all = synthetic(config, DType::f32, 1), some("test.pth");
  for (const auto& [name, tensor] : all.entries()) {
    if (!leave_out(name)) some.add(name, tensor);
  }
  return some;
}

Checkpoint whole_model(const Config& config = small) {
  return model_without([](const std::string&) { return false; }, config);
}

/// Whether detect() reads a size off this tensor: with another shape it is the others that do not fit.
bool says_a_size(const std::string& name) {
  for (const char* const whole : {"emb.weight", "tok_emb.weight", "head_q.weight", "blocks.1.att.v1"}) {
    if (name == whole) return true;
  }
  for (const char* const rest :
       {"attn.key.weight", "attn.time_w", "mlp.key.weight", "att.key.weight", "ffn.key.weight", "att.time_decay",
        "att.time_faaaa", "att.time_maa_w2", "att.time_maa_rkvw_w2", "att.time_decay_w1", "att.gate_w1", "att.r_k",
        "att.w1", "att.a1", "att.g1", "ffn.s1", "qkv.qq.weight", "qkv.k1"}) {
    // of the first layer that has it; layer 0 of the RWKV-3 here has no time mixing
    if (name == std::string("blocks.0.") + rest || name == std::string("blocks.1.") + rest) return true;
  }
  return false;
}

/// Whether a model without this tensor is one of another kind.
bool is_told_by_presence(const std::string& name) {
  return name == "time_out" || name == "head_q.weight" || name == "tok_emb.weight" ||
         name == "blocks.0.ffnPre.key.weight";
}

}  // namespace

TEST_SUITE_BEGIN("arch/detect");

TEST_CASE("sizes come from the shapes, whatever the order of the tensors") {
  const Config odd{Generation::v4, 3, 50, 34, 131, 0, 0, 97};  // an attention of another width than the model
  const Checkpoint forward = synthetic(odd, DType::bf16, 1);
  CHECK(detect(forward) == odd);
  Checkpoint backward("backward");
  for (auto entry = forward.entries().rbegin(); entry != forward.entries().rend(); ++entry)
    backward.add(entry->name, entry->tensor);
  CHECK(detect(backward) == odd);
  Workspace workspace({1});
  const Model model(backward);
  auto state = model.new_state();
  const std::vector<Token> tokens{1, 2, 3};
  CHECK(model.forward(tokens, state, workspace).size() == 97);
}

TEST_CASE("valid files with a broken model are refused with the name of the tensor") {
  RWKV_NEEDS_SHARED();
  const std::pair<const char*, std::vector<const char*>> cases[] = {
      {"model-missing-head.pth", {"'head.weight'", "is missing"}},
      {"model-missing-key.pth", {"'blocks.1.att.key.weight'", "is missing"}},
      {"model-missing-layer.pth", {"'blocks.1.ln1.weight'", "is missing"}},
      {"model-layer-number-huge.pth", {"is missing", "layer 4000000000"}},
      {"model-layer-number-odd.pth", {"'blocks.-1.", "a layer number"}},
      {"model-key-not-square.pth", {"'blocks.0.att.key.weight'", "[8, 8]", "[8, 9]"}},
      {"model-layer1-other-width.pth", {"'blocks.1.", "[8]", "[10]"}},
      {"model-head-rows.pth", {"'head.weight'", "[9, 8]", "[12, 8]"}},
      {"model-ffn-mismatch.pth", {"'blocks.", "ffn.value.weight'", "[8, 16]", "[8, 24]"}},
      {"model-emb-1d.pth", {"'emb.weight'", "2 axes"}},
      {"model-no-blocks.pth", {"is not an RWKV model"}},
      {"model-other-network.pth", {"is not an RWKV model"}},
      {"dtype-int64.pth", {"tensor '", "real numbers", "i64"}},
      {"st-missing-tensor.safetensors", {"'blocks.1.ffn.key.weight'", "is missing"}},
  };
  for (const auto& [file, phrases] : cases) {
    const std::string message = error_of_loading<ModelError>(shared_file(std::string("testdata/bad/") + file));
    CAPTURE(message);
    CHECK(message.find(file) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
    for (const char* phrase : phrases) {
      CAPTURE(phrase);
      CHECK(message.find(phrase) != std::string::npos);
    }
  }
  CHECK(error_of_loading<FormatError>(shared_file("testdata/bad/model-empty-dict.pth")).find("no tensors") !=
        std::string::npos);
}

TEST_CASE("weights that are not numbers do no harm beyond the logits, and sampling refuses those") {
  RWKV_NEEDS_SHARED();
  for (const char* file : {"model-nan-weight.pth", "model-inf-weight.pth"}) {
    const Model model = load_model(shared_file(std::string("testdata/bad/") + file));
    Workspace workspace({2});
    auto state = model.new_state();
    const std::vector<Token> tokens{0, 1, 2, 3, 4, 5, 6, 7, 8};
    const auto logits = model.forward(tokens, state, workspace);
    CHECK(logits.size() == 9);
    Sampler sampler;
    try {
      const Token token = sampler.sample(logits);
      CHECK((token >= 0 && token < 9));
    } catch (const ArgumentError& error) {
      CHECK(std::string(error.what()).find("logit") != std::string::npos);
    }
  }
}

TEST_CASE("a model of each generation has the sizes that it was made with") {
  for (const Config& config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    const Checkpoint checkpoint = whole_model(config);
    CHECK(detect(checkpoint) == config);
    const Model model(checkpoint);
    auto state = model.new_state();
    Workspace workspace({1});
    const std::vector<Token> tokens{1, 2, 3};
    CHECK(model.forward(tokens, state, workspace).size() == 20);
  }
}

TEST_CASE("each tensor that is missing is named, in every generation") {
  for (const Config& config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    for (const TensorSpec& spec : tensor_list(config)) {
      if (is_told_by_presence(spec.name)) continue;
      const Checkpoint checkpoint = model_without([&](const std::string& name) { return name == spec.name; }, config);
      CAPTURE(spec.name);
      CHECK_THROWS_WITH_AS(Model{checkpoint}, doctest::Contains(spec.name.c_str()), ModelError);
    }
  }
}

TEST_CASE("each tensor of the wrong size is named, with both shapes, in every generation") {
  for (const Config& config : rwkv_test::small_models()) {
    CAPTURE(name(config.generation));
    const Checkpoint whole = whole_model(config);
    for (const TensorSpec& spec : tensor_list(config)) {
      Checkpoint checkpoint("test.pth");
      for (const auto& [name, tensor] : whole.entries()) {
        checkpoint.add(name, name == spec.name ? make_tensor({3, 5}, std::vector<float>(15)) : tensor);
      }
      CAPTURE(spec.name);
      if (says_a_size(spec.name)) {
        CHECK_THROWS_AS(Model{checkpoint}, ModelError);
        continue;
      }
      CHECK_THROWS_WITH_AS(Model{checkpoint}, doctest::Contains((spec.name + "': expected shape").c_str()), ModelError);
      CHECK_THROWS_WITH_AS(Model{checkpoint}, doctest::Contains("found [3, 5]"), ModelError);
    }
  }
}

TEST_CASE("unknown tensors inside the layers are refused, counters and masks are not") {
  const auto with = [](const std::string& name) {
    Checkpoint checkpoint = whole_model();
    checkpoint.add(name, make_tensor({1}, std::vector<float>(1)));
    return checkpoint;
  };
  CHECK_THROWS_WITH_AS(Model{with("blocks.1.att.tiny_q.weight")}, doctest::Contains("'blocks.1.att.tiny_q.weight'"),
                       UnsupportedError);
  CHECK_THROWS_WITH_AS(Model{with("head_q.weight")}, doctest::Contains("'head_q.weight': expected 2 axes"), ModelError);
  CHECK_THROWS_WITH_AS(Model{with("head_k.weight")}, doctest::Contains("'head_k.weight'"), UnsupportedError);
  CHECK_NOTHROW(Model{with("copy_mask")});
  CHECK_NOTHROW(Model{with("blocks.1.att.mask")});
  CHECK_NOTHROW(Model{with("global_step")});
}

TEST_CASE("heads in one row are of 64 channels, and must fit") {
  const Config config{Generation::v7, 1, 96, 96, 32, 3, 32, 20, {.decay = 2, .rate = 2, .gate = 2}};
  const Checkpoint whole = synthetic(config, DType::f32, 1);
  Checkpoint flat("flat.pth");
  for (const auto& [name, tensor] : whole.entries()) {
    flat.add(name, name.ends_with("r_k") ? TensorView{tensor.dtype, {96}, tensor.data, tensor.owner} : tensor);
  }
  CHECK_THROWS_WITH_AS(Model{flat}, doctest::Contains("'blocks.0.att.r_k': expected heads of equal size"), ModelError);
}

TEST_CASE("a checkpoint may tell the epsilon of its heads") {
  Checkpoint checkpoint = whole_model(rwkv_test::small_model(Generation::v7));
  CHECK(detect(checkpoint).group_norm_eps == 64e-5);
  std::string& text = checkpoint.metadata()[std::string(group_norm_eps_key)];
  for (const char* eps : {"0.00032", "3.2e-4"}) {
    text = eps;
    CHECK(detect(checkpoint).group_norm_eps == 32e-5);
  }
  for (const char* no_eps : {"", "x", "1e-5x", " 1e-5", "-1e-5", "1", "nan", "inf", "1e-5000"}) {
    text = no_eps;
    const std::string message =
        "test.pth: metadata 'group_norm_eps': expected a number from 0 to below 1, found '" + text + "'";
    CHECK_THROWS_WITH_AS(static_cast<void>(detect(checkpoint)), message.c_str(), ModelError);
  }
  Checkpoint without_heads = whole_model();
  without_heads.metadata() = checkpoint.metadata();
  CHECK(detect(without_heads).group_norm_eps == 64e-5);
}

TEST_CASE("absurd layer numbers and names are refused") {
  for (const std::string number : {"9223372036854775807", "99999999999999999999", "x", "-1", ""}) {
    Checkpoint checkpoint = whole_model();
    checkpoint.add("blocks." + number + ".ln1.weight", make_tensor({1}, std::vector<float>(1)));
    CAPTURE(number);
    CHECK_THROWS_WITH_AS(Model{checkpoint}, doctest::Contains("a layer number"), ModelError);
  }
  Checkpoint checkpoint("test.pth");
  CHECK_THROWS_WITH_AS(checkpoint.add(std::string(1025, 'x'), TensorView{}), doctest::Contains("found 1025"),
                       FormatError);
}

TEST_CASE("the generation and every size come from names and shapes alone") {
  RWKV_NEEDS_SHARED();
  const std::pair<const char*, Config> cases[] = {
      {"v1/v1", {Generation::v1, 2, 64, 64, 160, 4, 16, 120, {}, false, false, 48, 256, true}},
      {"v2/v2", {Generation::v2, 4, 64, 64, 256, 0, 0, 128, {}, false, false, 32, 256}},
      {"v2-ffnPre/v2-ffnPre", {Generation::v2, 4, 48, 48, 192, 0, 0, 100, {}, true, false, 64, 256}},
      {"v3/v3", {Generation::v3, 3, 64, 64, 256, 0, 0, 128, {}, false, false, 64, 256}},
      {"v3-ffnPre-noqk/v3-ffnPre-noqk", {Generation::v3, 3, 48, 48, 192, 0, 0, 150, {}, true}},
      {"v5.0/v5.0", {Generation::v5_0, 2, 128, 128, 288, 2, 64, 192, {}, false, true}},
      {"v5.0-faaaa/v5.0-faaaa", {Generation::v5_0, 2, 64, 64, 224, 2, 32, 128}},
      {"v5.1/v5.1", {Generation::v5_1, 3, 64, 64, 224, 2, 32, 192}},
      {"v5.2/v5.2", {Generation::v5_2, 2, 128, 128, 320, 2, 64, 256}},
      {"v5.2-h32/v5.2-h32", {Generation::v5_2, 2, 96, 96, 192, 3, 32, 130}},
      {"v6.0/v6.0", {Generation::v6, 2, 128, 128, 320, 2, 64, 256, {.mix = 32, .decay = 64}}},
      {"v6.0-h32-state/v6.0-h32-state", {Generation::v6, 2, 64, 64, 224, 2, 32, 128, {.mix = 8, .decay = 16}}},
      {"v7.0/v7.0", {Generation::v7, 2, 128, 128, 384, 2, 64, 160, {.decay = 32, .rate = 32, .value = 32, .gate = 64}}},
      {"v7.0-h32/v7.0-h32",
       {Generation::v7, 3, 64, 64, 256, 2, 32, 200, {.decay = 16, .rate = 24, .value = 8, .gate = 40}}}};
  for (const auto& [file, expected] : cases) {
    const std::string name = file;  // clang 14 does not capture structured bindings
    CAPTURE(name);
    CHECK(detect(open_checkpoint(shared_file("testdata/models/" + name + "-fp32.pth"))) == expected);
  }
  LowRank widths{.decay = 8, .rate = 8, .value = 4, .gate = 12};
  const auto found = [](const std::string& name) {
    return detect(open_checkpoint(shared_file("spec/golden/models/" + name + ".safetensors")));
  };
  CHECK(found("v1_001") == Config{Generation::v1, 3, 32, 32, 80, 2, 16, 40, {}, false, false, 24});
  CHECK(found("v8rc00") == Config{Generation::v8_rc00, 3, 32, 32, 128, 2, 16, 40, widths});
  widths.embed = 32;
  CHECK(found("v7a") == Config{Generation::v7a, 3, 32, 32, 128, 2, 16, 40, widths});
  widths.query = 256;
  widths.kept = 32;
  CHECK(found("v7b") == Config{Generation::v7b, 3, 32, 32, 128, 2, 16, 40, widths, false, false, 4096});
}

TEST_SUITE_END();
