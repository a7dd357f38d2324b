// SPDX-License-Identifier: MIT
// rwkv bench: how fast a model runs here, against what the machine can do.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "command.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/inspect/zero_share.hpp"

namespace cli {
namespace {

using rwkv::Index;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// The seconds that `work` takes.
template <class Work>
double seconds_of(Work&& work) {
  const double begin = now();
  work();
  return now() - begin;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<Index>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Median of the seconds that `work` takes, after one run that does not count. `prepare` comes before each run, and
/// does not count either.
template <class Prepare, class Work>
double median_seconds(int n_runs, Prepare&& prepare, Work&& work) {
  std::vector<double> seconds;
  for (int i = 0; i <= n_runs; ++i) {
    prepare();
    seconds.push_back(seconds_of(work));
  }
  seconds.erase(seconds.begin());
  return median(std::move(seconds));
}
template <class Work>
double median_seconds(int n_runs, Work&& work) {
  const auto nothing = [] {};
  return median_seconds(n_runs, nothing, work);
}

/// Reads a buffer far larger than the caches with all threads, each in n_streams sequential runs at once. Bytes per
/// second.
double measure_bandwidth(int n_streams, rwkv::Workspace& workspace) {
  constexpr Index n_words = Index{256} << 17;  // 256 MiB
  static const rwkv::Buffer<std::uint64_t> buffer(n_words);
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(workspace.n_threads()) * 8);
  const auto read = [&](Index task, int) {
    const auto worker = static_cast<int>(task);
    constexpr Index line = 8;  // words of a cache line; one word each brings it in
    const rwkv::Range share = rwkv::split(n_words, line * n_streams, worker, workspace.n_threads());
    const Index length = share.size() / n_streams;
    std::uint64_t sum = 0;
    for (Index i = 0; i < length; i += line) {
      for (int stream = 0; stream < n_streams; ++stream) sum += buffer[share.begin + stream * length + i];
    }
    sums[static_cast<std::size_t>(worker) * 8] += sum;
  };
  const double seconds = median_seconds(5, [&] { workspace.threads().run(workspace.n_threads(), read); });
  if (std::accumulate(sums.begin(), sums.end(), std::uint64_t{0}) != 0) std::fputs("", stderr);  // the sums are used
  return static_cast<double>(n_words) * 8 / seconds;
}

/// The matrix product at its best: operands that stay in the caches. Operations per second.
template <class Input>
double measure_gemm_peak(const rwkv::PackedProducts<Input, float>& products, rwkv::DType dtype,
                         rwkv::Workspace& workspace) {
  constexpr Index n_in = 256, n_blocks = 16;
  constexpr int n_repeats = 20;
  const rwkv::DTypeInfo& stored = rwkv::info(dtype);
  const Index n_out = 8 * products.rows, n_tokens = n_blocks * products.tokens;
  const Index n_scratch = products.scratch_bytes(n_in);
  const auto n_threads = static_cast<Index>(workspace.n_threads());
  const rwkv::Buffer<std::byte> weight(n_out * n_in / stored.block_elements * stored.block_bytes);
  const rwkv::Buffer<std::byte> packed(n_blocks * products.packed_bytes(n_in));
  rwkv::Buffer<float> y(n_threads * n_tokens * n_out);
  rwkv::Buffer<std::byte> scratch(n_threads * n_scratch);
  const double seconds = median_seconds(7, [&] {
    workspace.threads().run(n_threads, [&](Index worker, int) {
      for (int i = 0; i < n_repeats; ++i) {
        products.multiply[static_cast<std::size_t>(dtype)](weight.data(), n_in, n_out, packed.data(), n_tokens,
                                                           y.data() + worker * n_tokens * n_out, 0, n_out,
                                                           scratch.data() + worker * n_scratch);
      }
    });
  });
  return 2.0 * n_repeats * static_cast<double>(n_threads * n_tokens * n_out * n_in) / seconds;
}

/// With weights of the type, in the arithmetic that long prompts are multiplied in.
double measure_gemm_peak(rwkv::DType dtype, rwkv::Workspace& workspace) {
  const auto& kernels = workspace.kernels<float>();
  constexpr Index many_tokens = 512;
  const bool in_integers = workspace.rounds_activations<float>(dtype) && many_tokens <= kernels.rounded.most_rows;
  if (in_integers) return measure_gemm_peak(kernels.rounded.gemm, dtype, workspace);
  const bool has_split = kernels.split_gemm.multiply[static_cast<std::size_t>(dtype)] != nullptr;
  return measure_gemm_peak(has_split ? kernels.split_gemm : kernels.gemm, dtype, workspace);
}

/// Weights that every token reads: all matrices but the embedding, of which it reads a row.
struct DenseWeights {
  double n_bytes = 0;
  double n_layer_weights = 0;            // read for a token of a prompt: not the head
  rwkv::DType dtype = rwkv::DType::f32;  // of most of them
};

DenseWeights dense_weights(const rwkv::Checkpoint& checkpoint, const rwkv::Model& weights) {
  DenseWeights result;
  std::array<Index, rwkv::dtype_infos.size()> n_of_dtype{};
  for (const rwkv::TensorSpec& spec : rwkv::tensor_list(weights.config())) {
    if (spec.role == rwkv::TensorRole::vector || spec.role == rwkv::TensorRole::embedding) continue;
    const rwkv::TensorView& tensor = checkpoint.at(spec.name);
    result.n_bytes += static_cast<double>(tensor.n_bytes());
    if (spec.name.starts_with("blocks.")) result.n_layer_weights += static_cast<double>(tensor.n_elements());
    n_of_dtype[static_cast<std::size_t>(tensor.dtype)] += tensor.n_elements();
  }
  const auto most = std::ranges::max_element(n_of_dtype) - n_of_dtype.begin();
  result.dtype = rwkv::dtype_infos[static_cast<std::size_t>(most)].dtype;
  return result;
}

/// Some token of the vocabulary.
rwkv::Token token(Index i, const rwkv::Model& weights) {
  return static_cast<rwkv::Token>(i * 7919 % weights.config().n_vocab);
}

/// Sequences that decode together, a token of each in a step.
class Decoding {
public:
  Decoding(const rwkv::Model& weights, Index n)
      : weights_(weights), states_(static_cast<std::size_t>(n), weights.new_state()), tokens_(states_.size()) {
    for (std::size_t i = 0; i < states_.size(); ++i) batch_.push_back({std::span(&tokens_[i], 1), &states_[i]});
  }
  Decoding(const Decoding&) = delete;
  Decoding& operator=(const Decoding&) = delete;

  void prepare() {  // models with a context of fixed length begin again when it is full
    const Index n_ctx = weights_.config().n_ctx;
    if (n_ctx > 0 && n_steps_ % n_ctx == 0) std::ranges::for_each(states_, &rwkv::State::reset);
    ++n_steps_;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      tokens_[i] = token(n_steps_ * std::ssize(tokens_) + static_cast<Index>(i), weights_);
    }
  }
  void step(rwkv::Workspace& workspace) { weights_.forward(batch_, workspace); }

private:
  const rwkv::Model& weights_;
  std::vector<rwkv::State> states_;
  std::vector<rwkv::Token> tokens_;
  std::vector<rwkv::Sequence> batch_;
  Index n_steps_ = 0;
};

/// Memory of this process that is no part of a file, as Linux counts it.
double private_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string field; status >> field; status.ignore(1000, '\n')) {
    double kilobytes = 0;
    if (field == "RssAnon:" && status >> kilobytes) return kilobytes / 1024;
  }
  return 0;
}

struct BenchCommand {
  ModelOptions model;
  std::string synthetic;
  std::string dtype = "bf16";
  Index n_prompt = 512;
  Index n_generate = 50;
  Index n_batch = 1;
  Index n_context = 0;
  bool json = false;

  void run();

private:
  [[nodiscard]] rwkv::Checkpoint make_checkpoint() const;
  [[nodiscard]] double measure_prompt(const rwkv::Model& weights, rwkv::Workspace& workspace) const;
  void compare_with_machine(const DenseWeights& dense, double step_seconds, double prompt_seconds,
                            rwkv::Workspace& workspace, nlohmann::ordered_json& result) const;
  void show(const nlohmann::ordered_json& result) const;
  void compare_contexts(const rwkv::Model& weights, rwkv::Workspace& workspace, nlohmann::ordered_json& result) const;
};

rwkv::Checkpoint BenchCommand::make_checkpoint() const {
  if (synthetic.empty()) return open_checkpoint(model.model, model);
  return rwkv::synthetic(rwkv::published_shape(synthetic), *rwkv::dtype_from_name(dtype), 1);
}

/// A step of decoding after 100 tokens and one after n_context tokens, taken in turns: what depends on the length of
/// the text shows in their ratio, what happens on the machine meanwhile does not.
void BenchCommand::compare_contexts(const rwkv::Model& weights, rwkv::Workspace& workspace,
                                    nlohmann::ordered_json& result) const {
  constexpr Index n_short = 100;
  std::vector<rwkv::Token> text(static_cast<std::size_t>(std::max(n_context, n_short)));
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = token(static_cast<Index>(i), weights);
  // The third State only brings in the scratch that any text of at least a pass needs.
  constexpr std::size_t n_pass = 256;
  std::array<rwkv::State, 3> states{weights.new_state(), weights.new_state(), weights.new_state()};
  rwkv::Sequence sequence{std::span(text).first(std::min(n_pass, text.size())), &states[2], rwkv::Logits::none};
  weights.forward(std::span(&sequence, 1), workspace);
  sequence = {std::span(text).first(n_short), &states[0], rwkv::Logits::none};
  weights.forward(std::span(&sequence, 1), workspace);
  const double short_megabytes = private_megabytes();
  sequence = {std::span(text).first(static_cast<std::size_t>(n_context)), &states[1], rwkv::Logits::none};
  weights.forward(std::span(&sequence, 1), workspace);
  std::array<std::vector<double>, 2> seconds;
  for (Index step = 0; step < std::max<Index>(n_generate, 1); ++step) {
    const std::array<rwkv::Token, 1> next{token(step, weights)};
    for (std::size_t i = 0; i < 2; ++i) {
      seconds[i].push_back(seconds_of([&] { weights.forward(next, states[i], workspace); }));
    }
  }
  result["context"] = n_context;
  result["context_decode_tokens_per_second"] = 1 / median(seconds[1]);
  result["context_decode_seconds_ratio"] = median(seconds[1]) / median(seconds[0]);
  result["context_extra_mb"] = private_megabytes() - short_megabytes;
  result["state_mb"] = static_cast<double>(states[0].values().size_bytes()) / (1 << 20);
}

double BenchCommand::measure_prompt(const rwkv::Model& weights, rwkv::Workspace& workspace) const {
  if (n_prompt == 0) return 0;
  std::vector<rwkv::Token> prompt;
  for (Index i = 0; i < n_prompt; ++i) prompt.push_back(token(i, weights));
  auto state = weights.new_state();
  const auto forget = [&] { state.reset(); };
  return median_seconds(3, forget, [&] { weights.forward(prompt, state, workspace); });
}

/// The machine at its best, and how near to it the model comes.
void BenchCommand::compare_with_machine(const DenseWeights& dense, double step_seconds, double prompt_seconds,
                                        rwkv::Workspace& workspace, nlohmann::ordered_json& result) const {
  const double one_stream = measure_bandwidth(1, workspace), four_streams = measure_bandwidth(4, workspace);
  const double gemm_peak = measure_gemm_peak(dense.dtype, workspace);
  const double decode_rate = n_generate == 0 ? 0 : 1 / step_seconds;
  const double decode_bandwidth = dense.n_bytes * decode_rate;
  const double prompt_rate = n_prompt == 0 ? 0 : static_cast<double>(n_prompt) / prompt_seconds;
  const double prompt_flops = 2 * dense.n_layer_weights * prompt_rate;
  result.update({{"decode_tokens_per_second", decode_rate * static_cast<double>(n_batch)},
                 {"decode_gb_per_second", decode_bandwidth * 1e-9},
                 {"bandwidth_1_stream_gb_per_second", one_stream * 1e-9},
                 {"bandwidth_4_streams_gb_per_second", four_streams * 1e-9},
                 {"decode_bandwidth_share", decode_bandwidth / four_streams},
                 {"decode_bandwidth_share_1_stream", decode_bandwidth / one_stream},
                 {"prompt_tokens", n_prompt},
                 {"prompt_tokens_per_second", prompt_rate},
                 {"prompt_gflops", prompt_flops * 1e-9},
                 {"gemm_peak_gflops", gemm_peak * 1e-9},
                 {"prompt_gemm_share", prompt_flops / gemm_peak}});
}

void BenchCommand::show(const nlohmann::ordered_json& result) const {
  if (json) return print(result.dump(2) + "\n");
  for (const auto& [field, value] : result.items()) {
    char number[32];
    if (value.is_number_float()) std::snprintf(number, sizeof number, "%.3g", value.get<double>());
    const std::string shown = value.is_number_float() ? number
                              : value.is_string()     ? value.get<std::string>()
                                                      : value.dump();
    print(field + std::string(36 - field.size(), ' ') + shown + "\n");
  }
}

void BenchCommand::run() {
  if (synthetic.empty()) take_environment(model.model, "RWKV_MODEL");
  const double begin = now();
  const rwkv::Checkpoint stored = make_checkpoint();
  const double before_megabytes = private_megabytes();  // synthetic weights are in it, mapped ones never
  const double loading = now();
  const rwkv::Checkpoint checkpoint = model.arranged(stored);
  const rwkv::Model weights = model.build(checkpoint);
  const double load_seconds = now() - (synthetic.empty() ? begin : loading);
  rwkv::Workspace workspace(model.workspace());
  const DenseWeights dense = dense_weights(checkpoint, weights);

  const double prompt_seconds = measure_prompt(weights, workspace);
  Decoding decoding(weights, n_batch);
  const auto prepare = [&] { decoding.prepare(); };
  const auto step = [&] { decoding.step(workspace); };
  const double step_seconds = n_generate == 0 ? 0 : median_seconds(static_cast<int>(n_generate), prepare, step);
  const double extra_megabytes = private_megabytes() - before_megabytes;

  nlohmann::ordered_json result{
      {"model", synthetic.empty() ? rwkv::to_utf8(checkpoint.path()) : "synthetic " + synthetic},
      {"dtype", rwkv::name(dense.dtype)},
      {"isa", rwkv::name(workspace.isa())},
      {"threads", workspace.n_threads()},
      {"batch", n_batch},
      {"load_seconds", load_seconds},
      {"peak_extra_mb", extra_megabytes}};  // scratch and states only grow
  compare_with_machine(dense, step_seconds, prompt_seconds, workspace, result);
  rwkv::ZeroShare zeros(checkpoint, weights.config());
  workspace.observe_products([&](const auto& weight, auto x) { zeros.add(weight, x); });
  prepare();
  step();
  workspace.observe_products(nullptr);
  result["zero_activation_share"] = nullptr;
  if (const std::optional<double> share = zeros.all()) result["zero_activation_share"] = *share;
  if (n_context > 0) compare_contexts(weights, workspace, result);
  show(result);
}

}  // namespace

void add_bench(CLI::App& program) {
  auto command = std::make_shared<BenchCommand>();
  CLI::App& app = *program.add_subcommand("bench", "Measure speed and memory");
  // A model that the environment names gives way to --synthetic, one that the command line names contradicts it: so the
  // environment is left to run().
  CLI::Option* const model = add_model_options(app, command->model);
  defer_environment(*model);
  auto* const synthetic =
      app.add_option("--synthetic", command->synthetic,
                     "Instead of a model, random weights in the shapes of a published one: v7-0.1B ...")
          ->excludes(model);
  std::vector<std::string> dtypes;
  for (const rwkv::DTypeInfo& type : rwkv::dtype_infos) {
    if (type.is_real && type.dtype != rwkv::DType::f64) dtypes.emplace_back(type.name);
  }
  app.add_option("--dtype", command->dtype, "How synthetic weights are stored")
      ->check(CLI::IsMember(dtypes))
      ->capture_default_str()
      ->needs(synthetic);
  app.add_option("--prompt", command->n_prompt, "Tokens of the prompt")->check(count)->capture_default_str();
  app.add_option("--gen", command->n_generate, "Tokens to decode, one by one")->check(count)->capture_default_str();
  app.add_option("--batch", command->n_batch, "Sequences that decode together")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--context", command->n_context,
                 "Also compare a step after so many tokens with one after 100, in turns, and the memory")
      ->check(count);
  app.add_flag("--json", command->json, "As one JSON object");
  app.callback([command] { command->run(); });
}

}  // namespace cli
