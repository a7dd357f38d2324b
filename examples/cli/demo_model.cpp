// SPDX-License-Identifier: MIT
// The model that is part of the program.
#include "command.hpp"

#if defined(RWKV_DEMO_WEIGHTS)
#include "embedded_file.hpp"

RWKV_INCLUDE_FILE(rwkv_demo_weights, RWKV_DEMO_WEIGHTS)
RWKV_INCLUDE_FILE(rwkv_demo_vocabulary, RWKV_DEMO_VOCABULARY)

namespace cli {

std::optional<DemoModel> demo_model() {
  return DemoModel{{rwkv_demo_weights, rwkv_demo_weights_end}, {rwkv_demo_vocabulary, rwkv_demo_vocabulary_end}};
}

}  // namespace cli
#else
std::optional<cli::DemoModel> cli::demo_model() { return std::nullopt; }
#endif
