// SPDX-License-Identifier: MIT
// Rows to blocks with error feedback: scales by search, codes one after the other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/thread_pool.hpp"
#include "rwkv/quant/encode.hpp"
#include "rwkv/quant/error_feedback.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The codes that a block can hold: 0 .. this.
template <class Block>
inline constexpr int last_code =
    std::is_same_v<Block, BlockQ8_0>                                                                           ? 254
    : std::is_same_v<Block, BlockQ6_K>                                                                         ? 63
    : std::is_same_v<Block, BlockQ5_0> || std::is_same_v<Block, BlockQ5_1> || std::is_same_v<Block, BlockQ5_K> ? 31
                                                                                                               : 15;

/// What the codes of four blocks mean, one in each lane: scale * code + offset, or scale * iq4_values[code].
template <class Block>
struct FourGrids {
  Lanes scale[Block::size], offset[Block::size];

  void read(const Block (&blocks)[n_lanes]) noexcept {
    constexpr bool is_iq4 = std::is_same_v<Block, BlockIQ4_NL>;
    constexpr std::uint8_t first = 0, one = is_iq4 ? 8 : 1;  // iq4_values[8] is 1
    for (int l = 0; l < n_lanes; ++l) {
      float low[Block::size] = {}, next[Block::size];
      if (!is_iq4) expand_codes(blocks[l], first, low);
      expand_codes(blocks[l], one, next);
      for (int i = 0; i < Block::size; ++i) {
        scale[i][l] = next[i] - low[i];
        offset[i][l] = low[i];
      }
    }
  }

  /// Rounds number i of each block to what is nearest; gives its code, too.
  [[nodiscard]] Lanes rounded(int i, Lanes x, std::uint8_t (&codes)[n_lanes][Block::size]) const noexcept {
    const Lanes steps = (x - offset[i]) * quotient(all_lanes(1), scale[i]);
    if constexpr (std::is_same_v<Block, BlockIQ4_NL>) {
      const Lanes nearest = IQ4Codes::nearest(steps);
      for (int l = 0; l < n_lanes; ++l) codes[l][i] = static_cast<std::uint8_t>(IQ4Codes::bits(nearest[l]));
      return nearest * scale[i];
    } else {
      const Lanes nearest = nearest_whole<0, last_code<Block>>(steps);
      for (int l = 0; l < n_lanes; ++l) codes[l][i] = static_cast<std::uint8_t>(nearest[l]);
      return nearest * scale[i] + offset[i];
    }
  }

private:
  static void expand_codes(Block block, std::uint8_t code, float (&y)[Block::size]) noexcept {
    std::uint8_t codes[Block::size];
    std::fill_n(codes, Block::size, code);
    store_codes(codes, block);
    block.expand(y);
  }
};

/// 16 rows on their way to blocks, four in the lanes of each group. A row does not depend on the others.
template <class Block>
class FeedbackRows {
public:
  static constexpr Index n_groups = 4, max_rows = n_lanes * n_groups;

  /// Room for `errors`: max_rows n_in floats. `weights` are in lanes, as for quantise_piece.
  FeedbackRows(const ErrorFeedback& feedback, const float* weights, float* errors) noexcept
      : feedback_(feedback), weights_(weights), errors_(errors) {}

  /// n rows of numbers, one after the other, at most max_rows.
  void quantise(const float* numbers, Index n, std::byte* to) noexcept {
    const Index n_in = feedback_.n_in();
    for (Index begin = 0; begin < n_in; begin += size) {
      load(numbers, n, begin);
      for (Index at = 0; at < size; at += panel) add_feedback(begin + at, {0, begin}, at);
      for (Index g = 0; g < n_groups; ++g) choose_scales(begin, target_[g], blocks_[g], grids_[g]);
      for (Index at = 0; at < size; at += panel) {
        add_feedback(begin + at, {begin, begin + at}, at);
        for (Index g = 0; g < n_groups; ++g) round_panel(begin, at, g);
      }
      for (Index row = 0; row < n; ++row) {
        Block& block = blocks_[row / n_lanes][row % n_lanes];
        store_codes(codes_[row / n_lanes][row % n_lanes], block);
        std::memcpy(to + (row * n_in + begin) / size * static_cast<Index>(sizeof(Block)), &block, sizeof(Block));
      }
    }
  }

private:
  static constexpr Index size = Block::size, panel = ErrorFeedback::panel_size;

  void load(const float* rows, Index n, Index begin) noexcept {
    for (Index row = 0; row < max_rows; ++row) {
      for (Index i = 0; i < size; ++i) {
        const float x = row < n ? rows[row * feedback_.n_in() + begin + i] : 0;
        x_[row / n_lanes][i][row % n_lanes] = target_[row / n_lanes][i][row % n_lanes] = x;
      }
    }
  }

  /// Those of column j of all groups, one after the other.
  [[nodiscard]] float* errors(Index j) noexcept { return errors_ + j * max_rows; }

  /// What the errors of the columns `from` ask of the 32 columns at `at`, which are targets from `to` on.
  void add_feedback(Index at, Range from, Index to) noexcept {
    constexpr Index n = 2;  // with all groups as many sums as registers hold
    const float* const factors = feedback_.panel(at);
    for (Index c = 0; c < panel; c += n) {
      Lanes sums[n_groups][n];
      for (Index g = 0; g < n_groups; ++g) std::copy_n(&target_[g][to + c], n, sums[g]);
      for (Index j = from.begin; j < from.end; ++j) {
        const float* const e = errors(j);
        const float* const a = factors + j * panel + c;
#pragma GCC unroll 4
        for (Index g = 0; g < n_groups; ++g) {
#pragma GCC unroll 2
          for (Index i = 0; i < n; ++i) sums[g][i] += load_lanes(e + g * n_lanes) * a[i];
        }
      }
      for (Index g = 0; g < n_groups; ++g) std::copy_n(sums[g], n, &target_[g][to + c]);
    }
  }

  /// For the targets as they are now.
  void choose_scales(Index begin, const Lanes (&targets)[size], Block (&blocks)[n_lanes],
                     FourGrids<Block>& grids) const noexcept {
    if constexpr (size == piece_size) {
      for (int l = 0; l < n_lanes; ++l) {
        float row[piece_size];
        for (Index i = 0; i < size; ++i) row[i] = targets[i][l];
        Block block[1];
        quantise_piece(row, weights_ + begin, size, true, block);
        blocks[l] = block[0];
      }
    } else {
      BlockLanes<size> lanes;
      for (Index i = 0; i < size; ++i) {
        lanes.x[i] = targets[i];
        lanes.weight[i] = all_lanes(weights_[lane_position(begin + i, size)]);
      }
      quantise_four(lanes, true, blocks);
    }
    grids.read(blocks);
  }

  /// Code after code, each with the errors of all before it.
  void round_panel(Index begin, Index at, Index g) noexcept {
    const float* const factors = feedback_.panel(begin + at);
    for (Index i = at; i < at + panel; ++i) {
      const Lanes e = x_[g][i] - grids_[g].rounded(static_cast<int>(i), target_[g][i], codes_[g]);
      std::memcpy(errors(begin + i) + g * n_lanes, &e, sizeof(e));
      const float* const a = factors + (begin + i) * panel - at;
      for (Index k = i + 1; k < at + panel; ++k) target_[g][k] += e * a[k];
    }
  }

  const ErrorFeedback& feedback_;
  const float* weights_;
  float* errors_;
  Lanes x_[n_groups][size], target_[n_groups][size];
  Block blocks_[n_groups][n_lanes];
  FourGrids<Block> grids_[n_groups];
  std::uint8_t codes_[n_groups][n_lanes][size];
};

}  // namespace detail

RWKV_NAMESPACE_END
