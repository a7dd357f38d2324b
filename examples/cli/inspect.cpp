// SPDX-License-Identifier: MIT
// rwkv inspect: what is in a checkpoint.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "command.hpp"
#include "inspect_page.hpp"
#include "progress.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/io/atomic_file.hpp"
#include "rwkv/session/session_file.hpp"

namespace cli {
namespace {

/// What is read for the pictures of the model in this program where no text is given.
constexpr const char* demo_text =
    "Once upon a time there was a king who had three sons. The eldest was strong, the second was clever, but the "
    "youngest was kind to everyone, and so his brothers laughed at him.\n\nOne day the king fell ill, and no doctor "
    "in the land could help him. \"Far away,\" said an old woman, \"there is a well, and its water heals everyone who "
    "drinks of it.\" So the eldest son took his horse and rode into the forest. He had not gone far when he met a "
    "little dwarf, who said, \"Where are you going so fast?\"";

struct InspectCommand {
  ModelOptions model;
  bool json = false;
  std::string html;
  std::string prompt;
  std::string prompt_file;
  bool has_text = false;

  void run();

private:
  void write_page() const;
  [[nodiscard]] std::optional<TracedText> trace(const rwkv::Checkpoint& checkpoint, const rwkv::Model& weights) const;
};

/// What a file is: a model, a State or a session, and if it is broken, what the problem is.
struct Contents {
  Contents(const std::string& file, const ReadOptions& options)
      : checkpoint(open_checkpoint(file, options)),
        state(rwkv::state_kind(checkpoint)),
        is_session(rwkv::is_session(checkpoint)) {
    if (is_session) return;
    try {
      if (state) {
        rwkv::check_state(checkpoint, *state);
      } else {
        model.emplace(checkpoint);
      }
    } catch (const rwkv::Error& error) {
      problem = error.what();
    }
  }

  /// The text of that name in the metadata of a State or session.
  [[nodiscard]] std::string metadata(const std::string& key) const {
    const auto found = checkpoint.metadata().find(key);
    return found == checkpoint.metadata().end() ? "unknown" : rwkv::to_utf8(rwkv::printable(found->second));
  }

  /// The first axis of a tensor, 0 where it is missing.
  [[nodiscard]] rwkv::Index n_rows(const char* tensor) const {
    const rwkv::TensorView* const found = checkpoint.find(tensor);
    return found == nullptr || found->shape.rank() == 0 ? 0 : found->shape[0];
  }

  rwkv::Checkpoint checkpoint;
  std::optional<rwkv::StateKind> state;
  bool is_session;
  std::optional<rwkv::Model> model;
  std::string problem;  // why it cannot be used; its tensors are of interest all the same
};

struct Sums {
  rwkv::Index n_parameters = 0;
  rwkv::Index n_bytes = 0;
};

/// Over the tensors of the model; others in the file do not count.
Sums sums(const rwkv::Checkpoint& checkpoint, const rwkv::Model& model) {
  Sums sums;
  for (const rwkv::TensorSpec& spec : rwkv::tensor_list(model.config())) {
    sums.n_parameters += checkpoint.at(spec.name).n_elements();
    sums.n_bytes += checkpoint.at(spec.name).n_bytes();
  }
  return sums;
}

/// The bytes of all tensors of the file by their type, in the order of DType.
std::vector<std::pair<std::string, rwkv::Index>> bytes_by_type(const rwkv::Checkpoint& checkpoint) {
  std::vector<std::pair<std::string, rwkv::Index>> result;
  for (const rwkv::DTypeInfo& type : rwkv::dtype_infos) {
    rwkv::Index n_bytes = 0;
    for (const rwkv::Checkpoint::Entry& entry : checkpoint.entries()) {
      if (entry.tensor.dtype == type.dtype) n_bytes += entry.tensor.n_bytes();
    }
    if (n_bytes > 0) result.emplace_back(type.name, n_bytes);
  }
  return result;
}

const char* name(rwkv::StateKind kind) {
  switch (kind) {
    case rwkv::StateKind::own: return "own";
    case rwkv::StateKind::tuned: return "tuned";
    default: return "pip";
  }
}

void print_json(const Contents& contents) {
  const auto& [checkpoint, state, is_session, model, problem] = contents;
  nlohmann::ordered_json result{{"file", rwkv::to_utf8(checkpoint.path())}};
  if (is_session) {
    result.update({{"session",
                    {{"n_tokens", contents.n_rows("tokens")},
                     {"n_states", contents.n_rows("places")},
                     {"tokenizer", contents.metadata("tokenizer")}}},
                   {"generation", contents.metadata("generation")},
                   {"fingerprint", contents.metadata("fingerprint")}});
  } else if (state) {
    result["state"] = name(*state);
    if (state == rwkv::StateKind::own) {
      result.update(
          {{"generation", contents.metadata("generation")}, {"fingerprint", contents.metadata("fingerprint")}});
    }
  } else if (model) {
    const rwkv::Config& config = model->config();
    const Sums total = sums(checkpoint, *model);
    result.update({{"generation", rwkv::name(config.generation)},
                   {"n_layer", config.n_layer},
                   {"n_embd", config.n_embd},
                   {"n_att", config.n_att},
                   {"n_ffn", config.n_ffn},
                   {"n_head", config.n_head},
                   {"head_size", config.head_size},
                   {"n_vocab", config.n_vocab},
                   {"n_parameters", total.n_parameters},
                   {"n_bytes", total.n_bytes},
                   {"n_state", model->state_layout().size()},
                   {"fingerprint", model->state_layout().fingerprint()}});
  }
  if (!problem.empty()) result["problem"] = rwkv::to_utf8(problem);
  result["bytes_by_type"] = nlohmann::ordered_json::object();
  for (const auto& [type, n_bytes] : bytes_by_type(checkpoint)) result["bytes_by_type"][type] = n_bytes;
  result["tensors"] = nlohmann::ordered_json::array();
  for (const auto& [name, tensor] : checkpoint.entries()) {
    result["tensors"].push_back({{"name", rwkv::to_utf8(name)},
                                 {"dtype", rwkv::name(tensor.dtype)},
                                 {"shape", std::vector<rwkv::Index>(tensor.shape.begin(), tensor.shape.end())},
                                 {"n_bytes", tensor.n_bytes()}});
  }
  print(result.dump(2) + "\n");
}

using Facts = std::vector<std::pair<std::string, std::string>>;

Facts model_facts(const rwkv::Checkpoint& checkpoint, const rwkv::Model& model) {
  const rwkv::Config& config = model.config();
  const Sums total = sums(checkpoint, model);
  std::string types;
  for (const auto& [type, n_bytes] : bytes_by_type(checkpoint)) {
    types += (types.empty() ? "" : ", ") + type + " " + std::to_string(n_bytes);
  }
  return {{"model", "RWKV-" + std::string(rwkv::name(config.generation)) + (config.has_ffn_pre ? " with ffnPre" : "")},
          {"layers", std::to_string(config.n_layer)},
          {"width", std::to_string(config.n_embd) + " (attention " + std::to_string(config.n_att) + ", ffn " +
                        std::to_string(config.n_ffn) + ")"},
          {"vocabulary", std::to_string(config.n_vocab)},
          {"parameters", std::to_string(total.n_parameters)},
          {"weights", std::to_string(total.n_bytes) + " bytes"},
          {"types", types + " bytes"},
          {"state", std::to_string(model.state_layout().size() * 4) + " bytes"},
          {"fingerprint", model.state_layout().fingerprint()}};
}

Facts facts(const Contents& contents) {
  const auto& [checkpoint, state, is_session, model, problem] = contents;
  Facts result;
  if (is_session) {
    result = {{"session", "of an RWKV-" + contents.metadata("generation") + " model"},
              {"tokens", std::to_string(contents.n_rows("tokens")) + ", of all branches"},
              {"states", std::to_string(contents.n_rows("places")) + ", the present one and checkpoints"},
              {"tokenizer", contents.metadata("tokenizer")},
              {"fingerprint", contents.metadata("fingerprint") + ", of the model"}};
  } else if (state == rwkv::StateKind::own) {
    result = {{"state", "of an RWKV-" + contents.metadata("generation") + " model"},
              {"fingerprint", contents.metadata("fingerprint") + ", of the model"}};
  } else if (state == rwkv::StateKind::tuned) {
    result = {{"state", "a trained one, to begin with"}};
  } else if (state) {
    result = {{"state", "a list of tensors, as the Python package rwkv has it"}};
  } else if (model) {
    result = model_facts(checkpoint, *model);
  }
  if (!problem.empty()) result.emplace_back("problem", problem);
  return result;
}

void print_text(const Contents& contents) {
  for (const auto& [what, value] : facts(contents)) {
    print(what + std::string(14 - std::min<std::size_t>(13, what.size()), ' ') + value + "\n");
  }
  print("\n");
  for (const auto& [name, tensor] : contents.checkpoint.entries()) {
    const std::string shown = rwkv::in_quotes(name);
    print(shown.substr(1, shown.size() - 2) + "  " + std::string(rwkv::name(tensor.dtype)) + " " +
          rwkv::to_string(tensor.shape) + "\n");
  }
}

/// The text that was asked for, if any, read up to what a page can show.
std::optional<TracedText> InspectCommand::trace(const rwkv::Checkpoint& checkpoint, const rwkv::Model& weights) const {
  constexpr rwkv::Index most_tokens = 2000, most_norms = rwkv::Index{1} << 17;
  const bool takes_demo_text = !has_text && model.model.empty();
  if (!has_text && !takes_demo_text) return std::nullopt;
  const rwkv::Tokenizer encoder = model.tokenizer(weights);
  std::vector<rwkv::Token> tokens = encoder.encode(takes_demo_text       ? demo_text
                                                   : prompt_file.empty() ? prompt
                                                                         : read_text(prompt_file));
  const rwkv::Config& config = weights.config();
  const bool is_limited = config.generation == rwkv::Generation::v1 || config.generation == rwkv::Generation::v7b;
  const auto n_tokens = std::ssize(tokens);
  const rwkv::Index n_read = std::min({n_tokens, most_tokens, is_limited ? config.n_ctx : n_tokens});
  tokens.resize(static_cast<std::size_t>(n_read));

  rwkv::Workspace workspace(model.workspace());
  const InterruptFlag interrupted;
  Progress progress("reading the text", n_read, Progress::tokens, model.quiet);
  const auto on_read = [&](rwkv::Index n) {
    progress.add(n);
    return !interrupted.is_set();
  };
  const rwkv::Index n_heads = config.n_layer * std::max<rwkv::Index>(config.n_head, 1);
  std::optional<rwkv::TextTrace> found =
      rwkv::trace_text(weights, checkpoint, tokens, on_read, workspace,
                       {.n_norms = std::clamp<rwkv::Index>(most_norms / n_heads, 2, 256)});
  interrupted.check();
  const std::string origin = takes_demo_text       ? "a text that is part of this program"
                             : prompt_file.empty() ? "the text of --prompt"
                             : prompt_file == "-"  ? "standard input"
                                                   : "the file " + prompt_file;
  return TracedText{std::move(*found), encoder, n_tokens - n_read, origin};
}

void InspectCommand::write_page() const {
  check_output({"--html", html},
               {{"FILE", model.model}, {"--tokenizer", model.tokenizer_path}, {"--prompt-file", prompt_file}});
  const rwkv::Checkpoint stored = open_checkpoint(model.model, model);
  const bool is_session = rwkv::is_session(stored);
  if (is_session || rwkv::state_kind(stored)) {
    throw rwkv::ArgumentError(
        {.path = stored.path(), .expected = "a model, for --html", .found = is_session ? "a session" : "a State"});
  }
  const rwkv::Checkpoint checkpoint = model.arranged(stored);
  const rwkv::Model weights = model.build(checkpoint);
  const std::string name = model.model.empty() ? stored.path() : std::filesystem::path(model.model).filename().string();
  const InspectPage page{name.empty() ? model.model : name, model_facts(stored, weights), weights.config(),
                         rwkv::stored_decays(checkpoint, weights.config()), trace(checkpoint, weights)};
  const std::string text = page.html();
  const InterruptFlag interrupted;  // while there is a file to clean up
  rwkv::AtomicFile file(html);
  file.write(text);
  interrupted.check();
  file.commit();
}

void InspectCommand::run() {
  take_environment(model.model, "RWKV_MODEL");
  take_environment(model.tokenizer_path, "RWKV_TOKENIZER");
  take_environment(model.isa, "RWKV_ISA");
  if (!html.empty()) return write_page();
  const Contents contents(model.model, model);
  if (json) return print_json(contents);
  print_text(contents);
}

}  // namespace

void add_inspect(CLI::App& program) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App& app = *program.add_subcommand("inspect", "Tell what is in a checkpoint or a State, or show it in pictures");
  // A model that the environment names gives way to FILE: so the environment is left to run().
  CLI::Option* const model = add_model_options(app, command->model)->envname("");
  model->description("The same as FILE");
  std::vector<CLI::Option*> for_page;
  for (CLI::Option* const option : app.get_options()) {
    const auto is = [option](const char* name) { return option->check_name(name); };
    if (!is("--model") && !is("--no-verify") && !is("--quiet") && !is("--help")) for_page.push_back(option);
  }
  app.add_option(
         "FILE", command->model.model,
         "Checkpoint or State: .pth, .safetensors (or its .index.json), .gguf, rwkv.cpp .bin, or the folder of one; "
         "default: the model in this program (Env:RWKV_MODEL)")
      ->check(file_name)
      ->excludes(model);
  auto* const json = app.add_flag("--json", command->json, "As one JSON object");
  auto* const html =
      app.add_option("--html", command->html,
                     "Write pictures of the model to this file instead: how long it remembers, and of a text how much "
                     "each token surprises it, its state, and the share of hidden units that are zero")
          ->check(file_name)
          ->excludes(json);
  auto* const prompt = app.add_option("-p,--prompt", command->prompt,
                                      "A text to read; default: none, or with the model in this program, a fairy tale");
  auto* const prompt_file =
      app.add_option("--prompt-file", command->prompt_file, "A file that holds it, or - for standard input")
          ->check(file_name)
          ->excludes(prompt);
  for_page.insert(for_page.end(), {prompt, prompt_file, add_tokenizer_option(app, command->model)});
  for (CLI::Option* const option : for_page) {
    option->group("For --html")->needs(html);
    if (!option->get_envname().empty()) defer_environment(*option);
  }
  app.callback([=] {
    command->has_text = prompt->count() + prompt_file->count() > 0;
    command->run();
  });
}

}  // namespace cli
