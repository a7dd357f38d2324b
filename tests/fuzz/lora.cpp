// SPDX-License-Identifier: MIT
// Adapters, merged into a small model where they fit.
#include "rwkv/arch/lora.hpp"

#include "fuzz.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "safetensors_mutator.hpp"
#include "support/small_models.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const rwkv::Checkpoint model =
      rwkv::synthetic(rwkv_test::small_model(rwkv::Generation::v7), rwkv::DType::f32, 1);
  static rwkv::ThreadPool threads(1);
  return rwkv_fuzz::only_errors([&] {
    const rwkv::Lora lora(rwkv_fuzz::open(data, size), {8});
    lora.check(model);
    for (const auto& entry : model.entries()) {
      const rwkv::TensorView& base = lora.base(entry);
      if (lora.changes(entry.name)) static_cast<void>(lora.merged(entry.name, base, rwkv::DType::f32, threads));
    }
  });
}
