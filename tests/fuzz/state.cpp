// SPDX-License-Identifier: MIT
// Files of States: our own, tuned ones, and lists of the Python package rwkv, for two models.
#include "fuzz.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/model.hpp"
#include "rwkv/state/state_file.hpp"
#include "safetensors_mutator.hpp"
#include "support/small_models.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using rwkv::Generation;
  static const rwkv::Model models[] = {
      rwkv::Model(rwkv::synthetic(rwkv_test::small_model(Generation::v4), rwkv::DType::f32, 1)),
      rwkv::Model(rwkv::synthetic(rwkv_test::small_model(Generation::v7), rwkv::DType::f32, 1))};
  const rwkv_fuzz::MemoryFile file(data, size);
  for (const rwkv::Model& model : models) {
    rwkv_fuzz::only_errors([&] {
      const rwkv::State state = rwkv::load_state(model, file.path(), {.verify_checksums = false});
      model.check(state);
    });
  }
  return rwkv_fuzz::only_errors([&] {
    const rwkv::Checkpoint checkpoint = rwkv_fuzz::open(data, size);
    if (const auto kind = rwkv::state_kind(checkpoint)) rwkv::check_state(checkpoint, *kind);
  });
}
