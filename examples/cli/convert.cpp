// SPDX-License-Identifier: MIT
// rwkv convert: a checkpoint in another format or type.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "command.hpp"
#include "progress.hpp"
#include "rwkv/convert.hpp"
#include "rwkv/convert/calibrate.hpp"
#include "rwkv/convert/choose_types.hpp"
#include "rwkv/convert/input_moments.hpp"
#include "rwkv/convert/report_quality.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "rwkv/io/write.hpp"

namespace cli {
namespace {

/// What the text of --calibrate tells the quantisers.
struct Calibration {
  explicit Calibration(int n_threads) : workspace({.n_threads = n_threads}) {}

  rwkv::Workspace workspace;
  std::vector<rwkv::Token> text;
  rwkv::Importance importance;
  std::optional<rwkv::InputMoments> moments;
};

struct ConvertCommand {
  std::string in;
  std::string out;
  std::string dtype;
  std::string format;
  std::string lora;
  std::string state;
  std::string tokenizer;
  std::string calibrate;
  std::string report;
  std::optional<double> lora_alpha;
  std::optional<double> budget;
  std::optional<double> max_kl;
  int n_threads = 0;
  bool feedback = true;
  ReadOptions reading;

  void run() const;

private:
  [[nodiscard]] rwkv::FileFormat file_format() const;
  [[nodiscard]] std::optional<rwkv::DType> stored_type() const;
  void check_types(rwkv::FileFormat target, std::optional<rwkv::DType> type) const;
  [[nodiscard]] rwkv::Lora open_lora() const;
  void add_vocabulary(rwkv::PlannedFile& plan) const;
  [[nodiscard]] std::vector<rwkv::Token> tokens(const rwkv::Checkpoint& checkpoint, const std::string& path,
                                                std::size_t most) const;
  void calibrated(const rwkv::Checkpoint& checkpoint, const InterruptFlag& interrupted, Calibration& calibration,
                  rwkv::ConvertOptions& options) const;
  [[nodiscard]] rwkv::Checkpoint made(rwkv::PlannedFile& plan, const char* work, const std::string& path,
                                      const InterruptFlag& interrupted) const;
  void measure(const rwkv::Checkpoint& original, const rwkv::Importance& importance, const InterruptFlag& interrupted,
               rwkv::PlannedFile& plan) const;
};

constexpr const char* report_key = "rwkv.report";

/// Counts what is done, and ends the command where Ctrl-C asks for it.
class Counter {
public:
  Counter(const InterruptFlag& interrupted, Progress& progress) : interrupted_(interrupted), progress_(progress) {}
  void operator()(rwkv::Index n) const {
    interrupted_.check();
    progress_.add(n);
  }

private:
  const InterruptFlag& interrupted_;
  Progress& progress_;
};

rwkv::FileFormat ConvertCommand::file_format() const {
  if (!format.empty()) return rwkv::file_format_from_name(format).value();  // CLI11 has checked it
  if (const auto found = rwkv::file_format_from_path(out)) return *found;
  throw rwkv::ArgumentError({.path = out,
                             .problem = "the name does not tell the format",
                             .expected = "one that ends in .pth, .safetensors, .gguf or .bin, or --format"});
}

std::optional<rwkv::DType> ConvertCommand::stored_type() const {
  if (dtype.empty()) return std::nullopt;
  const auto found = rwkv::dtype_from_name(dtype);
  if (found && rwkv::info(*found).is_real) return found;
  std::string known;
  for (const rwkv::DTypeInfo& each : rwkv::dtype_infos) {
    if (each.is_real) known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  throw rwkv::ArgumentError({.item = "--dtype", .expected = known, .found = rwkv::in_quotes(dtype)});
}

/// Before anything is read: what the format cannot hold.
void ConvertCommand::check_types(rwkv::FileFormat target, std::optional<rwkv::DType> type) const {
  const std::vector<rwkv::DType> blocks = rwkv::block_types(target);
  const char* const hint = "Write a .gguf file, or a .bin of rwkv.cpp.";
  if (budget && blocks.empty()) {
    throw rwkv::ArgumentError(
        {.path = out, .item = "--budget", .problem = "the format has no types of blocks", .hint = hint});
  }
  const bool is_blocks = type && rwkv::info(*type).block_elements > 1;
  if (is_blocks && std::ranges::find(blocks, *type) == blocks.end()) {
    throw rwkv::UnsupportedError(
        {.path = out, .problem = "the format has no type " + std::string(rwkv::name(*type)), .hint = hint});
  }
}

/// The scale is the caller's, or that of the configuration beside the file, which PEFT writes.
rwkv::Lora ConvertCommand::open_lora() const {
  const rwkv::Checkpoint file = open_checkpoint(lora, reading);
  if (lora_alpha) return rwkv::Lora(file, {*lora_alpha});
  const auto config = (std::filesystem::path(lora).parent_path() / "adapter_config.json").string();
  if (std::filesystem::exists(config)) return rwkv::Lora(file, rwkv::read_lora_config(config));
  throw rwkv::ArgumentError({.item = "--lora-alpha",
                             .problem = "is missing: the file does not tell how strong the adapter is",
                             .hint = "It is the alpha of the training, often 16 or 32."});
}

/// The vocabulary: the one that was named, that of the checkpoint, or the one beside it.
void ConvertCommand::add_vocabulary(rwkv::PlannedFile& plan) const {
  const std::string key(rwkv::vocabulary_key);
  if (tokenizer.empty() && plan.metadata.contains(key)) return;
  const rwkv::PlannedTensor* const embedding = plan.find("emb.weight");
  if (embedding == nullptr || (tokenizer.empty() && embedding->shape[0] == 256)) return;  // its tokens are bytes
  const auto add = [&](const std::string& path) {
    const rwkv::Tokenizer loaded = rwkv::load_tokenizer(path);
    rwkv::check_vocabulary(loaded, embedding->shape[0], path);
    if (loaded.kind() != rwkv::WorldTokenizer::kind) {
      if (!calibrate.empty() || !report.empty()) return;  // it is for their texts
      throw rwkv::ArgumentError({.path = path, .expected = "a World vocabulary", .found = loaded.kind()});
    }
    plan.metadata[key] = read_text(path);
  };
  if (!tokenizer.empty()) return add(tokenizer);
  for (const std::string& path : rwkv::find_tokenizer_files(in)) {
    try {
      return add(path);
    } catch (const rwkv::Error&) {
      // one that only happens to lie there
    }
  }
}

/// A text as the model reads it: its first tokens, as many as are of use.
std::vector<rwkv::Token> ConvertCommand::tokens(const rwkv::Checkpoint& checkpoint, const std::string& path,
                                                std::size_t most) const {
  const rwkv::Model model(checkpoint);
  const rwkv::Tokenizer text = rwkv::tokenizer_for(model, in, tokenizer);
  std::vector<rwkv::Token> result = text.encode(read_text(path));
  if (result.size() < 2) {
    throw rwkv::ArgumentError({.path = path, .expected = "a text of at least 2 tokens", .found = "fewer"});
  }
  result.resize(std::min(result.size(), most));
  return result;
}

/// Reads the text of --calibrate, and chooses the types for --budget.
void ConvertCommand::calibrated(const rwkv::Checkpoint& checkpoint, const InterruptFlag& interrupted,
                                Calibration& calibration, rwkv::ConvertOptions& options) const {
  constexpr std::size_t most = 16384, most_for_types = 512;
  auto& [workspace, text, importance, moments] = calibration;
  text = tokens(checkpoint, calibrate, most);
  {
    Progress progress("calibrating", std::ssize(text), Progress::tokens, reading.quiet);
    importance = rwkv::measure_importance(checkpoint, text, workspace, Counter(interrupted, progress));
  }
  options.importance = &importance;
  if (feedback) {
    options.moments =
        &moments.emplace(checkpoint, text, workspace, [&interrupted](rwkv::Index) { interrupted.check(); });
  }
  if (!budget) return;
  const std::vector<rwkv::DType> types = rwkv::block_types(file_format());
  const std::span<const rwkv::Token> part(text.data(), std::min(text.size(), most_for_types));
  const rwkv::Index n_matrices = std::ranges::count_if(importance, [&](const auto& each) {
    const rwkv::TensorView* const tensor = checkpoint.find(each.first);
    return tensor != nullptr && rwkv::info(tensor->dtype).block_elements == 1;  // others keep their type
  });
  Progress progress("choosing types", (n_matrices + 1) * std::ssize(part), Progress::tokens, reading.quiet);
  options.types =
      rwkv::choose_types(checkpoint, *budget, types, importance, part, workspace, Counter(interrupted, progress));
}

std::span<const rwkv::QualityReport::Tensor> worst_tensors(const rwkv::QualityReport& report) {
  return std::span(report.tensors).first(std::min<std::size_t>(5, report.tensors.size()));
}

nlohmann::ordered_json to_json(const rwkv::QualityReport& report) {
  const rwkv::ComparisonResult& text = report.text;
  nlohmann::ordered_json result{{"tokens", text.n},
                                {"mean_kl", text.mean_kl},
                                {"kl_99", text.kl_99},
                                {"max_kl", text.max_kl},
                                {"top1_agreement", text.top1_agreement},
                                {"perplexity_source", text.perplexity_a},
                                {"perplexity", text.perplexity_b},
                                {"bits_per_weight", report.bits_per_weight},
                                {"worst_tensors", nlohmann::ordered_json::array()}};
  for (const auto& tensor : worst_tensors(report)) {
    result["worst_tensors"].push_back(
        {{"name", tensor.name}, {"dtype", rwkv::name(tensor.dtype)}, {"relative_error", tensor.error}});
  }
  return result;
}

void print_report(const rwkv::QualityReport& report) {
  const rwkv::ComparisonResult& text = report.text;
  char lines[512];
  std::snprintf(lines, sizeof(lines),
                "weights         %.1f MB, %.3f bits a weight (source %.1f MB)\n"
                "text            %lld tokens\n"
                "KL divergence   %.5f nats a token (99 %% below %.4f, worst %.4f)\n"
                "same top token  %.2f %%\n"
                "perplexity      %.4f (source %.4f, %+.3f %%)\n",
                static_cast<double>(report.copy_bytes) * 1e-6, report.bits_per_weight,
                static_cast<double>(report.source_bytes) * 1e-6, static_cast<long long>(text.n), text.mean_kl,
                text.kl_99, text.max_kl, 100 * text.top1_agreement, text.perplexity_b, text.perplexity_a,
                100 * (text.perplexity_ratio - 1));
  print(lines);
  for (const auto& tensor : worst_tensors(report)) {
    std::snprintf(lines, sizeof(lines), "worst tensors   %5.2f %%  %s\n", 100 * tensor.error,
                  std::string(rwkv::name(tensor.dtype)).c_str());
    std::string line(lines);
    line.insert(line.size() - 1, "  " + rwkv::to_utf8(tensor.name));
    print(line);
  }
}

rwkv::Index n_bytes(const rwkv::PlannedFile& plan) {
  rwkv::Index sum = 0;
  for (const rwkv::PlannedTensor& tensor : plan.tensors) sum += tensor.n_bytes();
  return sum;
}

/// Makes all tensors now; the plan holds them from then on.
rwkv::Checkpoint ConvertCommand::made(rwkv::PlannedFile& plan, const char* work, const std::string& path,
                                      const InterruptFlag& interrupted) const {
  rwkv::Checkpoint result(path);
  result.metadata() = plan.metadata;
  Progress progress(work, n_bytes(plan), Progress::bytes, reading.quiet);
  for (rwkv::PlannedTensor& tensor : plan.tensors) {
    result.add(tensor.name, tensor.make());
    tensor = rwkv::planned(tensor.name, result.at(tensor.name));
    Counter(interrupted, progress)(tensor.n_bytes());
  }
  return result;
}

/// Compares the models, and puts what it found into the metadata.
void ConvertCommand::measure(const rwkv::Checkpoint& original, const rwkv::Importance& importance,
                             const InterruptFlag& interrupted, rwkv::PlannedFile& plan) const {
  constexpr std::size_t most = 32768;
  const std::vector<rwkv::Token> text = tokens(original, report, most);
  const rwkv::Checkpoint copy = made(plan, "converting", out, interrupted);
  Progress progress("comparing", std::ssize(text), Progress::tokens, reading.quiet);
  const rwkv::QualityReport found =
      rwkv::report_quality(original, copy, text, importance, {.n_threads = n_threads}, Counter(interrupted, progress));
  if (max_kl && !(found.text.mean_kl <= *max_kl)) {
    const auto short_text = [](double number) {
      char digits[32];
      std::snprintf(digits, sizeof(digits), "%.3g", number);
      return std::string(digits);
    };
    throw rwkv::ModelError({.path = out,
                            .item = "KL divergence",
                            .expected = "at most " + short_text(*max_kl),
                            .found = short_text(found.text.mean_kl),
                            .hint = "Nothing was written. A type of more bits, --calibrate or --budget may help."});
  }
  plan.metadata[report_key] = to_json(found).dump();
  print_report(found);
}

void ConvertCommand::run() const {
  const rwkv::FileFormat target = file_format();
  const std::optional<rwkv::DType> type = stored_type();
  check_types(target, type);
  check_output({"OUT", out}, {{"IN", in},
                              {"--lora", lora},
                              {"--state", state},
                              {"--tokenizer", tokenizer},
                              {"--calibrate", calibrate},
                              {"--report", report}});
  const InterruptFlag interrupted;
  const rwkv::Checkpoint checkpoint = open_checkpoint(in, reading);
  rwkv::ThreadPool threads(n_threads > 0 ? n_threads : rwkv::n_processors());
  rwkv::ConvertOptions options{.dtype = type};
  std::optional<rwkv::Lora> adapter;
  std::optional<rwkv::Checkpoint> beginning;
  std::optional<Calibration> calibration;
  if (!lora.empty()) options.lora = &adapter.emplace(open_lora());
  if (!state.empty()) options.state = &beginning.emplace(open_checkpoint(state, reading));
  if (!calibrate.empty()) calibrated(checkpoint, interrupted, calibration.emplace(n_threads), options);
  rwkv::PlannedFile plan = rwkv::plan_conversion(checkpoint, options, threads);
  add_vocabulary(plan);
  if (!report.empty()) {
    rwkv::Checkpoint original = checkpoint;
    if (adapter || beginning) {  // the same model in its own types
      rwkv::PlannedFile merged =
          rwkv::plan_conversion(checkpoint, {.lora = options.lora, .state = options.state}, threads);
      original = made(merged, "merging", in, interrupted);
    }
    measure(original, calibration ? calibration->importance : rwkv::Importance{}, interrupted, plan);
  }
  Progress progress("writing", n_bytes(plan), Progress::bytes, reading.quiet);
  rwkv::write_checkpoint(plan, target, out, Counter(interrupted, progress));
  if (!report.empty()) {
    char line[64];
    std::snprintf(line, sizeof(line), "file            %.1f MB\n",
                  static_cast<double>(std::filesystem::file_size(out)) * 1e-6);
    print(line);
  }
}

}  // namespace

void add_convert(CLI::App& program) {
  auto command = std::make_shared<ConvertCommand>();
  CLI::App& app = *program.add_subcommand("convert", "Write a checkpoint in another format or type");
  app.add_option("IN", command->in, "Checkpoint: .pth, .safetensors, .gguf or rwkv.cpp .bin")
      ->required()
      ->check(file_name);
  app.add_option("OUT", command->out, "File to write; its ending tells the format: .pth, .safetensors, .gguf or .bin")
      ->required()
      ->check(file_name);
  std::vector<std::string> formats;
  for (const rwkv::FileFormatInfo& each : rwkv::file_formats) formats.emplace_back(each.name);
  app.add_option("--format", command->format, "Format, whatever the ending says")->check(CLI::IsMember(formats));
  auto* const dtype =
      app.add_option("--dtype", command->dtype,
                     "Store weights as f32, f16, bf16, q8_0, q4_0, ...; small tensors and the head stay more exact. "
                     "Default: every tensor as it is");
  app.add_option("--lora", command->lora, "Merge this LoRA adapter")->check(file_name);
  app.add_option("--lora-alpha", command->lora_alpha,
                 "Its alpha, which over its rank is its strength; default: that of adapter_config.json beside it");
  app.add_option("--state", command->state, "Attach this tuned State (time_state)")->check(file_name);
  app.add_option("--tokenizer", command->tokenizer,
                 "Vocabulary file to put in, where the format has room; default: that of IN, or the one beside it")
      ->check(file_name);
  CLI::Option* const calibrate = app.add_option(
      "--calibrate", command->calibrate,
      "Text, of what the model will be used for, whose activations guide the quantisation (16384 tokens)");
  calibrate->check(file_name);
  app.add_flag(
         "!--no-feedback", command->feedback,
         "Round each weight by itself, not for the error of outputs on the text of --calibrate: faster, less exact")
      ->needs(calibrate);
  app.add_option(
         "--budget", command->budget,
         "Choose a type of blocks for each matrix, so that they have so many bits a weight; measured on the text "
         "of --calibrate")
      ->needs(calibrate)
      ->excludes(dtype)
      ->check(CLI::Range(1.0, 16.0));
  CLI::Option* const report = app.add_option("--report", command->report,
                                             "Text to compare the result with the original on (32768 tokens), adapter "
                                             "and State in both; that goes into the file. "
                                             "The result is held in memory");
  report->check(file_name);
  app.add_option("--max-kl", command->max_kl,
                 "Write nothing if the KL divergence on the text of --report is above this")
      ->needs(report)
      ->check(CLI::NonNegativeNumber);
  app.add_option("--threads", command->n_threads, "Threads; default: all processors")->check(CLI::Range(1, 1024));
  add_read_options(app, command->reading);
  app.callback([command] { command->run(); });
}

}  // namespace cli
