// SPDX-License-Identifier: MIT
// Sets of characters, and their UTF-8 as ranges of bytes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

#include "rwkv/core/function_ref.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A set of code points, 0 to U+10FFFF.
class CodePoints {
public:
  /// The code points from the first to the last, both included.
  struct Range {
    char32_t first, last;  // both are in the set
    friend constexpr bool operator==(const Range&, const Range&) noexcept = default;
  };

  static constexpr char32_t largest = 0x10ffff;

  CodePoints() = default;
  CodePoints(std::initializer_list<Range> ranges) {
    for (const Range& range : ranges) add(range);
  }
  [[nodiscard]] static CodePoints all() { return {{0, largest}}; }

  /// Adds the code points from first to last; none if first > last.
  void add(Range range) {
    if (range.first > range.last) return;
    const auto is_before = [](const Range& a, char32_t first) { return a.last + 1 < first; };  // and does not touch
    auto from = std::lower_bound(ranges_.begin(), ranges_.end(), range.first, is_before);
    auto to = from;
    for (; to != ranges_.end() && to->first <= range.last + 1; ++to) {
      range = {std::min(range.first, to->first), std::max(range.last, to->last)};
    }
    ranges_.insert(ranges_.erase(from, to), range);
  }

  void add(const CodePoints& others) {
    for (const Range& range : others.ranges_) add(range);
  }

  [[nodiscard]] CodePoints complement() const {
    CodePoints result;
    char32_t next = 0;
    for (const Range& range : ranges_) {
      if (range.first > 0) result.add({next, range.first - 1});
      next = range.last + 1;
    }
    result.add({next, largest});
    return result;
  }

  [[nodiscard]] CodePoints without(const CodePoints& others) const {
    CodePoints rest = complement();
    rest.add(others);
    return rest.complement();
  }

  [[nodiscard]] bool contains(char32_t code_point) const noexcept {
    return std::ranges::any_of(ranges_, [&](const Range& r) { return r.first <= code_point && code_point <= r.last; });
  }

  /// In ascending order; they do not overlap or touch.
  [[nodiscard]] const std::vector<Range>& ranges() const noexcept { return ranges_; }

private:
  std::vector<Range> ranges_;
};

/// The bytes from first to last.
struct ByteRange {
  unsigned char first, last;
  friend constexpr bool operator==(const ByteRange&, const ByteRange&) noexcept = default;
};

/// Calls on_sequence with sequences of 1 to 4 ranges of bytes. The UTF-8 of the characters of the range are exactly the
/// bytes that go through one of them, and through one only. Surrogates have no UTF-8 and are left out.
inline void for_each_utf8_sequence(CodePoints::Range range, FunctionRef<void(std::span<const ByteRange>)> on_sequence) {
  const auto [first, last] = range;
  if (first > last) return;
  // Where the number of bytes changes, and around the surrogates.
  for (const char32_t end : {char32_t{0x7f}, char32_t{0x7ff}, char32_t{0xd7ff}, char32_t{0xdfff}, char32_t{0xffff}}) {
    if (first > end || last <= end) continue;
    for_each_utf8_sequence({first, end}, on_sequence);
    return for_each_utf8_sequence({end + 1, last}, on_sequence);
  }
  if (first >= 0xd800 && last <= 0xdfff) return;
  const int n_more = last < 0x80 ? 0 : last < 0x800 ? 1 : last < 0x10000 ? 2 : 3;
  // Where bytes differ that are not the last ones, all continuations must be possible behind them.
  for (int i = 1; i <= n_more; ++i) {
    const char32_t behind = (char32_t{1} << (6 * i)) - 1;
    if ((first & ~behind) == (last & ~behind)) break;
    char32_t end = last;
    if ((first & behind) != 0) {
      end = first | behind;
    } else if ((last & behind) != behind) {
      end = (last & ~behind) - 1;
    }
    if (end == last) continue;
    for_each_utf8_sequence({first, end}, on_sequence);
    return for_each_utf8_sequence({end + 1, last}, on_sequence);
  }
  constexpr char32_t lead[] = {0x00, 0xc0, 0xe0, 0xf0};
  std::array<ByteRange, 4> sequence{};
  for (int i = 0; i <= n_more; ++i) {
    const int shift = 6 * (n_more - i);
    const char32_t mark = i == 0 ? lead[n_more] : 0x80, mask = i == 0 ? 0x7f : 0x3f;
    sequence[static_cast<std::size_t>(i)] = {static_cast<unsigned char>(mark | ((first >> shift) & mask)),
                                             static_cast<unsigned char>(mark | ((last >> shift) & mask))};
  }
  on_sequence(std::span(sequence).first(static_cast<std::size_t>(n_more) + 1));
}

RWKV_NAMESPACE_END
