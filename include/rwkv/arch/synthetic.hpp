// SPDX-License-Identifier: MIT
// Models of real shapes with random values, for timing.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "rwkv/arch/config.hpp"
#include "rwkv/arch/init.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/core/buffer.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

/// A model of real shapes for timing: vectors as in init(), matrices uniform in +-sqrt(3 / n_in) (so that activations
/// keep their size), stored as f32, f16 or bf16. Made in memory, fast; its text is noise.
/// Throws ArgumentError for other dtypes.
[[nodiscard]] inline Checkpoint synthetic(const Config& config, DType dtype, std::uint64_t seed) {
  if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16) {
    throw ArgumentError({.item = "synthetic model", .expected = "f32, f16 or bf16", .found = name(dtype)});
  }
  Random random(seed);
  Checkpoint checkpoint("a synthetic model");
  for (const TensorSpec& spec : tensor_list(config)) {
    if (spec.role == TensorRole::vector) {
      checkpoint.add(spec.name, make_tensor(spec.shape, detail::initial_vector(spec, config)));
      continue;
    }
    const Index n = spec.shape.checked_n_elements().value();
    const Index n_in = spec.shape[spec.shape.rank() - (spec.role == TensorRole::transposed ? 2 : 1)];
    const float scale = std::sqrt(3.0f / static_cast<float>(n_in));
    auto bytes = std::make_shared<Buffer<std::byte>>(checked_n_bytes(dtype, spec.shape).value());
    for (Index i = 0; i < n;) {
      std::uint64_t bits = random.next();
      for (int part = 0; part < 4 && i < n; ++part, ++i, bits >>= 16) {  // 16 random bits for each weight
        const float value = scale * (static_cast<float>(bits & 0xffff) * 0x1p-15f - 1.0f);
        const std::uint16_t half = dtype == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
        if (dtype == DType::f32) {
          std::memcpy(bytes->data() + 4 * i, &value, 4);
        } else {
          std::memcpy(bytes->data() + 2 * i, &half, 2);
        }
      }
    }
    checkpoint.add(spec.name, {dtype, spec.shape, bytes->data(), bytes});
  }
  detail::add_copy_mask(checkpoint, config);
  return checkpoint;
}

/// The shapes of published models, by names like "v7-0.1B".
struct PublishedShape {
  std::string_view name;
  Config config;
};

/// RWKV-4: the Pile models of BlinkDL/RWKV-LM's README, F = 4 C, the vocabulary of the 20B tokenizer. Later ones: World
/// models, heads of 64; F = 3.5 C in multiples of 32 for RWKV-5 and 6, 4 C for RWKV-7. Widths of low-rank parts are
/// those of the published files, or where these were not at hand, of RWKV-LM's rule for them.
inline constexpr std::array<PublishedShape, 22> published_shapes{{
    {"v4-169M", {Generation::v4, 12, 768, 768, 3072, 0, 0, 50277}},
    {"v4-430M", {Generation::v4, 24, 1024, 1024, 4096, 0, 0, 50277}},
    {"v4-1.5B", {Generation::v4, 24, 2048, 2048, 8192, 0, 0, 50277}},
    {"v4-3B", {Generation::v4, 32, 2560, 2560, 10240, 0, 0, 50277}},
    {"v4-7B", {Generation::v4, 32, 4096, 4096, 16384, 0, 0, 50277}},
    {"v4-14B", {Generation::v4, 40, 5120, 5120, 20480, 0, 0, 50277}},
    {"v5.2-0.1B", {Generation::v5_2, 12, 768, 768, 2688, 12, 64, 65536}},
    {"v5.2-0.4B", {Generation::v5_2, 24, 1024, 1024, 3584, 16, 64, 65536}},
    {"v5.2-1.5B", {Generation::v5_2, 24, 2048, 2048, 7168, 32, 64, 65536}},
    {"v5.2-3B", {Generation::v5_2, 32, 2560, 2560, 8960, 40, 64, 65536}},
    {"v5.2-7B", {Generation::v5_2, 32, 4096, 4096, 14336, 64, 64, 65536}},
    {"v6-0.1B", {Generation::v6, 12, 768, 768, 2688, 12, 64, 65536, {.mix = 32, .decay = 64}}},
    {"v6-1.6B", {Generation::v6, 24, 2048, 2048, 7168, 32, 64, 65536, {.mix = 32, .decay = 64}}},
    {"v6-3B", {Generation::v6, 32, 2560, 2560, 8960, 40, 64, 65536, {.mix = 32, .decay = 64}}},
    {"v6-7B", {Generation::v6, 32, 4096, 4096, 14336, 64, 64, 65536, {.mix = 64, .decay = 128}}},
    {"v6-14B", {Generation::v6, 61, 4096, 4096, 14336, 64, 64, 65536, {.mix = 64, .decay = 128}}},
    {"v7-0.1B", {Generation::v7, 12, 768, 768, 3072, 12, 64, 65536, {0, 64, 64, 32, 128}}},
    {"v7-0.4B", {Generation::v7, 24, 1024, 1024, 4096, 16, 64, 65536, {0, 64, 64, 32, 128}}},
    {"v7-1.5B", {Generation::v7, 24, 2048, 2048, 8192, 32, 64, 65536, {0, 96, 96, 64, 256}}},
    {"v7-2.9B", {Generation::v7, 32, 2560, 2560, 10240, 40, 64, 65536, {0, 96, 96, 64, 320}}},
    {"v7-7.2B", {Generation::v7, 32, 4096, 4096, 16384, 64, 64, 65536, {0, 128, 128, 96, 480}}},
    {"v7-13.3B", {Generation::v7, 61, 4096, 4096, 16384, 64, 64, 65536, {0, 128, 128, 96, 480}}},
}};

RWKV_NAMESPACE_END
