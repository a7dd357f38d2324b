// SPDX-License-Identifier: MIT
// Reverses numbers with a network wired by hand from the layers of RWKV-7: reverse_digits CHECKPOINT [NUMBER...].
// Without numbers it tries 120 random ones and tells how many were right.
// (The trained model errs on about one number in 600; in exact arithmetic on the same ones.)
//
// The checkpoint is 260123_reverse_L2_only_rwkv7.pth of BlinkDL/RWKV-LM (folder RWKV-v8), 2 layers of width 32. Its
// tensors have names of their own, there is no ln0, the head has a bias, and of a third part of each layer, `rosa`,
// which is switched off, the bias of its output is left. None of that is a model that rwkv::load_model knows.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <rwkv/arch/v7.hpp>
#include <rwkv/rwkv.hpp>
#include <string>
#include <vector>

namespace {

constexpr const char* alphabet = "0123456789,#";

/// x += time_mix(LN(x)) + bias; x += channel_mix(LN(x)).
struct Layer {
  Layer(const rwkv::Builder& build, const std::string& number)
      : ln_time(build.layer_norm<float>("ln" + number + "a", build.config().n_embd)),
        time_mix(build.at("rwkv" + number + ".")),
        bias(build.vector<float>("rosa" + number + ".o.bias", {build.config().n_embd})),
        ln_channel(build.layer_norm<float>("ln" + number + "b", build.config().n_embd)),
        channel_mix(build.at("ffn" + number + ".")) {}

  void apply(rwkv::MatrixView<float> x, const rwkv::Batch<float>& batch) const {
    rwkv::Workspace::Frame frame(batch.workspace);
    const auto normalised = frame.matrix<float>(x.n_rows, x.n_cols), mixed = frame.matrix<float>(x.n_rows, x.n_cols);
    const rwkv::KernelTable<float>& kernels = batch.workspace.kernels<float>();
    ln_time.apply(x, normalised, batch.workspace);
    time_mix.apply(normalised, mixed, batch);
    kernels.add(x.data, mixed.data, x.size());
    for (rwkv::Index row = 0; row < x.n_rows; ++row) kernels.add(x.row(row), bias.data(), x.n_cols);
    ln_channel.apply(x, normalised, batch.workspace);
    channel_mix.apply(normalised, mixed, batch);
    kernels.add(x.data, mixed.data, x.size());
  }

  rwkv::LayerNorm<float> ln_time;
  rwkv::v7::TimeMix<float> time_mix;
  rwkv::Buffer<float> bias;
  rwkv::LayerNorm<float> ln_channel;
  rwkv::v7::ChannelMix<float> channel_mix;
};

class Reverser {
public:
  explicit Reverser(const rwkv::Checkpoint& checkpoint) {
    const auto width = [&](const char* name) { return checkpoint.at(name).shape[1]; };
    const rwkv::Config config{.generation = rwkv::Generation::v7,
                              .n_layer = 2,
                              .n_embd = width("e.weight"),
                              .n_att = width("e.weight"),
                              .n_ffn = width("ffn1.value.weight"),
                              .n_head = checkpoint.at("rwkv1.r_k").shape[0],
                              .head_size = width("rwkv1.r_k"),
                              .n_vocab = checkpoint.at("e.weight").shape[0],
                              .low_rank = {.decay = width("rwkv1.w1"),
                                           .rate = width("rwkv1.a1"),
                                           .value = width("rwkv1.v1"),
                                           .gate = width("rwkv1.g1")}};
    rwkv::Construction construction{&checkpoint, config, *layout_};
    embedding_ = rwkv::Builder(construction).table("e.weight", config.n_embd);
    for (rwkv::Index i = 0; i < config.n_layer; ++i) {  // a Builder's layer number tells TimeMix which is the first
      layers_.emplace_back(rwkv::Builder(construction, "", i), std::to_string(i + 1));
    }
    ln_out_ = rwkv::Builder(construction).layer_norm<float>("lno", config.n_embd);
    head_ = rwkv::Builder(construction).biased("o", config.n_vocab, config.n_embd);
  }

  /// What the model says after `text`, up to "#".
  [[nodiscard]] std::string answer(const std::string& text, rwkv::Workspace& workspace) const {
    rwkv::State state(layout_);
    std::string answer;
    char next = read(text, state, workspace);
    for (; next != '#' && answer.size() < text.size(); next = read({next}, state, workspace)) answer += next;
    return answer + next;
  }

private:
  /// The likeliest character after `text`, which continues what the state has read.
  char read(const std::string& text, rwkv::State& state, rwkv::Workspace& workspace) const {
    rwkv::Workspace::Frame frame(workspace);
    const auto n = static_cast<rwkv::Index>(text.size());
    const auto matrix = [&](rwkv::Index n_cols) { return frame.matrix<float>(n, n_cols); };
    const auto x = matrix(ln_out_.n_channels()), v_first = matrix(x.n_cols), logits = matrix(head_.n_out());
    for (rwkv::Index row = 0; row < n; ++row) {
      const char character = text[static_cast<std::size_t>(row)];
      const auto token = std::string(alphabet).find(character);
      if (token == std::string::npos) throw rwkv::ArgumentError({.item = text, .expected = "digits"});
      rwkv::expand_row(embedding_, static_cast<rwkv::Index>(token), x.row(row), workspace.kernels<float>());
    }
    const rwkv::Segment<float> segment{0, n, state.values().data()};
    for (const Layer& layer : layers_) layer.apply(x, {std::span(&segment, 1), workspace, v_first});
    ln_out_.apply(x, x, workspace);
    head_.apply<float>(x, logits, workspace);
    const float* const last = logits.row(n - 1);
    return alphabet[std::max_element(last, last + logits.n_cols) - last];
  }

  std::shared_ptr<rwkv::StateLayout> layout_ = std::make_shared<rwkv::StateLayout>();
  rwkv::TensorView embedding_;
  std::vector<Layer> layers_;
  rwkv::LayerNorm<float> ln_out_;
  rwkv::Linear head_;
};

/// Numbers of 1 to 60 digits, a few of each length.
std::vector<std::string> random_numbers() {
  std::vector<std::string> numbers;
  rwkv::Random random(1);
  for (int i = 0; i < 120; ++i) {
    std::string number(1, static_cast<char>('1' + random.next() % 9));
    while (static_cast<int>(number.size()) <= i % 60) number += static_cast<char>('0' + random.next() % 10);
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) throw rwkv::ArgumentError({.item = "reverse_digits", .expected = "a checkpoint, and maybe numbers"});
  const Reverser reverser(rwkv::open_checkpoint(argv[1]));
  const auto numbers = argc > 2 ? std::vector<std::string>(argv + 2, argv + argc) : random_numbers();
  rwkv::Workspace workspace({.n_threads = 1});  // 40 000 weights: more threads would only wait for each other
  std::size_t n_right = 0;
  for (const std::string& number : numbers) {
    const std::string answer = reverser.answer(number + ",", workspace);
    const bool is_right = answer == std::string(number.rbegin(), number.rend()) + "#";
    if (is_right) ++n_right;
    if (!is_right || argc > 2) std::printf("%s -> %s%s\n", number.c_str(), answer.c_str(), is_right ? "" : " (wrong)");
  }
  std::printf("%zu of %zu numbers reversed: %.1f %%\n", n_right, numbers.size(),
              100.0 * static_cast<double>(n_right) / static_cast<double>(numbers.size()));
  return n_right == numbers.size() ? 0 : 1;
} catch (const rwkv::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
