// SPDX-License-Identifier: MIT
// The program `rwkv`.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <system_error>

#include "command.hpp"
#include "progress.hpp"
#include "rwkv/io/atomic_file.hpp"
#include "rwkv/io/byte_reader.hpp"

namespace cli {
namespace {

volatile std::sig_atomic_t interrupted_by = 0;  // a signal, while there is an InterruptFlag

void check_interrupt() {
  if (interrupted_by != 0) throw Interrupted{interrupted_by};
}

}  // namespace

void print(std::string_view text) {
  std::cout.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (std::cout) return;
  if (interrupted_by == SIGPIPE) throw Interrupted{SIGPIPE};
  throw rwkv::IoError({.path = "standard output", .problem = "cannot write"});
}

void flush() {
  std::cout.flush();
  print("");
}

std::string read_text(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  const rwkv::MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

rwkv::Checkpoint open_checkpoint(const std::string& path, const ReadOptions& options) {
  if (!path.empty()) {
    std::optional<Progress> progress;
    return rwkv::open_checkpoint(path, {.verify_checksums = options.verify, .progress = [&](auto n_done, auto n_total) {
                                          check_interrupt();
                                          if (!progress)
                                            progress.emplace("opening", n_total, Progress::bytes, options.quiet);
                                          progress->set(n_done);
                                        }});
  }
  if (const auto demo = demo_model()) return rwkv::open_checkpoint(demo->weights, "demo model");
  throw rwkv::ArgumentError({.item = "--model",
                             .problem = "no model was given, and this program was built without one of its own",
                             .hint = "Name a checkpoint with -m, or in the environment variable RWKV_MODEL."});
}

void defer_environment(CLI::Option& option) {
  option.description(option.get_description() + " (Env:" + option.get_envname() + ")");
  option.envname("");
}

void take_environment(std::string& value, const char* name) {
  const char* const stored = std::getenv(name);
  if (value.empty() && stored != nullptr) value = stored;
}

rwkv::Tokenizer ModelOptions::tokenizer(const rwkv::Model& weights) const {
  const auto demo = demo_model();
  if (!model.empty() || !tokenizer_path.empty() || !demo) return rwkv::tokenizer_for(weights, model, tokenizer_path);
  return rwkv::Tokenizer(rwkv::WorldTokenizer::from_text(rwkv::as_text(demo->vocabulary), "demo vocabulary"));
}

InterruptFlag::InterruptFlag() {
  interrupted_by = 0;
  struct sigaction action {};
  action.sa_handler = [](int signal) { interrupted_by = signal; };
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  for (std::size_t i = 0; i < signals.size(); ++i) {
    sigaction(signals[i], &action, &before_[i]);
    // The shells without job control start what runs in the background with SIGINT ignored.
    const bool stays_ignored = signals[i] != SIGINT && before_[i].sa_handler == SIG_IGN;
    if (stays_ignored) sigaction(signals[i], &before_[i], nullptr);
  }
}

InterruptFlag::~InterruptFlag() {
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &before_[i], nullptr);
  interrupted_by = 0;
}

int InterruptFlag::signal() const noexcept { return interrupted_by; }

void InterruptFlag::check() const { check_interrupt(); }

namespace {

/// Whether both names lead to the same file, which need not be there yet.
bool is_same_file(const std::string& a, const std::string& b) {
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  const auto full = [&error](const std::string& path) { return std::filesystem::weakly_canonical(path, error); };
  return full(a) == full(b) && !full(a).empty();
}

/// Whether a file is there, in the folder of a model in several files, or of one that is named by its folder.
bool is_part_of(const std::string& file, const std::string& model) {
  std::error_code error;
  const std::filesystem::path path(model);
  const bool is_folder = std::filesystem::is_directory(path, error);
  if (!is_folder && !model.ends_with(".index.json")) return false;
  const auto parent = [](const std::filesystem::path& of) { return of.has_parent_path() ? of.parent_path() : "."; };
  return std::filesystem::exists(file, error) &&
         std::filesystem::equivalent(parent(file), is_folder ? path : parent(path), error);
}

}  // namespace

void check_output(const NamedFile& output, std::initializer_list<NamedFile> others) {
  for (const NamedFile& other : others) {
    if (output.path.empty() || other.path.empty()) continue;
    if (is_same_file(output.path, other.path)) {
      throw rwkv::ArgumentError(
          {.path = output.path, .problem = std::string(output.option) + " and " + other.option + " are the same file"});
    }
    if (is_part_of(output.path, other.path)) {
      throw rwkv::ArgumentError(
          {.path = output.path, .problem = "is there already, in the folder of " + std::string(other.option)});
    }
  }
  static_cast<void>(rwkv::AtomicFile(output.path));  // it is not committed
}

std::vector<rwkv::Token> parse_tokens(std::string_view text) {
  constexpr std::string_view separators = ", \t\r\n";
  std::vector<rwkv::Token> tokens;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(separators), text.size()));
    if (text.empty()) return tokens;
    const std::string_view word = text.substr(0, text.find_first_of(separators));
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), tokens.emplace_back());
    if (error != std::errc() || end != word.data() + word.size()) {
      throw rwkv::ArgumentError({.item = "tokens", .expected = "numbers", .found = rwkv::in_quotes(word)});
    }
    text.remove_prefix(word.size());
  }
}

}  // namespace cli

namespace {

constexpr int exit_error = 1;
constexpr int exit_usage = 2;
constexpr int exit_interrupted = 128;  // and the number of the signal

int report(std::string_view message) {
  std::cerr << "rwkv: " << rwkv::printable(message) << '\n';
  return exit_error;
}

std::string commands_of(CLI::App& program) {
  std::string names;
  for (const CLI::App* command : program.get_subcommands({}))
    names += (names.empty() ? "" : ", ") + command->get_name();
  return names;
}

/// What is on the command line, with `help` and the commands behind it turned into their --help.
std::vector<std::string> arguments(int argc, char** argv) {
  std::vector<std::string> result(argv + std::min(argc, 1), argv + argc);
  if (result.empty() || result.front() != "help") return result;
  result.erase(result.begin());
  result.emplace_back("--help");
  return result;
}

/// Throws ArgumentError if a word where a command must stand is none. (CLI11 would tell of all words.)
void check_commands(CLI::App& program, const std::vector<std::string>& words) {
  CLI::App* app = &program;
  std::string path = "rwkv";
  for (const std::string& word : words) {
    const std::vector<CLI::App*> commands = app->get_subcommands({});
    if (commands.empty() || word.starts_with('-')) return;
    const auto found = std::ranges::find(commands, word, [](const CLI::App* each) { return each->get_name(); });
    if (found == commands.end()) {
      throw rwkv::ArgumentError({.item = "command " + rwkv::in_quotes(word),
                                 .problem = "is unknown",
                                 .expected = "one of " + commands_of(*app),
                                 .hint = "See " + path + " --help."});
    }
    app = *found;
    path += " " + word;
  }
}

int run(int argc, char** argv) {
  CLI::App program("Runs RWKV language models on this computer's processor.", "rwkv");
  program.set_version_flag("--version", std::to_string(RWKV_VERSION_MAJOR) + "." + std::to_string(RWKV_VERSION_MINOR) +
                                            "." + std::to_string(RWKV_VERSION_PATCH));
  program.require_subcommand(0, 1);
  cli::add_generate(program);
  cli::add_logits(program);
  cli::add_tokenize(program);
  cli::add_inspect(program);
  cli::add_bench(program);
  cli::add_convert(program);
  cli::add_chat(program);
  cli::add_embed(program);
  cli::add_eval(program);
  std::vector<std::string> words = arguments(argc, argv);
  check_commands(program, words);
  std::ranges::reverse(words);  // as CLI11 takes them
  try {
    program.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    std::string command = "rwkv";
    for (const CLI::App* each : program.get_subcommands()) command += " " + each->get_name();
    report(std::string(error.what()) + " (see " + command + " --help)");
    return exit_usage;
  }
  if (program.get_subcommands().empty()) {
    report("a command is missing, one of " + commands_of(program) + " (see rwkv --help)");
    return exit_usage;
  }
  cli::flush();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  try {
    return run(argc, argv);
  } catch (const cli::Interrupted& interrupted) {
    return exit_interrupted + interrupted.signal;
  } catch (const rwkv::ArgumentError& error) {
    report(error.what());
    return exit_usage;
  } catch (const std::bad_alloc&) {
    return report("out of memory");
  } catch (const std::exception& error) {
    return report(error.what());
  }
}
