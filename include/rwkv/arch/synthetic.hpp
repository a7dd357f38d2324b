// SPDX-License-Identifier: MIT
// Models of real shapes with random values, for timing.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "rwkv/arch/config.hpp"
#include "rwkv/arch/init.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/core/blocks.hpp"
#include "rwkv/core/buffer.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/io/checkpoint.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Sets the scales of a block of random bits, so that its numbers lie in about +-limit.
inline void set_scales(float limit, BlockQ4_0& block) noexcept { block.d = f32_to_f16(limit / 8); }
inline void set_scales(float limit, BlockQ5_0& block) noexcept { block.d = f32_to_f16(limit / 16); }
inline void set_scales(float limit, BlockQ8_0& block) noexcept { block.d = f32_to_f16(limit / 128); }
inline void set_scales(float limit, BlockIQ4_NL& block) noexcept { block.d = f32_to_f16(limit / 127); }
inline void set_scales(float limit, BlockQ4_1& block) noexcept {
  block.d = f32_to_f16(2 * limit / 15);
  block.m = f32_to_f16(-limit);
}
inline void set_scales(float limit, BlockQ5_1& block) noexcept {
  block.d = f32_to_f16(2 * limit / 31);
  block.m = f32_to_f16(-limit);
}
inline void set_scales(float limit, float max_code, GroupScales& scales) noexcept {
  std::fill_n(scales.packed, 12, std::uint8_t{0xff});  // all groups have the largest, 63
  scales.d = f32_to_f16(2 * limit / max_code / 63);
  scales.d_min = f32_to_f16(limit / 63);
}
inline void set_scales(float limit, BlockQ4_K& block) noexcept { set_scales(limit, 15, block.scales); }
inline void set_scales(float limit, BlockQ5_K& block) noexcept { set_scales(limit, 31, block.scales); }
inline void set_scales(float limit, BlockQ6_K& block) noexcept {
  std::fill_n(block.scales, 16, std::int8_t{64});
  block.d = f32_to_f16(limit / 32 / 64);
}

/// n uniform numbers in +-limit, 16 random bits each.
inline void random_numbers(DType dtype, float limit, Index n, Random& random, std::byte* to) noexcept {
  for (Index i = 0; i < n;) {
    std::uint64_t bits = random.next();
    for (int part = 0; part < 4 && i < n; ++part, ++i, bits >>= 16) {
      const float value = limit * (static_cast<float>(bits & 0xffff) * 0x1p-15f - 1.0f);
      const std::uint16_t half = dtype == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
      if (dtype == DType::f32) {
        std::memcpy(to + 4 * i, &value, 4);
      } else {
        std::memcpy(to + 2 * i, &half, 2);
      }
    }
  }
}

inline void random_blocks(DType dtype, float limit, Random& random, std::span<std::byte> to) noexcept {
  for (std::size_t i = 0; i < to.size(); i += 8) {
    const std::uint64_t bits = random.next();
    std::memcpy(to.data() + i, &bits, std::min<std::size_t>(8, to.size() - i));
  }
  with_block(dtype, [&]<class Block>(Block block) {
    for (std::size_t i = 0; i < to.size(); i += sizeof(Block)) {
      std::memcpy(&block, to.data() + i, sizeof(Block));
      set_scales(limit, block);
      std::memcpy(to.data() + i, &block, sizeof(Block));
    }
  });
}

}  // namespace detail

/// A model of real shapes for timing: vectors as in init(), matrices uniform in +-sqrt(3 / n_in) (so that activations
/// keep their size), stored in `dtype`: f32, f16, bf16 or one of blocks. With blocks, matrices that files hold
/// by input are bf16. Made in memory, fast; its text is noise.
/// Throws ArgumentError for other dtypes, and for matrices whose rows are not whole blocks.
[[nodiscard]] inline Checkpoint synthetic(const Config& config, DType dtype, std::uint64_t seed) {
  if (!info(dtype).is_real || dtype == DType::f64) {
    throw ArgumentError(
        {.item = "synthetic model", .expected = "f32, f16, bf16 or a type of blocks", .found = name(dtype)});
  }
  const bool has_blocks = info(dtype).block_elements > 1;
  Random random(seed);
  Checkpoint checkpoint("a synthetic model");
  for (const TensorSpec& spec : tensor_list(config)) {
    if (spec.role == TensorRole::vector) {
      checkpoint.add(spec.name, make_tensor(spec.shape, detail::initial_vector(spec, config)));
      continue;
    }
    const bool is_by_input = spec.role == TensorRole::by_input;
    const Index n_in = spec.shape[spec.shape.rank() - (is_by_input ? 2 : 1)];
    const DType type = is_by_input && has_blocks ? DType::bf16 : dtype;
    const auto n_bytes = checked_n_bytes(type, spec.shape);
    if (!n_bytes) {
      throw ArgumentError({.item = tensor_item(spec.name),
                           .expected = "rows of whole blocks of " + std::to_string(info(type).block_elements),
                           .found = to_string(spec.shape)});
    }
    auto bytes = std::make_shared<Buffer<std::byte>>(*n_bytes);
    const float limit = std::sqrt(3.0f / static_cast<float>(n_in));
    if (info(type).block_elements > 1) {
      detail::random_blocks(type, limit, random, bytes->span());
    } else {
      detail::random_numbers(type, limit, spec.shape.checked_n_elements().value(), random, bytes->data());
    }
    checkpoint.add(spec.name, {type, spec.shape, bytes->data(), bytes});
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
/// those of the published files, or where these were not at hand, of RWKV-LM's rule for them. "nano" is nobody's: as
/// many layers as the smallest published ones with little work in each, which shows what everything but the work costs.
inline constexpr std::array<PublishedShape, 24> published_shapes{{
    {"v4-nano", {Generation::v4, 12, 128, 128, 512, 0, 0, 1024}},
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
    {"v7-nano", {Generation::v7, 12, 128, 128, 512, 2, 64, 1024, {0, 64, 64, 32, 128}}},
    {"v7-0.1B", {Generation::v7, 12, 768, 768, 3072, 12, 64, 65536, {0, 64, 64, 32, 128}}},
    {"v7-0.4B", {Generation::v7, 24, 1024, 1024, 4096, 16, 64, 65536, {0, 64, 64, 32, 128}}},
    {"v7-1.5B", {Generation::v7, 24, 2048, 2048, 8192, 32, 64, 65536, {0, 96, 96, 64, 256}}},
    {"v7-2.9B", {Generation::v7, 32, 2560, 2560, 10240, 40, 64, 65536, {0, 96, 96, 64, 320}}},
    {"v7-7.2B", {Generation::v7, 32, 4096, 4096, 16384, 64, 64, 65536, {0, 128, 128, 96, 480}}},
    {"v7-13.3B", {Generation::v7, 61, 4096, 4096, 16384, 64, 64, 65536, {0, 128, 128, 96, 480}}},
}};

/// The one of that name. Throws ArgumentError that lists them if there is none.
[[nodiscard]] inline const Config& published_shape(std::string_view name) {
  std::string known;
  for (const PublishedShape& shape : published_shapes) {
    if (shape.name == name) return shape.config;
    known += (known.empty() ? "" : ", ") + std::string(shape.name);
  }
  throw ArgumentError({.item = "published shape", .expected = "one of " + known, .found = in_quotes(name)});
}

RWKV_NAMESPACE_END
