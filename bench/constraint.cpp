// SPDX-License-Identifier: MIT
// What a grammar costs per token, beside the model: RWKV-7 0.1B with random weights and the World vocabulary.
//   bench_constraint rwkv_vocab_v20230424.txt
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/grammar/grammar.hpp"
#include "rwkv/model.hpp"
#include "rwkv/text/constraint.hpp"
#include "rwkv/text/sampler.hpp"

namespace {

constexpr const char* schema = R"({"type": "object", "properties": {
  "name": {"type": "string", "maxLength": 40}, "age": {"type": "integer", "minimum": 0, "maximum": 120},
  "friends": {"type": "array", "maxItems": 3, "items": {"$ref": "#"}},
  "house": {"properties": {"colour": {"pattern": "^[a-z]{3,12}$"}}, "required": ["colour"]}},
  "required": ["name", "age", "friends", "house"], "additionalProperties": false})";

class Stopwatch {
public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

void run(const char* name, const rwkv::Grammar& grammar, const rwkv::Tokenizer& tokenizer, const rwkv::Model& model) {
  constexpr int n_texts = 10, n_tokens = 100;
  rwkv::Constraint constraint(grammar, tokenizer);
  rwkv::Workspace workspace;
  std::vector<float> allowed(static_cast<std::size_t>(std::min(model.config().n_vocab, tokenizer.n_vocab())));
  double model_seconds = 0, grammar_seconds = 0, most = 0;
  int n = 0;
  for (int text = 0; text < n_texts; ++text) {
    constraint.reset();
    rwkv::Sampler sampler({.temperature = 1}, static_cast<std::uint64_t>(text));
    rwkv::State state = model.new_state();
    rwkv::Token token = 0;
    for (int i = 0; i < n_tokens && !constraint.must_end(); ++i, ++n) {
      Stopwatch watch;
      const std::span<const float> logits = model.forward({&token, 1}, state, workspace);
      model_seconds += watch.lap();
      constraint.apply(logits.first(allowed.size()), allowed);
      double seconds = watch.lap();
      token = sampler.sample(allowed);
      watch.lap();
      if (token == tokenizer.end_of_text()) break;
      constraint.accept(token);
      seconds += watch.lap();
      grammar_seconds += seconds;
      most = std::max(most, seconds);
    }
  }
  std::printf("%s: %d tokens; model %.3f ms a token, grammar %.3f ms (%.1f %% of it), at most %.2f ms\n", name, n,
              1e3 * model_seconds / n, 1e3 * grammar_seconds / n, 100 * grammar_seconds / model_seconds, 1e3 * most);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: bench_constraint VOCABULARY\n");
    return 2;
  }
  try {
    const rwkv::Tokenizer tokenizer = rwkv::load_tokenizer(argv[1]);
    const rwkv::Model model(rwkv::synthetic(rwkv::published_shape("v7-0.1B"), rwkv::DType::bf16, 1));
    run("any JSON", rwkv::Grammar::json(), tokenizer, model);
    run("a nested schema", rwkv::Grammar::from_json_schema(schema), tokenizer, model);
  } catch (const rwkv::Error& error) {
    std::fprintf(stderr, "bench_constraint: %s\n", error.what());
    return 1;
  }
  return 0;
}
