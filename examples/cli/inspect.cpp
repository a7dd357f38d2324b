// SPDX-License-Identifier: MIT
// rwkv inspect: what is in a checkpoint.
#include <nlohmann/json.hpp>

#include "command.hpp"

namespace cli {
namespace {

struct InspectCommand {
  std::string file;
  bool json = false;
  bool verify = true;

  void run() const {
    const rwkv::Checkpoint checkpoint = rwkv::open_checkpoint(file, {.verify_checksums = verify});
    std::optional<rwkv::Model> model;
    std::string problem;  // why it is not a model that can run; its tensors are of interest all the same
    try {
      model.emplace(checkpoint);
    } catch (const rwkv::Error& error) {
      problem = error.what();
    }
    if (json) return print_json(checkpoint, model, problem);
    print_text(checkpoint, model, problem);
  }

private:
  using MaybeModel = std::optional<rwkv::Model>;
  static void print_json(const rwkv::Checkpoint& checkpoint, const MaybeModel& model, const std::string& problem);
  static void print_text(const rwkv::Checkpoint& checkpoint, const MaybeModel& model, const std::string& problem);
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

void InspectCommand::print_json(const rwkv::Checkpoint& checkpoint, const MaybeModel& model,
                                const std::string& problem) {
  nlohmann::ordered_json result{{"file", rwkv::to_utf8(checkpoint.path())}};
  if (model) {
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
                   {"n_state", model->new_state().layout().size()}});
  } else {
    result["problem"] = rwkv::to_utf8(problem);
  }
  for (const auto& [name, tensor] : checkpoint.entries()) {
    result["tensors"].push_back({{"name", rwkv::to_utf8(name)},
                                 {"dtype", rwkv::name(tensor.dtype)},
                                 {"shape", std::vector<rwkv::Index>(tensor.shape.begin(), tensor.shape.end())},
                                 {"n_bytes", tensor.n_bytes()}});
  }
  print(result.dump(2) + "\n");
}

void InspectCommand::print_text(const rwkv::Checkpoint& checkpoint, const MaybeModel& model,
                                const std::string& problem) {
  const auto row = [](const std::string& what, const std::string& value) {
    print(what + std::string(14 - std::min<std::size_t>(13, what.size()), ' ') + value + "\n");
  };
  if (model) {
    const rwkv::Config& config = model->config();
    const Sums total = sums(checkpoint, *model);
    row("model", "RWKV-" + std::string(rwkv::name(config.generation)) + (config.has_ffn_pre ? " with ffnPre" : ""));
    row("layers", std::to_string(config.n_layer));
    row("width", std::to_string(config.n_embd) + " (attention " + std::to_string(config.n_att) + ", ffn " +
                     std::to_string(config.n_ffn) + ")");
    row("vocabulary", std::to_string(config.n_vocab));
    row("parameters", std::to_string(total.n_parameters));
    row("weights", std::to_string(total.n_bytes) + " bytes");
    row("state", std::to_string(model->new_state().layout().size() * 4) + " bytes");
  } else {
    row("problem", problem);
  }
  print("\n");
  for (const auto& [name, tensor] : checkpoint.entries()) {
    const std::string shown = rwkv::in_quotes(name);
    print(shown.substr(1, shown.size() - 2) + "  " + std::string(rwkv::name(tensor.dtype)) + " " +
          rwkv::to_string(tensor.shape) + "\n");
  }
}

}  // namespace

void add_inspect(CLI::App& program) {
  auto command = std::make_shared<InspectCommand>();
  CLI::App& app = *program.add_subcommand("inspect", "Tell what is in a checkpoint");
  app.add_option("file", command->file, "Checkpoint: .pth, .safetensors or rwkv.cpp .bin")->required();
  app.add_flag("--json", command->json, "As one JSON object");
  app.add_flag("!--no-verify", command->verify, "Do not compare the checksums of a .pth: faster");
  app.callback([command] { command->run(); });
}

}  // namespace cli
