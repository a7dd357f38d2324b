// SPDX-License-Identifier: MIT
// Pieces of rows to blocks, with scales by the plain rule or by search.
#pragma once

#include <cstdint>
#include <type_traits>

#include "rwkv/quant/plain.hpp"
#include "rwkv/quant/search.hpp"
#include "rwkv/quant/super_blocks.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

using Codes4Bit = WholeCodes<-8, 7, -8>;
using Codes5Bit = WholeCodes<-16, 15, -16>;
using Codes8Bit = WholeCodes<-127, 127, 127>;

/// Four blocks of 32 numbers with one scale.
template <class Codes, class Block>
void quantise_four(const BlockLanes<32>& lanes, bool search, Block* blocks) noexcept {
  const Lanes scale = stored_scale<Codes>(lanes, search);
  std::uint8_t codes[n_lanes][32];
  codes_of_scale<Codes>(lanes, scale, codes[0]);
  for (int l = 0; l < n_lanes; ++l) {
    blocks[l].d = f32_to_f16(scale[l]);
    store_codes(codes[l], blocks[l]);
  }
}

/// Four blocks of 32 numbers with a scale and an offset.
template <int max_code, class Block>
void quantise_four_ranges(const BlockLanes<32>& lanes, Block* blocks) noexcept {
  const LaneRange range = stored_range<max_code>(lanes);
  std::uint8_t codes[n_lanes][32];
  codes_of_range<max_code>(lanes, range, codes[0]);
  for (int l = 0; l < n_lanes; ++l) {
    blocks[l].d = f32_to_f16(range.scale[l]);
    blocks[l].m = f32_to_f16(range.offset[l]);
    store_codes(codes[l], blocks[l]);
  }
}

/// Numbers that are quantised in one go: a block of 256, or eight of 32.
inline constexpr Index piece_size = 256;

/// Where number i of a piece lies among lanes: in BlockLanes<n_group>, one after the other.
[[nodiscard]] constexpr Index lane_position(Index i, Index n_group) noexcept {
  const Index first = i - i % (n_lanes * n_group), in_lanes = i - first;
  return first + in_lanes % n_group * n_lanes + in_lanes / n_group;
}

template <class Block>
inline constexpr Index scale_group = std::is_same_v<Block, BlockQ6_K> ? 16 : 32;

template <class Block>
void quantise_four(const BlockLanes<32>& lanes, bool search, Block* blocks) noexcept {
  if constexpr (std::is_same_v<Block, BlockQ4_0>) quantise_four<Codes4Bit>(lanes, search, blocks);
  if constexpr (std::is_same_v<Block, BlockQ5_0>) quantise_four<Codes5Bit>(lanes, search, blocks);
  if constexpr (std::is_same_v<Block, BlockQ8_0>) quantise_four<Codes8Bit>(lanes, search, blocks);
  if constexpr (std::is_same_v<Block, BlockIQ4_NL>) quantise_four<IQ4Codes>(lanes, search, blocks);
  if constexpr (std::is_same_v<Block, BlockQ4_1>) quantise_four_ranges<15>(lanes, blocks);
  if constexpr (std::is_same_v<Block, BlockQ5_1>) quantise_four_ranges<31>(lanes, blocks);
}

/// The first n of x; the others are zero, and what becomes of them is not used.
template <class Block>
void quantise_piece(const float (&x)[piece_size], const float* weights, Index n, bool search,
                    Block (&blocks)[piece_size / Block::size]) noexcept {
  constexpr int n_group = static_cast<int>(scale_group<Block>), n_four = n_lanes * n_group;
  if constexpr (Block::size == piece_size) {
    BlockLanes<n_group> lanes[piece_size / n_four];
    for (int at = 0; at < piece_size; at += n_four) lanes[at / n_four].load(x + at, weights + at);
    if constexpr (std::is_same_v<Block, BlockQ4_K>) quantise_groups<15>(lanes, search, blocks[0]);
    if constexpr (std::is_same_v<Block, BlockQ5_K>) quantise_groups<31>(lanes, search, blocks[0]);
    if constexpr (std::is_same_v<Block, BlockQ6_K>) quantise_groups(lanes, search, blocks[0]);
  } else {
    if constexpr (requires { quantise_plain(x, blocks[0]); }) {
      if (!search) {
        for (Index i = 0; i < n / 32; ++i) quantise_plain(x + 32 * i, blocks[i]);
        return;
      }
    }
    for (Index at = 0; at < n; at += n_four) {
      BlockLanes<n_group> lanes;
      lanes.load(x + at, weights + at);
      quantise_four(lanes, search, blocks + at / 32);
    }
  }
}

}  // namespace detail

RWKV_NAMESPACE_END
