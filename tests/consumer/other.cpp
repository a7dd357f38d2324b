// SPDX-License-Identifier: MIT
#include <rwkv/arch/synthetic.hpp>
#include <rwkv/rwkv.hpp>

rwkv::Checkpoint make_model() {
  const rwkv::Config config{.n_layer = 1, .n_embd = 16, .n_att = 16, .n_ffn = 32, .n_vocab = 256};
  return rwkv::synthetic(config, rwkv::DType::bf16, 1);
}
