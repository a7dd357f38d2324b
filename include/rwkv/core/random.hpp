// SPDX-License-Identifier: MIT
// Seeded random numbers that are the same on every platform and with every standard library.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// xoshiro256** 1.0, seeded through SplitMix64 (Blackman and Vigna, "Scrambled linear pseudorandom number generators",
/// 2021). A value: copy it to fork the sequence.
class Random {
public:
  explicit constexpr Random(std::uint64_t seed) noexcept {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15u;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      word = z ^ (z >> 31);
    }
  }

  /// Goes on where another one was: words() of it, not all of them 0.
  explicit constexpr Random(const std::array<std::uint64_t, 4>& words) noexcept : state_(words) {}
  [[nodiscard]] constexpr const std::array<std::uint64_t, 4>& words() const noexcept { return state_; }

  /// 64 random bits.
  constexpr std::uint64_t next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// A multiple of 2^-53 in [0, 1).
  constexpr double uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// Mean 0, variance 1 (Box and Muller, 1958). Portable as far as the platform's log and cos round alike.
  double normal() noexcept {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

  friend constexpr bool operator==(const Random&, const Random&) noexcept = default;

private:
  std::array<std::uint64_t, 4> state_{};
};

RWKV_NAMESPACE_END
