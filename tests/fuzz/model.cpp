// SPDX-License-Identifier: MIT
// A model made of what was read, and its first token.
#include "rwkv/model.hpp"

#include "fuzz.hpp"
#include "safetensors_mutator.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static rwkv::Workspace workspace({.n_threads = 1});
  return rwkv_fuzz::only_errors([&] {
    const rwkv::Model model(rwkv_fuzz::open(data, size), {.interleaved = size % 2 == 0});
    constexpr rwkv::Index most = 1'000'000;  // numbers: filling more of them takes longer than all the rest
    if (model.state_layout().size() > most) return;
    rwkv::State state = model.new_state();
    const rwkv::Token token = 0;
    model.forward(std::span(&token, 1), state, workspace);
  });
}
