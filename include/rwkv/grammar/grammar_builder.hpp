// SPDX-License-Identifier: MIT
// Puts rules together: what the readers of all notations of grammars call.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/grammar/code_points.hpp"
#include "rwkv/grammar/rule_network.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Builds a RuleNetwork out of parts. A part is a piece of an automaton (Thompson, "Regular expression search
/// algorithm", 1968) and becomes part of what it is given to: use each once, and make a rule of what is needed twice.
class GrammarBuilder {
public:
  struct Part {
    int first, last;
  };
  using Rule = int;

  /// Grammars with more nodes are refused: a repetition takes one for each time.
  static constexpr std::size_t max_nodes = 1 << 18;

  /// `path` is what messages call the grammar.
  explicit GrammarBuilder(std::string path = {}) : path_(std::move(path)) {}

  /// The empty text, and no text at all.
  [[nodiscard]] Part empty() {
    const int node = add({Kind::pass, {}, -1});
    return {node, node};
  }
  [[nodiscard]] Part never() { return {add({Kind::never}), add({Kind::pass, {}, -1})}; }

  /// These bytes.
  [[nodiscard]] Part text(std::string_view bytes) {
    Part part = empty();
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      const int last = add({Kind::pass, {}, -1});
      node(part.last) = {Kind::byte, {byte, byte}, last};
      part.last = last;
    }
    return part;
  }

  /// One of these characters, in UTF-8.
  [[nodiscard]] Part one_of(const CodePoints& characters) {
    const int last = add({Kind::pass, {}, -1});
    std::map<std::tuple<int, int, int>, int> known;  // sequences share their ends
    std::vector<int> firsts;
    for (const CodePoints::Range& range : characters.ranges()) {
      for_each_utf8_sequence(range, [&](std::span<const ByteRange> sequence) {
        int next = last;
        for (auto bytes = sequence.rbegin(); bytes != sequence.rend(); ++bytes) {
          const auto [found, is_new] = known.try_emplace({bytes->first, bytes->last, next}, -1);
          if (is_new) {
            found->second = add({Kind::byte, *bytes, next});
            if (std::next(bytes) == sequence.rend()) firsts.push_back(found->second);
          }
          next = found->second;
        }
      });
    }
    if (firsts.empty()) return {add({Kind::never}), last};
    int first = firsts[0];
    for (std::size_t i = 1; i < firsts.size(); ++i) first = add({Kind::either, {}, firsts[i], first});
    return {first, last};
  }

  [[nodiscard]] Part sequence(std::span<const Part> parts) {
    if (parts.empty()) return empty();
    for (std::size_t i = 1; i < parts.size(); ++i) node(parts[i - 1].last).next = parts[i].first;
    return {parts.front().first, parts.back().last};
  }
  [[nodiscard]] Part sequence(std::initializer_list<Part> parts) { return sequence(std::span(parts)); }

  [[nodiscard]] Part choice(std::span<const Part> parts) {
    if (parts.empty()) return never();
    Part all = parts[0];
    for (const Part& part : parts.subspan(1)) {
      const int last = add({Kind::pass, {}, -1});
      node(all.last).next = last;
      node(part.last).next = last;
      all = {add({Kind::either, {}, all.first, part.first}), last};
    }
    return all;
  }
  [[nodiscard]] Part choice(std::initializer_list<Part> parts) { return choice(std::span(parts)); }

  [[nodiscard]] Part optional(Part part) { return choice({part, empty()}); }

  /// The part, `least` to `most` times; without `most` as often as one likes.
  [[nodiscard]] Part repeat(Part part, std::uint64_t least, std::optional<std::uint64_t> most) {
    if (most == 0) return empty();
    if (least == 0 && most == 1) return optional(part);
    if (std::max(least, most.value_or(0)) > max_nodes) refuse_size();  // before it is counted in smaller numbers
    const std::uint64_t n_copies = most.value_or(std::max<std::uint64_t>(least, 1));
    std::optional<Rule> rule;
    if (n_copies > 1) rule = make_rule(part);
    const auto copy = [&] { return rule ? call(*rule) : part; };
    Part all = empty();
    const std::uint64_t n_plain = most ? least : std::max<std::uint64_t>(least, 1) - 1;
    for (std::uint64_t i = 0; i < n_plain; ++i) {
      const Part next = copy();
      if (i == 0 && n_plain > 1) network_.runs.push_back({next.first, 2, static_cast<int>(n_plain), *rule});
      all = sequence({all, next});
    }
    if (!most) return sequence({all, any_number(copy(), least == 0)});
    const int last = add({Kind::pass, {}, -1});
    for (std::uint64_t i = least; i < *most; ++i) {  // each may be the last
      const Part next = copy();
      const int either = add({Kind::either, {}, next.first, last});
      if (i == least && *most - least > 1) network_.runs.push_back({either, 3, static_cast<int>(*most - least), *rule});
      node(all.last).next = either;
      all.last = next.last;
    }
    node(all.last).next = last;
    return {all.first, last};
  }

  /// What a rule says; it may be defined later.
  [[nodiscard]] Part call(Rule rule) {
    const int last = add({Kind::pass, {}, -1});
    return {add({Kind::call, {}, last, rule}), last};
  }

  /// A rule that is defined later. Name and place are for messages.
  [[nodiscard]] Rule declare(std::string name = {}, std::string where = {}) {
    network_.rules.push_back({std::move(name), std::move(where)});
    return static_cast<Rule>(network_.rules.size()) - 1;
  }

  void define(Rule rule, Part part) {
    network_.rules[static_cast<std::size_t>(rule)].first = part.first;
    node(part.last).kind = Kind::end;
  }

  /// A rule that says what the part says.
  [[nodiscard]] Rule make_rule(Part part) {
    const Rule rule = declare();
    define(rule, part);
    return rule;
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// The grammar whose texts are those of `root`. All rules that are called must be defined. The builder is then empty.
  /// Throws FormatError for a rule that begins with itself, and if no text fits the root.
  [[nodiscard]] RuleNetwork build(Rule root) {
    network_.root = root;
    detail::NetworkAnalysis(network_, path_).run();
    return std::exchange(network_, {});
  }

private:
  using Kind = RuleNetwork::Kind;

  [[nodiscard]] RuleNetwork::Node& node(int index) { return network_.nodes[static_cast<std::size_t>(index)]; }

  [[noreturn]] void refuse_size() const {
    throw UnsupportedError({.path = path_,
                            .problem = "the grammar is too large",
                            .expected = "at most " + std::to_string(max_nodes) + " nodes",
                            .hint = "Each time of a repetition takes two or three."});
  }

  int add(const RuleNetwork::Node& node) {
    if (network_.nodes.size() >= max_nodes) refuse_size();
    network_.nodes.push_back(node);
    return static_cast<int>(network_.nodes.size()) - 1;
  }

  /// The part again and again; `or_none`: or not at all.
  [[nodiscard]] Part any_number(Part part, bool or_none) {
    const int last = add({Kind::pass, {}, -1});
    const int again = add({Kind::either, {}, part.first, last});
    node(part.last).next = again;
    return {or_none ? again : part.first, last};
  }

  std::string path_;
  RuleNetwork network_;
};

RWKV_NAMESPACE_END
