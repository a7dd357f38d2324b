// SPDX-License-Identifier: MIT
#include <rwkv/rwkv.hpp>

rwkv::Checkpoint make_model();  // in the other translation unit

int main() {
  const rwkv::Model model(make_model());
  rwkv::Workspace workspace;
  rwkv::Generator generator(model, rwkv::Tokenizer(rwkv::ByteTokenizer()), workspace);
  generator.read("hello");
  return generator.generate({.max_tokens = 5}).n_tokens == 5 ? 0 : 1;
}
