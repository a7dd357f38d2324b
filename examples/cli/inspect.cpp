// SPDX-License-Identifier: MIT
// rwkv inspect: what is in a checkpoint.
#include <nlohmann/json.hpp>

#include "command.hpp"
#include "rwkv/arch/tensor_list.hpp"

namespace cli {
namespace {

struct InspectCommand {
  std::string file;
  bool json = false;
  ReadOptions reading;

  void run() const;
};

/// What a file is: a model or a State, and if it is broken, what the problem is.
struct Contents {
  Contents(const std::string& file, const ReadOptions& options)
      : checkpoint(open_checkpoint(file, options)), state(rwkv::state_kind(checkpoint)) {
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

  /// The text of that name in the metadata of a State.
  [[nodiscard]] std::string metadata(const std::string& key) const {
    const auto found = checkpoint.metadata().find(key);
    return found == checkpoint.metadata().end() ? "unknown" : rwkv::to_utf8(rwkv::printable(found->second));
  }

  rwkv::Checkpoint checkpoint;
  std::optional<rwkv::StateKind> state;
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
  const auto& [checkpoint, state, model, problem] = contents;
  nlohmann::ordered_json result{{"file", rwkv::to_utf8(checkpoint.path())}};
  if (state) {
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

void print_text(const Contents& contents) {
  const auto& [checkpoint, state, model, problem] = contents;
  const auto row = [](const std::string& what, const std::string& value) {
    print(what + std::string(14 - std::min<std::size_t>(13, what.size()), ' ') + value + "\n");
  };
  if (state == rwkv::StateKind::own) {
    row("state", "of an RWKV-" + contents.metadata("generation") + " model");
    row("fingerprint", contents.metadata("fingerprint") + ", of the model");
  } else if (state == rwkv::StateKind::tuned) {
    row("state", "a trained one, to begin with");
  } else if (state) {
    row("state", "a list of tensors, as the Python package rwkv has it");
  } else if (model) {
    const rwkv::Config& config = model->config();
    const Sums total = sums(checkpoint, *model);
    row("model", "RWKV-" + std::string(rwkv::name(config.generation)) + (config.has_ffn_pre ? " with ffnPre" : ""));
    row("layers", std::to_string(config.n_layer));
    row("width", std::to_string(config.n_embd) + " (attention " + std::to_string(config.n_att) + ", ffn " +
                     std::to_string(config.n_ffn) + ")");
    row("vocabulary", std::to_string(config.n_vocab));
    row("parameters", std::to_string(total.n_parameters));
    row("weights", std::to_string(total.n_bytes) + " bytes");
    std::string types;
    for (const auto& [type, n_bytes] : bytes_by_type(checkpoint)) {
      types += (types.empty() ? "" : ", ") + type + " " + std::to_string(n_bytes);
    }
    row("types", types + " bytes");
    row("state", std::to_string(model->state_layout().size() * 4) + " bytes");
    row("fingerprint", model->state_layout().fingerprint());
  }
  if (!problem.empty()) row("problem", problem);
  print("\n");
  for (const auto& [name, tensor] : checkpoint.entries()) {
    const std::string shown = rwkv::in_quotes(name);
    print(shown.substr(1, shown.size() - 2) + "  " + std::string(rwkv::name(tensor.dtype)) + " " +
          rwkv::to_string(tensor.shape) + "\n");
  }
}

void InspectCommand::run() const {
  const Contents contents(file, reading);
  if (json) return print_json(contents);
  print_text(contents);
}

}  // namespace

void add_inspect(CLI::App& program) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App& app = *program.add_subcommand("inspect", "Tell what is in a checkpoint or a State");
  app.add_option(
         "file", command->file,
         "Checkpoint or State: .pth, .safetensors (or its .index.json), .gguf, rwkv.cpp .bin, or the folder of one; "
         "default: the model in this program")
      ->check(file_name);
  app.add_flag("--json", command->json, "As one JSON object");
  add_read_options(app, command->reading);
  app.callback([command] { command->run(); });
}

}  // namespace cli
