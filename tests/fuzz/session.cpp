// SPDX-License-Identifier: MIT
// Files of sessions. One that is read holds a text of the length it tells, and is written and read again as the same.
#include "fuzz.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/session/session_file.hpp"
#include "safetensors_mutator.hpp"
#include "support/small_models.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const rwkv::Model model(
      rwkv::synthetic(rwkv_test::small_byte_model(rwkv::Generation::v7), rwkv::DType::f32, 1));
  static const rwkv::Tokenizer bytes{rwkv::ByteTokenizer()};
  static rwkv::Workspace workspace({1});
  const rwkv_fuzz::MemoryFile file(data, size);
  return rwkv_fuzz::only_errors([&] {
    rwkv::Session session = rwkv::load_session(model, bytes, workspace, file.path(), {.interval = 8});
    rwkv_fuzz::require(std::ssize(session.tokens()) == session.size());
    if (session.size() > 0) session.rewind(session.size() / 2);
    session.read("a");
  });
}
