// SPDX-License-Identifier: MIT
// What the commands of the program share.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/rwkv.hpp"

namespace cli {

/// Each adds its command, with flags and what to run, to the program.
void add_generate(CLI::App& program);
void add_logits(CLI::App& program);
void add_tokenize(CLI::App& program);
void add_inspect(CLI::App& program);
void add_bench(CLI::App& program);
void add_convert(CLI::App& program);
void add_chat(CLI::App& program);
void add_embed(CLI::App& program);
void add_eval(CLI::App& program);

/// Ended by a signal; the program's exit status is 128 and its number, which is 130 for Ctrl-C.
struct Interrupted {
  int signal;
};

/// While there is one, the first Ctrl-C, SIGTERM, SIGHUP or SIGPIPE (nobody reads standard output any more) asks to
/// stop; the second of its kind ends the program as usual. What is ignored, as SIGHUP is under nohup, stays so, but for
/// Ctrl-C. One at a time.
class InterruptFlag {
public:
  InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;
  ~InterruptFlag();

  [[nodiscard]] bool is_set() const noexcept { return signal() != 0; }
  /// What set it, or 0.
  [[nodiscard]] int signal() const noexcept;
  /// Throws Interrupted if it is set.
  void check() const;

private:
  static constexpr std::array<int, 4> signals{SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  std::array<struct sigaction, signals.size()> before_{};
};

/// The files of a model that is part of the program.
struct DemoModel {
  std::span<const std::byte> weights;
  std::span<const std::byte> vocabulary;
};

/// It, unless the program was built without one.
[[nodiscard]] std::optional<DemoModel> demo_model();

/// How files are read.
struct ReadOptions {
  bool verify = true;
  bool quiet = false;  ///< no progress is shown
};

/// The checkpoint of that name, or if it is empty, that of the demo model. Throws ArgumentError if there is none.
[[nodiscard]] rwkv::Checkpoint open_checkpoint(const std::string& path, const ReadOptions& options);

/// Which model, and what computes it.
struct ModelOptions : ReadOptions {
  std::string model;           ///< empty: the demo model
  std::string tokenizer_path;  ///< empty: the model's
  std::string isa;
  bool exact = false;
  bool sparse = false;
  bool interleave = false;
  int n_threads = 0;
  std::optional<double> group_norm_eps;

  [[nodiscard]] rwkv::Tokenizer tokenizer(const rwkv::Model& weights) const;

  /// The checkpoint as the options want it in memory.
  [[nodiscard]] rwkv::Checkpoint arranged(const rwkv::Checkpoint& checkpoint) const {
    return sparse ? rwkv::sparse_channel_mix(checkpoint) : checkpoint;
  }
  /// The model in a checkpoint, with the options that its tensors do not tell.
  template <class Scalar = float>
  [[nodiscard]] rwkv::BasicModel<Scalar> build(const rwkv::Checkpoint& checkpoint) const {
    rwkv::Config config = rwkv::detect(checkpoint);
    if (group_norm_eps) {
      if (config.n_head == 0 || config.generation == rwkv::Generation::v1) {
        throw rwkv::ArgumentError(
            {.item = "--group-norm-eps",
             .problem = "an RWKV-" + std::string(rwkv::name(config.generation)) + " model has no group norm"});
      }
      config.group_norm_eps = *group_norm_eps;
    }
    return rwkv::BasicModel<Scalar>(checkpoint, config, {.interleaved = interleave});
  }
  template <class Scalar = float>
  [[nodiscard]] rwkv::BasicModel<Scalar> load() const {
    return build<Scalar>(arranged(open_checkpoint(model, *this)));
  }

  [[nodiscard]] rwkv::WorkspaceOptions workspace() const {
    rwkv::WorkspaceOptions options{.n_threads = n_threads, .rounded_activations = !exact};
    if (!isa.empty()) options.isa = rwkv::isa_from_name(isa);
    return options;
  }
};

/// A check for counts. (That of CLI11 prints the largest double in full, and lets numbers overflow.)
inline const CLI::Validator count(
    [](const std::string& text) {
      const bool is_count =
          !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string::npos;
      return is_count ? std::string() : "must be a number from 0 to 999999999, not " + rwkv::in_quotes(text);
    },
    "COUNT");

/// A check for names of files, of all options that take one: "" is a mistake, not a wish for what stands for none.
inline const CLI::Validator file_name(
    [](const std::string& path) { return path.empty() ? std::string("must not be empty") : std::string(); }, "FILE");

inline void add_read_options(CLI::App& command, ReadOptions& options) {
  command.add_flag_callback(
      "--no-verify", [&options] { options.verify = false; }, "Do not compare the checksums of a .pth: starts sooner");
  command.add_flag("--quiet", options.quiet, "Show no progress");
}

inline CLI::Option* add_model_options(CLI::App& command, ModelOptions& options) {
  CLI::Option* const model = command.add_option(
      "-m,--model", options.model,
      "Checkpoint: .pth, .safetensors (or its .index.json), .gguf, rwkv.cpp .bin, or the folder of one; default: a "
      "small model that is part of this program");
  model->envname("RWKV_MODEL")->check(file_name);
  command.add_option("--threads", options.n_threads, "Threads; default: one for each core")->check(CLI::Range(1, 1024));
  command
      .add_option(
          "--isa", options.isa,
          "Instruction set: scalar, avx2, avx512, avx512-vnni, avx512-amx, neon, neon-dot; default: the best here")
      ->envname("RWKV_ISA");
  command.add_flag("--exact", options.exact, "With quantised weights: do not round activations to 8 bits, slower");
  command.add_flag(
      "--sparse", options.sparse,
      "Copy the value matrices of channel mixing (f32, f16, bf16) so that a token reads of them only what it "
      "needs: more memory, less time");
  command.add_flag("--interleave", options.interleave,
                   "Copy matrices of q8_0, q4_0 and iq4_nl as AVX-512 VNNI multiplies them faster: more memory");
  add_read_options(command, options);
  command
      .add_option("--group-norm-eps", options.group_norm_eps,
                  "Of RWKV-5 to 7; default 64e-5. RWKV-5 in rwkv.cpp, and 5.0 of the summer of 2023, have 1e-5")
      ->check(CLI::Range(0.0, 1.0));
  return model;
}

/// For commands that read or write text.
inline CLI::Option* add_tokenizer_option(CLI::App& command, ModelOptions& options) {
  return command
      .add_option("--tokenizer", options.tokenizer_path,
                  "Vocabulary file; default: the one in the model's file (GGUF) or beside it")
      ->envname("RWKV_TOKENIZER")
      ->check(file_name);
}

/// Leaves the environment variable of an option to take_environment(), because CLI11 would count it as given, and so as
/// a contradiction to other options. The help tells it all the same.
void defer_environment(CLI::Option& option);
/// Sets what the command line left empty.
void take_environment(std::string& value, const char* name);

/// How tokens are drawn: the flags of every command that does. Their defaults are what `options` hold.
void add_sampling_options(CLI::App& command, rwkv::SamplerOptions& options, std::optional<std::uint64_t>& seed);
/// Throws ArgumentError that names what makes no sense, before a model is loaded.
void check_sampling(const rwkv::SamplerOptions& options);

/// A file that a command reads or writes, and the option that names it.
struct NamedFile {
  const char* option;
  const std::string& path;  ///< empty if the option was not given
};

/// Checks, before a model is loaded, that an output can be written and is none of the other files of the command.
/// Leaves nothing behind. Throws ArgumentError, IoError.
void check_output(const NamedFile& output, std::initializer_list<NamedFile> others);

inline constexpr const char* state_in_help =
    "State to go on from: from --state-out, a tuned one, or a list of tensors from the Python package rwkv";

/// Writes machine output. Throws IoError if it cannot be written, Interrupted if an InterruptFlag saw why: SIGPIPE.
void print(std::string_view text);
void flush();

/// All of standard input ("-"), or of a file.
[[nodiscard]] std::string read_text(const std::string& path);

/// Numbers separated by commas or white space. Throws ArgumentError naming what is not a number.
[[nodiscard]] std::vector<rwkv::Token> parse_tokens(std::string_view text);

}  // namespace cli
