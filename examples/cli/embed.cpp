// SPDX-License-Identifier: MIT
// rwkv embed: texts as vectors.
#include "rwkv/embed.hpp"

#include <nlohmann/json.hpp>

#include "command.hpp"
#include "progress.hpp"
#include "rwkv/io/atomic_file.hpp"

namespace cli {
namespace {

struct EmbedCommand {
  ModelOptions model;
  std::string file = "-", out;

  void run() const;

private:
  [[nodiscard]] std::vector<std::string> lines() const;
  void write_numpy(const std::vector<std::vector<float>>& embeddings, rwkv::Index n_embd) const;
};

std::vector<std::string> EmbedCommand::lines() const {
  const std::string text = read_text(file);
  std::vector<std::string> result;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    result.push_back(text.substr(begin, end - begin));
    if (result.back().ends_with('\r')) result.back().pop_back();
    if (result.back().empty()) {
      throw rwkv::FormatError({.path = file,
                               .item = "line " + std::to_string(result.size()),
                               .problem = "is empty: a text without tokens has no embedding"});
    }
    begin = end + 1;
  }
  return result;
}

/// Version 1.0 of the format, described at numpy.lib.format: a header of text, padded to a multiple of 64 bytes, then
/// the numbers in rows.
void EmbedCommand::write_numpy(const std::vector<std::vector<float>>& embeddings, rwkv::Index n_embd) const {
  std::string head = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(embeddings.size()) + ", " +
                     std::to_string(n_embd) + "), }";
  constexpr std::size_t n_before = 10, alignment = 64;
  head.resize((n_before + head.size() + alignment) / alignment * alignment - n_before, ' ');
  head.back() = '\n';
  std::string bytes = "\x93NUMPY\x01";
  bytes += '\0';
  bytes += static_cast<char>(head.size() % 256);
  bytes += static_cast<char>(head.size() / 256);
  bytes += head;
  for (const std::vector<float>& row : embeddings) {
    bytes.append(reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float));
  }
  rwkv::AtomicFile output(out);
  output.write(std::as_bytes(std::span(bytes)));
  output.commit();
}

void EmbedCommand::run() const {
  if (!out.empty())
    check_output({"--out", out}, {{"FILE", file}, {"--model", model.model}, {"--tokenizer", model.tokenizer_path}});
  const std::vector<std::string> texts = lines();
  const rwkv::Model weights = model.load();
  const rwkv::Tokenizer tokens_of = model.tokenizer(weights);
  std::vector<std::vector<rwkv::Token>> tokens;
  rwkv::Index n_tokens = 0;
  for (const std::string& text : texts) n_tokens += std::ssize(tokens.emplace_back(tokens_of.encode(text)));

  rwkv::Workspace workspace(model.workspace());
  const InterruptFlag interrupted;
  Progress progress("embedding", n_tokens, Progress::tokens,
                    model.quiet || (out.empty() && isatty(STDOUT_FILENO) != 0));
  constexpr std::size_t n_together = 16;
  std::vector<std::vector<float>> embeddings;
  for (std::size_t first = 0; first < tokens.size(); first += n_together) {
    const auto group = std::span(tokens).subspan(first, std::min(n_together, tokens.size() - first));
    for (std::vector<float>& embedding : rwkv::embed(weights, group, workspace)) {
      if (out.empty()) print(nlohmann::json(embedding).dump() + "\n");
      if (!out.empty()) embeddings.push_back(std::move(embedding));
    }
    for (const auto& text : group) progress.add(std::ssize(text));
    interrupted.check();
  }
  if (!out.empty()) write_numpy(embeddings, weights.config().n_embd);
}

}  // namespace

void add_embed(CLI::App& program) {
  auto command = std::make_shared<EmbedCommand>();
  CLI::App& app = *program.add_subcommand("embed", "Turn lines of text into vectors of length 1");
  app.add_option("FILE", command->file, "Texts, one a line; default: standard input")->check(file_name);
  add_model_options(app, command->model);
  add_tokenizer_option(app, command->model);
  app.add_option("--out", command->out, "Write them here as one array (.npy), not as lines of JSON to standard output")
      ->check(file_name);
  app.callback([command] { command->run(); });
}

}  // namespace cli
