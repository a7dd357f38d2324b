// SPDX-License-Identifier: MIT
// What llama.cpp needs for a prompt and for tokens one by one, as `rwkv bench` measures it: medians, JSON.
// usage: llama_cpp MODEL.gguf FOLDER-OF-BACKENDS THREADS PROMPT GENERATED
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return std::fputs("usage: llama_cpp MODEL BACKENDS THREADS PROMPT GENERATED\n", stderr), 2;
  const int n_threads = std::atoi(argv[3]), n_prompt = std::atoi(argv[4]), n_generated = std::atoi(argv[5]);
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  ggml_backend_load_all_from_path(argv[2]);
  llama_backend_init();

  const auto start = std::chrono::steady_clock::now();
  llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  llama_model* const model = llama_model_load_from_file(argv[1], model_params);
  if (model == nullptr) return std::fprintf(stderr, "%s: llama.cpp does not load it\n", argv[1]), 1;
  llama_context_params context_params = llama_context_default_params();
  context_params.n_ctx = static_cast<std::uint32_t>(n_prompt + n_generated + 1024);
  context_params.n_batch = context_params.n_ubatch = 512;
  context_params.n_threads = context_params.n_threads_batch = n_threads;
  llama_context* const context = llama_init_from_model(model, context_params);
  if (context == nullptr) return std::fputs("no context\n", stderr), 1;
  const double load_seconds = seconds_since(start);

  const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
  std::srand(1);
  std::vector<llama_token> tokens(static_cast<std::size_t>(std::max(n_prompt, 1)));
  for (llama_token& token : tokens) token = 1 + std::rand() % (n_vocab - 1);
  const auto evaluate = [&](llama_token* first, int n) {
    const auto begin = std::chrono::steady_clock::now();
    if (llama_decode(context, llama_batch_get_one(first, n)) != 0) {
      std::fputs("llama_decode failed\n", stderr);
      std::exit(1);
    }
    if (llama_get_logits_ith(context, -1) == nullptr) std::exit(1);
    return seconds_since(begin);
  };
  std::vector<double> prompts, steps;
  for (int i = 0; n_prompt > 0 && i < 4; ++i) {  // the first one warms up
    llama_memory_clear(llama_get_memory(context), true);
    const double seconds = evaluate(tokens.data(), n_prompt);
    if (i > 0) prompts.push_back(seconds);
  }
  for (int i = 0; i < n_generated + 3; ++i) {
    const double seconds = evaluate(&tokens[static_cast<std::size_t>(i) % tokens.size()], 1);
    if (i >= 3) steps.push_back(seconds);
  }
  std::printf("{\"load_seconds\": %g, \"prompt_tokens_per_second\": %g, \"decode_tokens_per_second\": %g}\n", load_seconds,
              prompts.empty() ? 0 : n_prompt / median(prompts), steps.empty() ? 0 : 1 / median(steps));
  llama_free(context);
  llama_model_free(model);
}
