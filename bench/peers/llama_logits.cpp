// SPDX-License-Identifier: MIT
// The logits of llama.cpp after every token, as raw floats, and the tokens that it would go on with, as JSON.
// usage: llama_logits MODEL.gguf FOLDER-OF-BACKENDS TOKEN,TOKEN,... GENERATED LOGITS
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"

int main(int argc, char** argv) {
  if (argc != 6) return std::fputs("usage: llama_logits MODEL BACKENDS TOKENS GENERATED LOGITS\n", stderr), 2;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  ggml_backend_load_all_from_path(argv[2]);
  llama_backend_init();
  llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  llama_model* const model = llama_model_load_from_file(argv[1], model_params);
  if (model == nullptr) return std::fprintf(stderr, "%s: llama.cpp does not load it\n", argv[1]), 1;
  std::vector<llama_token> tokens;
  for (const char* text = argv[3]; *text != '\0';) {
    char* end = nullptr;
    tokens.push_back(static_cast<llama_token>(std::strtol(text, &end, 10)));
    text = *end == ',' ? end + 1 : end;
  }
  const int n_generated = std::atoi(argv[4]);
  llama_context_params context_params = llama_context_default_params();
  context_params.n_ctx = static_cast<std::uint32_t>(tokens.size()) + static_cast<std::uint32_t>(n_generated) + 64;
  context_params.n_threads = context_params.n_threads_batch = 1;  // its threads spin: more are slow beside other work
  llama_context* const context = llama_init_from_model(model, context_params);
  if (context == nullptr) return std::fputs("no context\n", stderr), 1;

  const auto n_vocab = static_cast<std::size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model)));
  std::FILE* const out = std::fopen(argv[5], "wb");
  if (out == nullptr) return std::fprintf(stderr, "%s: cannot create\n", argv[5]), 1;
  const auto logits_after = [&](llama_token token) -> const float* {
    if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0) std::exit(1);
    return llama_get_logits_ith(context, -1);
  };
  const float* logits = nullptr;
  for (const llama_token token : tokens) {
    logits = logits_after(token);
    std::fwrite(logits, sizeof(float), n_vocab, out);
  }
  std::printf("[");
  for (int i = 0; i < n_generated; ++i) {
    const auto best = static_cast<llama_token>(std::max_element(logits, logits + n_vocab) - logits);
    std::printf("%s%d", i == 0 ? "" : ", ", best);
    logits = logits_after(best);
  }
  std::printf("]\n");
  const bool is_written = std::fclose(out) == 0;
  llama_free(context);
  llama_model_free(model);
  return is_written ? 0 : 1;
}
