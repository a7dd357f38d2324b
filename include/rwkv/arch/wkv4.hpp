// SPDX-License-Identifier: MIT
// The WKV operator of RWKV-4, two ways: the O(1) recurrence and the parallel scan.
//
//   wkv_t = ( sum_{i<t} e^{(t-1-i) w + k_i} v_i + e^{u + k_t} v_t ) / ( the same sums without v )
//
// for every channel by itself, with w < 0 the log-decay of a step and u the bonus of the current token: equation 14 of
// Peng et al., "RWKV: Reinventing RNNs for the Transformer Era" (2023), with w for the paper's -w. The sums over i < t
// are a state A = aa e^pp, B = bb e^pp, whose exponent pp is the largest that occurred, so that nothing overflows:
//
//   q = max(pp, u + k_t);   wkv_t = (e^{pp-q} aa + e^{u+k_t-q} v_t) / (e^{pp-q} bb + e^{u+k_t-q})
//   q = max(pp + w, k_t);   aa <- e^{pp+w-q} aa + e^{k_t-q} v_t;   bb likewise without v_t;   pp <- q
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "rwkv/kernels/table.hpp"
#include "rwkv/workspace.hpp"

RWKV_NAMESPACE_BEGIN

/// The exponent of an empty state. Far below every key, and still finite when decays are added to it in float.
inline constexpr double wkv_empty_exponent = -1e30;

/// What a run of consecutive tokens contributes to one channel, measured at its end: the elements of the scan.
///
/// They form a monoid under combine(): associative, with identity() on both sides; not commutative, since the left
/// operand is the earlier one.
template <class Scalar>
struct WkvSegment {
  Scalar decay;        ///< log-decay over the run: n w for n tokens
  Scalar exponent;     ///< the two sums are numerator e^exponent and denominator e^exponent
  Scalar numerator;    ///< sum of e^{decay to the end + k_i} v_i
  Scalar denominator;  ///< the same without v_i

  /// The run of no tokens.
  [[nodiscard]] static constexpr WkvSegment identity() noexcept { return {0, Scalar(wkv_empty_exponent), 0, 0}; }
  /// The run of one token.
  [[nodiscard]] static constexpr WkvSegment token(Scalar w, Scalar k, Scalar v) noexcept { return {w, k, v, 1}; }
};

/// The run `left` followed by the run `right`.
template <class Scalar>
[[nodiscard]] WkvSegment<Scalar> combine(const WkvSegment<Scalar>& left, const WkvSegment<Scalar>& right) noexcept {
  const Scalar decayed = left.exponent + right.decay;
  const Scalar exponent = std::max(decayed, right.exponent);
  const Scalar l = std::exp(decayed - exponent);
  const Scalar r = std::exp(right.exponent - exponent);
  return {left.decay + right.decay, exponent, l * left.numerator + r * right.numerator,
          l * left.denominator + r * right.denominator};
}

/// The tokens first .. first + n - 1 of a call, with the same weights and state.
template <class Scalar>
[[nodiscard]] Wkv4Call<Scalar> tokens_of(Wkv4Call<Scalar> call, Index first, Index n) noexcept {
  const Index offset = first * call.n_channels;
  call.n_tokens = n;
  call.k += offset;
  call.v += offset;
  if (call.y != nullptr) call.y += offset;
  return call;
}

/// The recurrence, token by token: channels are shared out between threads. One region for all calls, which must have
/// the same number of channels.
template <class Scalar>
void wkv4_recurrent(std::span<const Wkv4Call<Scalar>> calls, Workspace& workspace) {
  constexpr Index grain = 16;  // a cache line, and the widest register
  if (calls.empty()) return;
  workspace.threads().run_split(calls[0].n_channels, grain, [&](Range channels, int) {
    for (const Wkv4Call<Scalar>& call : calls) workspace.kernels<Scalar>().wkv4(call, channels.begin, channels.end);
  });
}

/// The parallel scan: blocks of tokens are shared out between threads.
///
/// First every block is summed up from the identity, then the summaries are combined from left to right into the state
/// at the start of each block, then every block runs again from there and gives its outputs. That is twice the work of
/// the recurrence, but its longest chain is 2 block_length + T / block_length tokens instead of T.
/// The result depends on block_length, by rounding, and not on the number of threads.
/// Throws ArgumentError unless block_length is positive.
template <class Scalar>
void wkv4_scan(const Wkv4Call<Scalar>& call, Index block_length, Workspace& workspace) {
  if (block_length < 1) {
    throw ArgumentError({.item = "block length", .expected = "1 or more", .found = std::to_string(block_length)});
  }
  if (call.n_tokens == 0) return;
  const Index n_blocks = (call.n_tokens + block_length - 1) / block_length;
  const Index n = call.n_channels;
  Workspace::Frame frame(workspace);
  const auto aa = frame.template matrix<Scalar>(n_blocks, n);
  const auto bb = frame.template matrix<Scalar>(n_blocks, n);
  const auto pp = frame.template matrix<Scalar>(n_blocks, n);
  std::ranges::fill(aa.span(), Scalar(0));
  std::ranges::fill(bb.span(), Scalar(0));
  std::ranges::fill(pp.span(), Scalar(wkv_empty_exponent));

  const auto length = [&](Index block) { return std::min(block_length, call.n_tokens - block * block_length); };
  const auto run_blocks = [&](bool with_outputs) {
    workspace.threads().run_split(n_blocks, 1, [&](Range blocks, int) {
      for (Index b = blocks.begin; b < blocks.end; ++b) {
        Wkv4Call<Scalar> part = tokens_of(call, b * block_length, length(b));
        if (!with_outputs) part.y = nullptr;
        part.aa = aa.row(b);
        part.bb = bb.row(b);
        part.pp = pp.row(b);
        workspace.kernels<Scalar>().wkv4(part, 0, n);
      }
    });
  };

  run_blocks(false);
  for (Index c = 0; c < n; ++c) {
    WkvSegment<Scalar> before{0, call.pp[c], call.aa[c], call.bb[c]};
    for (Index b = 0; b < n_blocks; ++b) {
      const auto decay = static_cast<Scalar>(length(b)) * call.w[c];
      const WkvSegment<Scalar> block{decay, pp.row(b)[c], aa.row(b)[c], bb.row(b)[c]};
      aa.row(b)[c] = before.numerator;
      bb.row(b)[c] = before.denominator;
      pp.row(b)[c] = before.exponent;
      before = combine(before, block);
    }
  }
  run_blocks(true);
  std::copy_n(aa.row(n_blocks - 1), n, call.aa);
  std::copy_n(bb.row(n_blocks - 1), n, call.bb);
  std::copy_n(pp.row(n_blocks - 1), n, call.pp);
}

/// Whichever way suits the shape: the scan where a long sequence has too few channels to occupy several threads.
/// The choice does not look at the number of threads, so that it never changes a result.
template <class Scalar>
void wkv4(std::span<const Wkv4Call<Scalar>> calls, Workspace& workspace) {
  constexpr Index few_channels = 32;
  constexpr Index block_length = 128;
  if (calls.empty() || calls[0].n_channels >= few_channels) return wkv4_recurrent(calls, workspace);
  for (const Wkv4Call<Scalar>& call : calls) {
    if (call.n_tokens >= 2 * block_length) {
      wkv4_scan(call, block_length, workspace);
    } else {
      wkv4_recurrent(std::span(&call, 1), workspace);
    }
  }
}

RWKV_NAMESPACE_END
