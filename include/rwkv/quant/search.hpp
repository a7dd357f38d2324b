// SPDX-License-Identifier: MIT
// Scales of blocks that make sum w (x - decoded)^2 small, w > 0 being how much each number counts.
//
// For given codes, least squares gives the best scale (and offset) in closed form; for a given scale the nearest codes
// are best. A search tries some scales around the plain one, each with its codes and then their best scale, and repeats
// the two steps from the best of them. Errors are sums over what is left, which do not cancel.
#pragma once

#include <cstdint>
#include <limits>

#include "rwkv/quant/lanes.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

// ---- x is about scale * code

struct ScaleFit {
  Lanes scale, error;
};

/// The best scale for the codes that are nearest with `scale`, and its error.
template <class Codes, int n>
[[nodiscard]] ScaleFit fit_scale(const BlockLanes<n>& block, Lanes scale) noexcept {
  const Lanes factor = quotient(all_lanes(1), scale);
  Lanes cc{}, rc{}, rr{};
  for (int i = 0; i < n; ++i) {
    const Lanes code = Codes::nearest(block.x[i] * factor), rest = block.x[i] - code * scale;
    const Lanes weighted = block.weight[i] * code;
    cc += weighted * code;
    rc += weighted * rest;
    rr += block.weight[i] * rest * rest;
  }
  const Lanes change = quotient(rc, cc);
  return {scale + change, rr - change * rc};
}

template <class Codes, int n>
[[nodiscard]] Lanes error_of_scale(const BlockLanes<n>& block, Lanes scale) noexcept {
  const Lanes factor = quotient(all_lanes(1), scale);
  Lanes sum{};
  for (int i = 0; i < n; ++i) {
    const Lanes rest = block.x[i] - Codes::nearest(block.x[i] * factor) * scale;
    sum += block.weight[i] * rest * rest;
  }
  return sum;
}

/// The bits of the nearest codes, block after block.
template <class Codes, int n>
void codes_of_scale(const BlockLanes<n>& block, Lanes scale, std::uint8_t* codes) noexcept {
  const Lanes factor = quotient(all_lanes(1), scale);
  for (int i = 0; i < n; ++i) {
    const Lanes code = Codes::nearest(block.x[i] * factor);
    for (int l = 0; l < n_lanes; ++l) codes[n * l + i] = static_cast<std::uint8_t>(Codes::bits(code[l]));
  }
}

/// The first of the numbers that are largest in magnitude gets the last code.
template <class Codes, int n>
[[nodiscard]] Lanes plain_scale(const BlockLanes<n>& block) noexcept {
  Lanes largest{};
  for (int i = 0; i < n; ++i) largest = magnitude(block.x[i]) > magnitude(largest) ? block.x[i] : largest;
  return (Codes::end > 0 ? magnitude(largest) : largest) / Codes::end;
}

/// A few scales on both sides of the plain one. More find little: for normal numbers, the root of the error is within
/// 0.1 % (4 bits), 0.3 % (5 bits), 1 % (6 bits) and 2.5 % (8 bits) of that of the best of 700 scales.
template <class Codes, int n>
[[nodiscard]] Lanes best_scale(const BlockLanes<n>& block, Lanes plain) noexcept {
  constexpr int n_steps = 6;
  constexpr float end = Codes::end > 0 ? Codes::end : -Codes::end;
  ScaleFit best = fit_scale<Codes>(block, plain);
  const auto attempt = [&](Lanes scale) {
    const ScaleFit fit = fit_scale<Codes>(block, scale);
    const auto is_better = fit.error < best.error;
    best = {is_better ? fit.scale : best.scale, is_better ? fit.error : best.error};
  };
  for (int i = 1; i <= n_steps; ++i) {
    const float change = Codes::step * static_cast<float>(i);
    attempt(plain * (end / (end + change)));
    attempt(plain * (end / (end - change)));
  }
  attempt(best.scale);
  return best.scale;
}

/// The better of the plain scale and of the one that is found, both as f16 holds them.
template <class Codes, int n>
[[nodiscard]] Lanes stored_scale(const BlockLanes<n>& block, bool search) noexcept {
  const Lanes first = plain_scale<Codes>(block), plain = as_f16(first);
  if (!search) return plain;
  const Lanes found = as_f16(best_scale<Codes>(block, first));
  return error_of_scale<Codes>(block, found) < error_of_scale<Codes>(block, plain) ? found : plain;
}

// ---- x is about scale * code + offset, codes are 0 .. max_code

struct LaneRange {
  Lanes scale, offset;
};

/// Weighted sums: w of 1, c of the codes, r of what is left, x - (scale * code + offset), cc, rc, rr of their products.
struct RangeSums {
  Lanes w{}, c{}, r{}, cc{}, rc{}, rr{};
};

template <int max_code, int n>
[[nodiscard]] RangeSums sums_of_range(const BlockLanes<n>& block, const LaneRange& range) noexcept {
  const Lanes factor = quotient(all_lanes(1), range.scale);
  RangeSums sums;
  for (int i = 0; i < n; ++i) {
    const Lanes x = block.x[i] - range.offset, code = nearest_whole<0, max_code>(x * factor);
    const Lanes rest = x - code * range.scale;
    const Lanes weighted_code = block.weight[i] * code, weighted_rest = block.weight[i] * rest;
    sums.w += block.weight[i];
    sums.c += weighted_code;
    sums.r += weighted_rest;
    sums.cc += weighted_code * code;
    sums.rc += weighted_rest * code;
    sums.rr += weighted_rest * rest;
  }
  return sums;
}

template <int max_code, int n>
[[nodiscard]] Lanes error_of_range(const BlockLanes<n>& block, const LaneRange& range) noexcept {
  const Lanes factor = quotient(all_lanes(1), range.scale);
  Lanes sum{};
  for (int i = 0; i < n; ++i) {
    const Lanes x = block.x[i] - range.offset;
    const Lanes rest = x - nearest_whole<0, max_code>(x * factor) * range.scale;
    sum += block.weight[i] * rest * rest;
  }
  return sum;
}

template <int max_code, int n>
void codes_of_range(const BlockLanes<n>& block, const LaneRange& range, std::uint8_t* codes) noexcept {
  const Lanes factor = quotient(all_lanes(1), range.scale);
  for (int i = 0; i < n; ++i) {
    const Lanes code = nearest_whole<0, max_code>((block.x[i] - range.offset) * factor);
    for (int l = 0; l < n_lanes; ++l) codes[n * l + i] = static_cast<std::uint8_t>(code[l]);
  }
}

/// From the smallest number, or max_offset if that is less, to the largest.
template <int max_code, int n>
[[nodiscard]] LaneRange plain_range(const BlockLanes<n>& block, float max_offset) noexcept {
  Lanes low = all_lanes(max_offset), high = block.x[0];
  for (int i = 0; i < n; ++i) {
    low = smaller(low, block.x[i]);
    high = larger(high, block.x[i]);
  }
  return {(high - low) / static_cast<float>(max_code), low};
}

/// The best range whose offset is at most max_offset.
///
/// Leaving out a part of a step at either end pays: cuts of up to 1.25 steps are searched, one end after the other. For
/// normal numbers the root of the error is within 1.2 % of that of the best of 2600 pairs of cuts.
template <int max_code, int n>
[[nodiscard]] LaneRange best_range(const BlockLanes<n>& block, const LaneRange& plain, float max_offset) noexcept {
  const Lanes limit = all_lanes(max_offset);
  LaneRange best = plain;
  Lanes best_error = all_lanes(std::numeric_limits<float>::max()), cut_low = all_lanes(0.5f), cut_high = cut_low;
  const auto attempt = [&](const LaneRange& from, Lanes low, Lanes high) {
    const RangeSums sums = sums_of_range<max_code>(block, from);
    Lanes by_scale = quotient(sums.w * sums.rc - sums.c * sums.r, sums.w * sums.cc - sums.c * sums.c);
    Lanes by_offset = quotient(sums.r - by_scale * sums.c, sums.w);
    const auto is_limited = from.offset + by_offset > limit;
    by_offset = is_limited ? limit - from.offset : by_offset;
    by_scale = is_limited ? quotient(sums.rc - by_offset * sums.c, sums.cc) : by_scale;
    const Lanes error = sums.rr - 2.0f * (by_scale * sums.rc + by_offset * sums.r) + by_scale * by_scale * sums.cc +
                        2.0f * by_scale * by_offset * sums.c + by_offset * by_offset * sums.w;
    const auto is_better = error < best_error;
    best = {is_better ? from.scale + by_scale : best.scale, is_better ? from.offset + by_offset : best.offset};
    best_error = is_better ? error : best_error;
    cut_low = is_better ? low : cut_low;
    cut_high = is_better ? high : cut_high;
  };
  const auto attempt_cuts = [&](Lanes low, Lanes high) {
    const Lanes offset = smaller(plain.offset + low * plain.scale, limit);
    const Lanes width = plain.offset - offset + (static_cast<float>(max_code) - high) * plain.scale;
    attempt({width / static_cast<float>(max_code), offset}, low, high);
  };
  attempt_cuts(cut_low, cut_high);
  for (const float change : {0.5f, 0.25f}) {
    const Lanes low = cut_low, high = cut_high;
    attempt_cuts(low - change, high);
    attempt_cuts(low + change, high);
    const Lanes better_low = cut_low;
    attempt_cuts(better_low, high - change);
    attempt_cuts(better_low, high + change);
  }
  attempt(best, cut_low, cut_high);
  return best;
}

/// The better of the plain range and of the one that is found, both as f16 holds them.
template <int max_code, int n>
[[nodiscard]] LaneRange stored_range(const BlockLanes<n>& block) noexcept {
  const auto as_stored = [](const LaneRange& range) { return LaneRange{as_f16(range.scale), as_f16(range.offset)}; };
  const LaneRange first = plain_range<max_code>(block, max_f16), plain = as_stored(first);
  const LaneRange found = as_stored(best_range<max_code>(block, first, max_f16));
  const auto is_better = error_of_range<max_code>(block, found) < error_of_range<max_code>(block, plain);
  return {is_better ? found.scale : plain.scale, is_better ? found.offset : plain.offset};
}

}  // namespace detail
RWKV_NAMESPACE_END
