// SPDX-License-Identifier: MIT
// Decimal numbers between bounds, as parts of a grammar.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/grammar/grammar_builder.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A number, exactly: its digits before and behind the point. No zeros that mean nothing; 0 is {false, "0", ""}.
struct Decimal {
  bool is_negative = false;
  std::string whole = "0", fraction;

  /// Larger numbers of digits are refused: an exponent of few characters stands for as many digits as it says.
  static constexpr std::size_t max_digits = 400;

  /// Reads a JSON number; none if it has more than max_digits on a side of the point.
  [[nodiscard]] static std::optional<Decimal> from_json(std::string_view text) {
    Decimal number;
    number.is_negative = text.starts_with('-');
    if (number.is_negative) text.remove_prefix(1);
    const std::size_t e = std::min(text.find_first_of("eE"), text.size());
    std::string_view exponent_text = text.substr(std::min(e + 1, text.size()));
    if (exponent_text.starts_with('+')) exponent_text.remove_prefix(1);
    text = text.substr(0, e);
    const std::size_t point = std::min(text.find('.'), text.size());
    std::string digits(text.substr(0, point));
    if (point < text.size()) digits += text.substr(point + 1);
    if (digits.find_first_not_of('0') == std::string::npos) return Decimal();
    int exponent = 0;
    const auto [end, error] =
        std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
    constexpr auto most = static_cast<int>(max_digits);
    if (digits.size() > max_digits || (!exponent_text.empty() && error != std::errc{})) return {};
    if (exponent < -most || exponent > most) return {};
    auto n_whole = static_cast<std::ptrdiff_t>(point) + exponent;  // of the digits
    if (n_whole < 0) digits.insert(0, static_cast<std::size_t>(-n_whole), '0');
    n_whole = std::max<std::ptrdiff_t>(n_whole, 0);
    digits.resize(std::max(digits.size(), static_cast<std::size_t>(n_whole)), '0');
    number.whole = digits.substr(0, static_cast<std::size_t>(n_whole));
    number.fraction = digits.substr(static_cast<std::size_t>(n_whole));
    number.whole.erase(0, std::min(number.whole.find_first_not_of('0'), number.whole.size()));
    if (number.whole.empty()) number.whole = "0";
    number.fraction.erase(number.fraction.find_last_not_of('0') + 1);
    return number.whole.size() <= max_digits && number.fraction.size() <= max_digits ? std::optional(number)
                                                                                     : std::nullopt;
  }

  [[nodiscard]] bool is_zero() const noexcept { return whole == "0" && fraction.empty(); }
  [[nodiscard]] bool is_whole() const noexcept { return fraction.empty(); }

  /// From the first that is not 0 to the last.
  [[nodiscard]] std::size_t n_significant() const noexcept {
    const std::string all = whole + fraction;
    const std::size_t first = all.find_first_not_of('0');
    return first == std::string::npos ? 0 : all.find_last_not_of('0') + 1 - first;
  }

  /// The size, whatever the sign: below 0 if that of a is less than that of b.
  [[nodiscard]] static int compare_sizes(const Decimal& a, const Decimal& b) noexcept {
    if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
    const int whole = a.whole.compare(b.whole);
    return whole != 0 ? whole : a.fraction.compare(b.fraction);
  }
  [[nodiscard]] static int compare(const Decimal& a, const Decimal& b) noexcept {
    if (a.is_negative != b.is_negative) return a.is_negative ? -1 : 1;
    return a.is_negative ? compare_sizes(b, a) : compare_sizes(a, b);
  }

  /// The next larger whole number of this sign and size: 1.2 becomes 2, 2 stays, -1.2 becomes -2.
  [[nodiscard]] Decimal rounded_away() const { return is_whole() ? *this : plus_one(); }
  /// 1.2 becomes 1, -1.2 becomes -1.
  [[nodiscard]] Decimal rounded_to_zero() const { return {is_negative && whole != "0", whole, ""}; }
  /// The whole number beyond, away from zero.
  [[nodiscard]] Decimal plus_one() const {
    Decimal sum{is_negative, whole, ""};
    std::size_t i = sum.whole.size();
    while (i > 0 && sum.whole[i - 1] == '9') sum.whole[--i] = '0';
    if (i > 0) {
      ++sum.whole[i - 1];
    } else {
      sum.whole.insert(0, 1, '1');
    }
    return sum;
  }
  /// The whole number towards zero; this one must be whole and not 0.
  [[nodiscard]] Decimal minus_one() const {
    Decimal rest = *this;
    std::size_t i = rest.whole.size();
    while (rest.whole[i - 1] == '0') rest.whole[--i] = '9';
    --rest.whole[i - 1];
    if (rest.whole.size() > 1 && rest.whole[0] == '0') rest.whole.erase(0, 1);
    if (rest.whole == "0") rest.is_negative = false;
    return rest;
  }
};

/// An end of a range; the range may go on without end.
struct NumberBound {
  Decimal value;
  bool is_exclusive = false;
};

/// Numbers from a lower to an upper bound, written without exponent: an automaton that compares digit by digit.
///
/// Whole numbers have as many digits as the bounds, or up to 15 where there is none; others the same before the point,
/// and so few behind it that a double keeps them apart from a bound that is excluded.
class NumberGrammar {
public:
  using Part = GrammarBuilder::Part;
  using Bound = std::optional<NumberBound>;

  static constexpr std::size_t n_digits = 15;

  NumberGrammar(GrammarBuilder& builder, bool is_whole) : builder_(builder), is_whole_(is_whole) {}

  /// The part is GrammarBuilder::never() if no number lies between the bounds.
  [[nodiscard]] Part between(Bound least, Bound most) {
    if (is_whole_) {
      least = inclusive(least, /*is_least=*/true);
      most = inclusive(most, /*is_least=*/false);
    }
    n_fraction_ = is_whole_ ? 0 : std::min(n_fraction(least), n_fraction(most));
    std::vector<Part> ways;
    const bool has_positive = !most || (!most->value.is_negative && (!most->value.is_zero() || !most->is_exclusive));
    if (has_positive) {
      const bool is_from_zero = !least || least->value.is_negative;
      ways.push_back(sizes(is_from_zero ? NumberBound{} : *least, most));
    }
    if (!least || least->value.is_negative) {
      const bool is_from_zero = !most || (!most->value.is_negative && !most->value.is_zero());
      NumberBound from = is_from_zero ? NumberBound{} : *most;
      if (is_whole_ && from.value.is_zero()) from = {Decimal{false, "1", ""}};  // no -0
      ways.push_back(builder_.sequence({builder_.text("-"), sizes(from, least)}));
    }
    return builder_.choice(ways);
  }

private:
  using Rule = GrammarBuilder::Rule;

  /// The last whole number within a bound.
  static Bound inclusive(const Bound& bound, bool is_least) {
    if (!bound) return {};
    const Decimal& value = bound->value;
    const bool goes_away = value.is_negative != is_least;  // into the range is away from zero
    if (!value.is_whole()) return NumberBound{goes_away ? value.rounded_away() : value.rounded_to_zero()};
    if (!bound->is_exclusive) return bound;
    if (!value.is_zero()) return NumberBound{goes_away ? value.plus_one() : value.minus_one()};
    return NumberBound{Decimal{!is_least, "1", ""}};
  }

  /// Digits behind the point with which no two numbers near a bound become the same double.
  static std::size_t n_fraction(const Bound& bound) {
    if (!bound || !bound->is_exclusive || bound->value.whole == "0") return n_digits;
    return n_digits - std::min(n_digits, bound->value.whole.size());
  }

  /// Numbers by their size.
  [[nodiscard]] Part sizes(const NumberBound& least, const Bound& most) {
    least_ = least;
    most_ = most;
    rules_.clear();
    const std::size_t n_least = least.value.whole.size();
    const std::size_t n_most = most ? most->value.whole.size() : std::max(n_digits, n_least + 1);
    std::vector<Part> ways;
    for (std::size_t n = n_least; n <= n_most; ++n) {
      const bool is_near_least = n == n_least, is_near_most = most && n == n_most;
      ways.push_back(builder_.call(digits({n, 0, is_near_least, is_near_most})));
    }
    return builder_.choice(ways);
  }

  /// What has been read: `position` of n digits before the point, or so many of both sides; and whether all of them are
  /// those of a bound.
  struct State {
    std::size_t n, position;
    bool is_least, is_most;
    friend constexpr auto operator<=>(const State&, const State&) noexcept = default;
  };

  /// Digit `position - n` behind the point; of the bounds themselves there follow zeros without end.
  static char digit(const Decimal& number, const State& state) noexcept {
    if (state.position < state.n) return number.whole[state.position];
    const std::size_t i = state.position - state.n;
    return i < number.fraction.size() ? number.fraction[i] : '0';
  }

  [[nodiscard]] bool may_end(const State& state) const {
    if (state.position < state.n) return false;
    const auto is_equal = [&](const Decimal& bound) { return bound.fraction.size() <= state.position - state.n; };
    if (state.is_least && (!is_equal(least_.value) || least_.is_exclusive)) return false;
    return !(state.is_most && is_equal(most_->value) && most_->is_exclusive);
  }

  /// The rule of what may follow.
  [[nodiscard]] Rule digits(State state) {
    if (!state.is_least && !state.is_most && state.position > 1) {  // all that counts is how many may follow
      const std::size_t n_before = std::min(state.position, state.n) - 1;
      state = {state.n - n_before, state.position - n_before, false, false};
    }
    const auto [entry, is_new] = rules_.try_emplace(state);
    if (!is_new) return entry->second;
    const Rule rule = entry->second = builder_.declare();
    std::vector<Part> ways;
    if (may_end(state)) ways.push_back(builder_.empty());
    if (state.position < state.n) {
      next_digits(state, ways);
    } else if (state.position < state.n + n_fraction_) {
      std::vector<Part> fraction;
      next_digits(state, fraction);
      const Part point = builder_.text(state.position == state.n ? "." : "");
      ways.push_back(builder_.sequence({point, builder_.choice(fraction)}));
    }
    builder_.define(rule, builder_.choice(ways));
    return rule;
  }

  void next_digits(const State& state, std::vector<Part>& ways) {
    const char lowest = state.is_least ? digit(least_.value, state) : '0';
    const char highest = state.is_most ? digit(most_->value, state) : '9';
    const char first = state.position == 0 && state.n > 1 ? '1' : '0';
    struct Way {
      char from, to;
      bool is_least, is_most;
    };
    std::vector<Way> groups;  // digits that lead to the same
    for (char c = std::max(first, lowest); c <= highest; ++c) {
      const bool is_least = state.is_least && c == lowest, is_most = state.is_most && c == highest;
      if (!groups.empty() && groups.back().is_least == is_least && groups.back().is_most == is_most) {
        groups.back().to = c;
      } else {
        groups.push_back({c, c, is_least, is_most});
      }
    }
    for (const auto& [from, to, is_least, is_most] : groups) {
      const Part one = builder_.one_of({{static_cast<char32_t>(from), static_cast<char32_t>(to)}});
      const Rule rest = digits({state.n, state.position + 1, is_least, is_most});
      ways.push_back(builder_.sequence({one, builder_.call(rest)}));
    }
  }

  GrammarBuilder& builder_;
  bool is_whole_;
  std::size_t n_fraction_ = 0;
  NumberBound least_;
  Bound most_;
  std::map<State, Rule> rules_;
};

RWKV_NAMESPACE_END
