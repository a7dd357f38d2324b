// SPDX-License-Identifier: MIT
// What types of weights cost a model, on a text: the rows of the table in the README.
//   bench_quality MODEL CALIBRATION_TEXT TEXT [TOKENIZER]
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "rwkv/convert.hpp"
#include "rwkv/convert/calibrate.hpp"
#include "rwkv/convert/choose_types.hpp"
#include "rwkv/convert/input_moments.hpp"
#include "rwkv/convert/report_quality.hpp"
#include "rwkv/load.hpp"
#include "rwkv/quant/cast.hpp"

namespace {

using rwkv::DType;

constexpr DType block_types[] = {DType::q4_0, DType::iq4_nl, DType::q4_k, DType::q4_1, DType::q5_0,
                                 DType::q5_k, DType::q5_1,   DType::q6_k, DType::q8_0};

std::vector<rwkv::Token> read_tokens(const rwkv::Tokenizer& tokenizer, const char* path, std::size_t most) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw rwkv::IoError({.path = path, .problem = "cannot be opened"});
  const std::string text(std::istreambuf_iterator<char>(file), {});
  std::vector<rwkv::Token> tokens = tokenizer.encode(text);
  tokens.resize(std::min(tokens.size(), most));
  return tokens;
}

class Table {
public:
  Table(const rwkv::Checkpoint& source, std::vector<rwkv::Token> text) : source_(source), text_(std::move(text)) {
    std::printf("| weights | MB | bits in blocks | KL | top 1 | perplexity |\n| --- | --- | --- | --- | --- | --- |\n");
  }

  void row(const std::string& name, const rwkv::ConvertOptions& options) {
    rwkv::Checkpoint copy(source_.path());
    for (const rwkv::PlannedTensor& tensor : rwkv::plan_conversion(source_, options, threads_).tensors) {
      copy.add(tensor.name, tensor.make());
    }
    row(name, copy);
  }

  void row(const std::string& name, const rwkv::Checkpoint& copy) {
    double bits = 0, n_weights = 0;
    for (const auto& [tensor_name, tensor] : copy.entries()) {
      if (rwkv::info(tensor.dtype).block_elements == 1) continue;
      bits += 8 * static_cast<double>(tensor.n_bytes());
      n_weights += static_cast<double>(tensor.n_elements());
    }
    const rwkv::QualityReport report = rwkv::report_quality(source_, copy, text_, {});
    std::printf("| %s | %.2f | %.3f | %.5f | %.2f %% | %+.3f %% |\n", name.c_str(),
                static_cast<double>(report.copy_bytes) * 1e-6, n_weights > 0 ? bits / n_weights : 0,
                report.text.mean_kl, 100 * report.text.top1_agreement, 100 * (report.text.perplexity_ratio - 1));
    std::fflush(stdout);
  }

private:
  const rwkv::Checkpoint& source_;
  std::vector<rwkv::Token> text_;
  rwkv::ThreadPool threads_{rwkv::n_processors()};
};

void run(const std::string& path, const char* calibration, const char* text, const std::string& tokenizer_path) {
  const rwkv::Checkpoint source = rwkv::open_checkpoint(path);
  const rwkv::Tokenizer tokenizer = rwkv::tokenizer_for(rwkv::Model(source), path, tokenizer_path);
  const auto known = read_tokens(tokenizer, calibration, 16384);
  const std::span<const rwkv::Token> some(known.data(), std::min<std::size_t>(known.size(), 512));
  rwkv::Workspace workspace;
  const rwkv::Importance importance = rwkv::measure_importance(source, known, workspace);
  rwkv::InputMoments moments(source, known, workspace);
  Table table(source, read_tokens(tokenizer, text, 16384));
  for (const DType dtype : {DType::q8_0, DType::q6_k, DType::q5_k, DType::q4_k, DType::q4_0}) {
    table.row(std::string(rwkv::name(dtype)), {.dtype = dtype});
  }
  table.row("q4_k --calibrate", {.dtype = DType::q4_k, .importance = &importance, .moments = &moments});
  const rwkv::TensorTypes smallest = rwkv::choose_types(source, 4.5, block_types, importance, some, workspace);
  table.row("all matrices q4_0, as ggml rounds", source.transformed([&](rwkv::Checkpoint::Entry entry) {
    if (smallest.contains(entry.name)) {
      entry.tensor = rwkv::quantised(entry.tensor, DType::q4_0, {.rule = rwkv::ScaleRule::plain});
    }
    return entry;
  }));
  table.row("--budget 4.5 --no-feedback", {.types = smallest, .importance = &importance});
  table.row("--budget 4.5", {.types = smallest, .importance = &importance, .moments = &moments});
  const rwkv::TensorTypes larger = rwkv::choose_types(source, 5.5, block_types, importance, some, workspace);
  table.row("--budget 5.5", {.types = larger, .importance = &importance, .moments = &moments});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: bench_quality MODEL CALIBRATION_TEXT TEXT [TOKENIZER]\n");
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3], argc > 4 ? argv[4] : "");
  } catch (const rwkv::Error& error) {
    std::fprintf(stderr, "bench_quality: %s\n", error.what());
    return 1;
  }
  return 0;
}
