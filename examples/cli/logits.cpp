// SPDX-License-Identifier: MIT
// rwkv logits: the numbers themselves, for checking and for research.
#include <algorithm>
#include <charconv>

#include "command.hpp"
#include "progress.hpp"

namespace cli {
namespace {

struct LogitsCommand {
  ModelOptions model;
  std::string tokens;
  std::string mode = "sequence";
  std::string scalar = "float";
  std::string state_in;
  std::string state_out;
  std::string out;

  void run() const {
    if (scalar == "double") return run_in<double>();
    run_in<float>();
  }

private:
  template <class Scalar>
  void run_in() const;

  /// Tokens that are read at once.
  [[nodiscard]] std::size_t chunk(std::size_t n_tokens) const {
    if (mode == "step") return 1;
    if (mode == "sequence") return std::max<std::size_t>(n_tokens, 1);
    std::size_t n = 0;
    const char* const end = mode.data() + mode.size();
    const bool is_chunk = mode.starts_with("chunk:") && std::from_chars(mode.data() + 6, end, n).ptr == end;
    if (is_chunk && n > 0) return n;
    throw rwkv::ArgumentError(
        {.item = "--mode", .expected = "step, sequence or chunk:N", .found = rwkv::in_quotes(mode)});
  }
};

template <class Scalar>
void LogitsCommand::run_in() const {
  const std::string tokens_file = tokens.starts_with('@') ? tokens.substr(1) : "";
  const auto ids = parse_tokens(tokens_file.empty() ? tokens : read_text(tokens_file));
  const std::size_t n_chunk = chunk(ids.size());
  if (sizeof(Scalar) == sizeof(double) && !model.isa.empty() && model.isa != "scalar") {
    throw rwkv::ArgumentError(
        {.item = "--isa", .expected = "scalar, or none, with --scalar double", .found = model.isa});
  }
  check_output(
      {"--out", out},
      {{"--model", model.model}, {"--tokens", tokens_file}, {"--state-in", state_in}, {"--state-out", state_out}});
  if (!state_out.empty()) {  // it may be --state-in, which is read before
    check_output({"--state-out", state_out}, {{"--model", model.model}, {"--tokens", tokens_file}});
  }
  rwkv::Workspace workspace(model.workspace());
  const auto weights = model.load<Scalar>();
  auto state = weights.new_state();
  if (!state_in.empty()) state = rwkv::load_state(weights, state_in, {.verify_checksums = model.verify});
  std::vector<Scalar> logits;
  logits.reserve(ids.size() * static_cast<std::size_t>(weights.config().n_vocab));
  const InterruptFlag interrupted;
  Progress progress("reading", std::ssize(ids), Progress::tokens, model.quiet);
  constexpr std::size_t n_pass = 256;  // what forward() reads in one pass of its own: the same numbers
  for (std::size_t first = 0, n = 0; first < ids.size(); first += n) {
    interrupted.check();
    n = std::min({n_pass, n_chunk - first % n_chunk, ids.size() - first});
    const auto piece = std::span<const rwkv::Token>(ids).subspan(first, n);
    rwkv::BasicSequence<Scalar> sequence{piece, &state, rwkv::Logits::all};
    weights.forward(std::span(&sequence, 1), workspace);
    logits.insert(logits.end(), sequence.logits.span().begin(), sequence.logits.span().end());
    progress.add(static_cast<rwkv::Index>(n));
  }
  constexpr auto dtype = sizeof(Scalar) == sizeof(double) ? rwkv::DType::f64 : rwkv::DType::f32;
  const rwkv::Shape shape{static_cast<rwkv::Index>(ids.size()), weights.config().n_vocab};
  rwkv::Checkpoint result(out);
  result.add("logits", {dtype, shape, reinterpret_cast<const std::byte*>(logits.data()), nullptr});
  interrupted.check();
  rwkv::write_safetensors(result, out);
  if (!state_out.empty()) rwkv::save_state(state, state_out);
}

}  // namespace

void add_logits(CLI::App& program) {
  auto command = std::make_shared<LogitsCommand>();
  CLI::App& app = *program.add_subcommand("logits", "Write the logits after every token to a file");
  add_model_options(app, command->model);
  app.add_option("--tokens", command->tokens, "Token ids separated by commas, or @FILE")->required();
  app.add_option("--mode", command->mode, "How they are read: step, sequence or chunk:N")->capture_default_str();
  app.add_option("--scalar", command->scalar, "Precision: float or double")
      ->check(CLI::IsMember({"float", "double"}))
      ->capture_default_str();
  app.add_option("--state-in", command->state_in, state_in_help)->check(file_name);
  app.add_option("--state-out", command->state_out, "Where to write the state after the last token")->check(file_name);
  app.add_option("--out", command->out, "Where to write the tensor 'logits', [T, n_vocab] (safetensors)")
      ->required()
      ->check(file_name);
  app.callback([command] { command->run(); });
}

}  // namespace cli
