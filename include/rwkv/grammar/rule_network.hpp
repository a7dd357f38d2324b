// SPDX-License-Identifier: MIT
// Grammars as automata that call each other: what all notations of grammars become, and ByteAutomaton walks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/grammar/code_points.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// A recursive transition network over bytes (Woods, "Transition network grammars for natural language analysis",
/// 1970): every rule is an automaton, and its nodes may call rules. Made by GrammarBuilder.
struct RuleNetwork {
  enum class Kind : std::uint8_t {
    accept,  ///< the end of the text; node 0, and no other
    end,     ///< the end of a rule
    byte,    ///< reads one of `bytes`, then `next`
    either,  ///< `next` or `other`
    call,    ///< reads what rule `other` says, then `next`
    never,   ///< leads nowhere
    pass     ///< `next`; only while a network is being built
  };
  struct Node {
    Kind kind;
    ByteRange bytes{};
    int next = 0;
    int other = 0;
  };
  struct Rule {
    std::string name;   ///< for messages; empty for what has none in the notation
    std::string where;  ///< the same: "line 3, column 1"
    int first = -1;     ///< its first node
    int rank = 0;       ///< larger than that of every rule that can call it before reading anything
  };

  /// Repetitions: nodes that differ in how many times the rule may or must still follow. Node first + i * stride is
  /// the one from which there are n - i.
  struct Run {
    int first, stride, n;
    int rule;
  };

  static constexpr std::uint64_t unreachable = std::numeric_limits<std::uint64_t>::max();

  std::vector<Node> nodes{{Kind::accept}};
  std::vector<Rule> rules;
  std::vector<Run> runs;               ///< in ascending order
  int root = 0;                        ///< the rule of the whole text
  std::vector<int> by_rank;            ///< all rules
  std::vector<std::uint64_t> n_least;  ///< for each node: bytes to the end of its rule, the fewest; or unreachable
  std::array<std::uint8_t, 256> class_of{};  ///< bytes of one class are in the same `bytes` everywhere
  std::vector<unsigned char> byte_of;        ///< for each class: the least of its bytes

  [[nodiscard]] const Node& node(int index) const noexcept { return nodes[static_cast<std::size_t>(index)]; }
  [[nodiscard]] const Rule& rule(int index) const noexcept { return rules[static_cast<std::size_t>(index)]; }
  [[nodiscard]] std::uint64_t least(int index) const noexcept { return n_least[static_cast<std::size_t>(index)]; }
  /// A node from which the next n_bytes bytes may be the same as from this one: in a repetition that goes on for
  /// longer, the last such node.
  [[nodiscard]] int alike(int index, std::size_t n_bytes) const {
    const auto behind = std::ranges::upper_bound(runs, index, {}, &Run::first);
    if (behind == runs.begin()) return index;
    const Run& run = *(behind - 1);
    const int i = (index - run.first) / run.stride;
    const std::uint64_t each = least(rule(run.rule).first);
    if ((index - run.first) % run.stride != 0 || i >= run.n || each == 0) return index;
    const std::uint64_t n_whole = n_bytes / each;  // times that end within n_bytes; one more may begin
    if (n_whole >= static_cast<std::uint64_t>(run.n - i - 1)) return index;
    return run.first + (run.n - static_cast<int>(n_whole) - 1) * run.stride;
  }

  /// Whether a rule may read nothing.
  [[nodiscard]] bool is_nullable(int index) const noexcept { return least(rule(index).first) == 0; }
};

namespace detail {

/// Fills in what follows from nodes, rules and root.
class NetworkAnalysis {
public:
  NetworkAnalysis(RuleNetwork& network, std::string_view path) : network_(network), path_(path) {}

  /// Throws FormatError for left recursion and for a root that can never end.
  void run() {
    skip_passes();
    find_least();
    const RuleNetwork::Rule& root = network_.rule(network_.root);
    if (network_.least(root.first) == RuleNetwork::unreachable) {
      throw FormatError({.path = path_,
                         .item = item(root),
                         .problem = "no text fits",
                         .hint = "It asks for what there is not, or its recursion has no way out."});
    }
    find_ranks();
    find_classes();
  }

private:
  using Kind = RuleNetwork::Kind;

  static std::string item(const RuleNetwork::Rule& rule) {
    return (rule.where.empty() ? "" : rule.where + ": ") + "rule " + in_quotes(rule.name);
  }

  void skip_passes() {
    const auto target = [this](int node) {
      while (network_.node(node).kind == Kind::pass && network_.node(node).next >= 0) node = network_.node(node).next;
      return node;  // a part that became part of nothing still ends in a pass
    };
    for (RuleNetwork::Node& node : network_.nodes) {
      if (node.kind == Kind::byte || node.kind == Kind::either || node.kind == Kind::call)
        node.next = target(node.next);
      if (node.kind == Kind::either) node.other = target(node.other);
    }
    for (RuleNetwork::Rule& rule : network_.rules) rule.first = target(rule.first);
  }

  /// Knuth, "A generalization of Dijkstra's algorithm", 1977: the nodes that are nearest to their end come first.
  void find_least() {
    const std::size_t n_nodes = network_.nodes.size();
    std::vector<std::vector<int>> before(n_nodes);
    for (std::size_t i = 0; i < n_nodes; ++i) {
      const RuleNetwork::Node& node = network_.nodes[i];
      if (node.kind != Kind::byte && node.kind != Kind::either && node.kind != Kind::call) continue;
      before[static_cast<std::size_t>(node.next)].push_back(static_cast<int>(i));
      if (node.kind == Kind::byte) continue;
      const int other = node.kind == Kind::call ? network_.rule(node.other).first : node.other;
      before[static_cast<std::size_t>(other)].push_back(static_cast<int>(i));
    }
    using Distance = std::pair<std::uint64_t, int>;
    std::priority_queue<Distance, std::vector<Distance>, std::greater<>> nearest;
    for (std::size_t i = 0; i < n_nodes; ++i) {
      if (network_.nodes[i].kind == Kind::end) nearest.push({0, static_cast<int>(i)});
    }
    network_.n_least.assign(n_nodes, RuleNetwork::unreachable);
    while (!nearest.empty()) {
      const auto [distance, index] = nearest.top();
      nearest.pop();
      std::uint64_t& least = network_.n_least[static_cast<std::size_t>(index)];
      if (least <= distance) continue;
      least = distance;
      for (const int other : before[static_cast<std::size_t>(index)]) {
        const std::uint64_t through = distance_through(network_.node(other));
        if (through < network_.least(other)) nearest.push({through, other});
      }
    }
  }

  [[nodiscard]] std::uint64_t distance_through(const RuleNetwork::Node& node) const {
    const std::uint64_t next = network_.least(node.next);
    if (node.kind == Kind::either) return std::min(next, network_.least(node.other));
    return sum(next, node.kind == Kind::byte ? 1 : network_.least(network_.rule(node.other).first));
  }

  static std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
    constexpr std::uint64_t most = std::uint64_t{1} << 60;  // rules that call each other twice soon get there
    return a == RuleNetwork::unreachable || b == RuleNetwork::unreachable ? RuleNetwork::unreachable
                                                                          : std::min(a + b, most);
  }

  /// The rules that a rule can call before it has read anything.
  [[nodiscard]] std::vector<int> left_calls(int rule) {
    std::vector<int> calls, stack{network_.rule(rule).first};
    seen_.resize(network_.nodes.size());
    while (!stack.empty()) {
      const int index = stack.back();
      stack.pop_back();
      if (std::exchange(seen_[static_cast<std::size_t>(index)], 1) != 0) continue;  // a node is in one rule only
      const RuleNetwork::Node& node = network_.node(index);
      if (node.kind == Kind::either) stack.insert(stack.end(), {node.next, node.other});
      if (node.kind != Kind::call) continue;
      calls.push_back(node.other);
      if (network_.is_nullable(node.other)) stack.push_back(node.next);
    }
    return calls;
  }

  /// Depth first; what is finished first has the largest rank.
  void find_ranks() {
    struct Visit {
      int rule;
      std::vector<int> calls;
    };
    enum class Mark : std::uint8_t { none, open, done };
    std::vector<Mark> marks(network_.rules.size(), Mark::none);
    const auto mark = [&marks](int rule) -> Mark& { return marks[static_cast<std::size_t>(rule)]; };
    network_.by_rank.assign(network_.rules.size(), 0);
    int rank = static_cast<int>(network_.rules.size());
    std::vector<Visit> path;
    const auto enter = [&](int rule) {
      mark(rule) = Mark::open;
      path.push_back({rule, left_calls(rule)});
    };
    for (int start = 0; start < static_cast<int>(network_.rules.size()); ++start) {
      if (mark(start) == Mark::none) enter(start);
      while (!path.empty()) {
        if (path.back().calls.empty()) {
          mark(path.back().rule) = Mark::done;
          network_.rules[static_cast<std::size_t>(path.back().rule)].rank = --rank;
          network_.by_rank[static_cast<std::size_t>(rank)] = path.back().rule;
          path.pop_back();
          continue;
        }
        const int next = path.back().calls.back();
        path.back().calls.pop_back();
        if (mark(next) == Mark::open) {
          std::vector<int> cycle;
          for (const Visit& visit : path) cycle.push_back(visit.rule);
          refuse_cycle({std::find(cycle.begin(), cycle.end(), next), cycle.end()});
        }
        if (mark(next) == Mark::none) enter(next);
      }
    }
  }

  [[noreturn]] void refuse_cycle(const std::vector<int>& cycle) const {
    std::string names, where;
    const RuleNetwork::Rule* named = nullptr;
    for (const int index : cycle) {
      const RuleNetwork::Rule& rule = network_.rule(index);
      if (rule.name.empty()) continue;
      if (named == nullptr) named = &rule;
      names += in_quotes(rule.name) + " -> ";
    }
    const RuleNetwork::Rule& first = named != nullptr ? *named : network_.rule(cycle.front());
    throw FormatError({path_,
                       item(first),
                       "begins with itself (left recursion)",
                       {},
                       names + in_quotes(first.name),
                       "Write it the other way round: a ::= b | a c becomes a ::= b c*."});
  }

  void find_classes() {
    std::array<bool, 257> begins{};
    begins[0] = true;
    for (const RuleNetwork::Node& node : network_.nodes) {
      if (node.kind != Kind::byte) continue;
      begins[node.bytes.first] = true;
      begins[static_cast<std::size_t>(node.bytes.last) + 1] = true;
    }
    for (std::size_t byte = 0; byte < 256; ++byte) {
      if (begins[byte]) network_.byte_of.push_back(static_cast<unsigned char>(byte));
      network_.class_of[byte] = static_cast<std::uint8_t>(network_.byte_of.size() - 1);
    }
  }

  RuleNetwork& network_;
  std::string_view path_;
  std::vector<char> seen_;  // nodes
};

}  // namespace detail
RWKV_NAMESPACE_END
