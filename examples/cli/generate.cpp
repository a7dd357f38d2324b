// SPDX-License-Identifier: MIT
// rwkv generate: continues a text.
#include <chrono>
#include <cstdio>
#include <exception>
#include <random>

#include "command.hpp"
#include "grammar_options.hpp"
#include "progress.hpp"

namespace cli {
namespace {

struct GenerateCommand {
  ModelOptions model;
  std::string prompt;
  std::string prompt_file;
  std::string suffix;
  std::string state_in;
  std::string state_out;
  bool tells_a_story = false;  // there is no text to continue
  bool echo = true;
  bool verbose = false;
  rwkv::Index n_tokens = 200;
  rwkv::Index lookup = 0;
  std::vector<std::string> stops;
  rwkv::SamplerOptions sampling{.presence_penalty = 0.2, .frequency_penalty = 0.2};
  std::optional<std::uint64_t> seed;
  GrammarOptions grammar;

  void run();

private:
  [[nodiscard]] std::vector<rwkv::Token> encode_prompt(const rwkv::Tokenizer& from) const;
  void read(rwkv::Generator& generator, const std::vector<rwkv::Token>& tokens, const InterruptFlag& interrupted) const;
};

/// With what comes after a gap, the prompt of a model that fills it in. A prompt without tokens has nothing to
/// continue, so it becomes the beginning of a document.
std::vector<rwkv::Token> GenerateCommand::encode_prompt(const rwkv::Tokenizer& from) const {
  const auto tokens = from.encode(suffix.empty() ? prompt : rwkv::fill_in_prompt(prompt, suffix));
  if (!tokens.empty()) return tokens;
  const auto end_of_text = from.end_of_text();
  return end_of_text ? std::vector{*end_of_text} : from.encode("\n");
}

void GenerateCommand::read(rwkv::Generator& generator, const std::vector<rwkv::Token>& tokens,
                           const InterruptFlag& interrupted) const {
  Progress progress("reading", std::ssize(tokens), Progress::tokens, model.quiet);
  const bool is_read = generator.read(tokens, [&](rwkv::Index n) {
    progress.set(n);
    return !interrupted.is_set();
  });
  if (!is_read) interrupted.check();
}

void GenerateCommand::run() {
  check_sampling(sampling);
  if (!prompt_file.empty()) prompt = read_text(prompt_file);
  if (model.model.empty() && tells_a_story) prompt = "Once upon a time";
  if (prompt.empty() && !state_in.empty()) {
    throw rwkv::ArgumentError({.item = "--state-in",
                               .problem = "the prompt is empty",
                               .hint = "A State does not say what comes next before it has read something: name the "
                                       "text to go on with, with -p."});
  }
  if (!state_out.empty()) {  // it may be --state-in, which is read before
    check_output({"--state-out", state_out}, {{"--model", model.model},
                                              {"--tokenizer", model.tokenizer_path},
                                              {"--prompt-file", prompt_file},
                                              {"--grammar", grammar.grammar},
                                              {"--json-schema", grammar.schema}});
  }
  const auto started = std::chrono::steady_clock::now();
  const auto seconds = [&started] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  };
  const auto rules = grammar.load();
  rwkv::Workspace workspace(model.workspace());
  const auto weights = model.load();
  const auto text = model.tokenizer(weights);
  const auto used_seed = seed.value_or(std::random_device()());
  rwkv::Generator generator(weights, text, workspace, sampling, used_seed);
  if (!state_in.empty()) generator.set_state(rwkv::load_state(weights, state_in, {.verify_checksums = model.verify}));
  std::optional<rwkv::Constraint> constraint;
  if (rules) constraint.emplace(*rules, text);
  const double load_seconds = seconds();

  const InterruptFlag interrupted;
  const auto tokens = encode_prompt(text);
  read(generator, tokens, interrupted);
  std::exception_ptr unwritten;  // what was to be saved is saved all the same
  const auto show = [&](std::string_view piece) {
    try {
      print(piece);
      flush();
    } catch (...) {
      unwritten = std::current_exception();
    }
    return !unwritten && !interrupted.is_set();
  };
  show(echo && !rules ? rwkv::to_utf8(prompt) : "");
  const double read_seconds = seconds();
  rwkv::Generated generated{};
  if (!unwritten) {
    generated = generator.generate({.max_tokens = n_tokens,
                                    .stops = stops,
                                    .lookup = lookup,
                                    .constraint = constraint ? &*constraint : nullptr,
                                    .close = grammar.close},
                                   show);
  }
  if (!unwritten) show("\n");
  if (!state_out.empty()) rwkv::save_state(generator.state(), state_out);
  if (unwritten) std::rethrow_exception(unwritten);
  if (verbose) {
    const double generate_seconds = seconds() - read_seconds;
    std::fprintf(
        stderr,
        "rwkv: %s, %d threads, seed %llu; loaded in %.2f s, read %zu tokens in %.2f s, wrote %td in %.2f s (%.1f/s)\n",
        std::string(rwkv::name(workspace.isa())).c_str(), workspace.n_threads(),
        static_cast<unsigned long long>(used_seed), load_seconds, tokens.size(), read_seconds - load_seconds,
        generated.n_tokens, generate_seconds, static_cast<double>(generated.n_tokens) / generate_seconds);
  }
  interrupted.check();
  if (rules) check_whole(*rules, generated);
}

}  // namespace

void add_generate(CLI::App& program) {
  auto command = std::make_shared<GenerateCommand>();
  CLI::App& app = *program.add_subcommand("generate", "Continue a text");
  add_model_options(app, command->model);
  add_tokenizer_option(app, command->model);
  auto* const prompt = app.add_option("-p,--prompt", command->prompt, "The text to continue");
  auto* const prompt_file =
      app.add_option("--prompt-file", command->prompt_file, "A file that holds it, or - for standard input");
  prompt_file->check(file_name)->excludes(prompt);
  app.add_option("--suffix", command->suffix,
                 "What comes after the gap between it and the prompt, for models that fill in (RWKV-7 G1c and later)");
  app.add_flag_callback(
      "--no-echo", [command] { command->echo = false; },
      "Print only what is generated, not the prompt; so it is with a grammar");
  app.add_option("-n,--n-tokens", command->n_tokens, "Tokens to generate at most")->check(count)->capture_default_str();
  app.add_option("--lookup", command->lookup,
                 "Guess so many tokens where the text repeats itself: faster, the same text")
      ->check(CLI::Range(0, 15))
      ->capture_default_str();
  app.add_option("--stop", command->stops, "End before this text; may be given several times")->allow_extra_args(false);
  auto* const state_in = app.add_option("--state-in", command->state_in, state_in_help)->check(file_name);
  app.add_option("--state-out", command->state_out, "Where to write the state after the text (safetensors)")
      ->check(file_name);
  add_grammar_options(app, command->grammar);
  add_sampling_options(app, command->sampling, command->seed);
  app.add_flag("--verbose", command->verbose, "Tell the times on standard error");
  app.callback([=] {
    command->tells_a_story = prompt->count() + prompt_file->count() + state_in->count() == 0;
    command->run();
  });
}

}  // namespace cli
