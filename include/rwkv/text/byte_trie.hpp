// SPDX-License-Identifier: MIT
// The tokens of a vocabulary as a tree of bytes, in flat arrays.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Finds the longest token at the front of a text. Immutable; 9 bytes for each node.
///
/// Nodes are numbered level by level, so the children of a node are neighbours, ordered by byte, and those of the next
/// node follow: one number for each node says where they begin.
class ByteTrie {
public:
  /// A token and its bytes.
  struct Entry {
    std::string_view bytes;
    Token token;
  };
  /// A token and its number of bytes; 0 bytes for no match.
  struct Match {
    Token token;
    std::size_t n_bytes;
  };

  ByteTrie() : ByteTrie(std::span<const Entry>()) {}

  /// The entries must be sorted by their bytes, and no two may have the same. Keeps no reference to them.
  explicit ByteTrie(std::span<const Entry> sorted) {
    struct Node {
      std::size_t begin, end, depth;  // the entries that share the `depth` bytes which lead to this node
    };
    std::vector<Node> nodes{{0, sorted.size(), 0}};
    labels_.push_back(0);                             // of the root: unused
    for (std::size_t i = 0; i < nodes.size(); ++i) {  // grows while it runs
      auto [begin, end, depth] = nodes[i];
      first_child_.push_back(static_cast<std::uint32_t>(nodes.size()));
      const bool ends_here = begin < end && sorted[begin].bytes.size() == depth;
      tokens_.push_back(ends_here ? sorted[begin++].token : none);
      while (begin < end) {
        const std::size_t first = begin;
        const char label = sorted[first].bytes[depth];
        while (begin < end && sorted[begin].bytes[depth] == label) ++begin;
        labels_.push_back(static_cast<unsigned char>(label));
        nodes.push_back({first, begin, depth + 1});
      }
    }
    first_child_.push_back(static_cast<std::uint32_t>(nodes.size()));
  }

  /// The longest token that `text` begins with.
  [[nodiscard]] Match longest_match(std::string_view text) const noexcept {
    Match match{none, 0};
    std::size_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node == 0) break;
      if (tokens_[node] != none) match = {tokens_[node], i + 1};
    }
    return match;
  }

  static constexpr Token none = -1;

  /// The nodes, for those who walk the tree themselves: 0 is the root, and children come after their parents.
  [[nodiscard]] std::size_t n_nodes() const noexcept { return labels_.size(); }
  /// The children of a node are those from begin to end - 1, in the order of their labels.
  struct Children {
    std::uint32_t begin, end;
  };
  [[nodiscard]] Children children(std::size_t node) const noexcept {
    return {first_child_[node], first_child_[node + 1]};
  }
  /// The byte that leads from its parent to a node; of the root: 0.
  [[nodiscard]] unsigned char label(std::size_t node) const noexcept { return labels_[node]; }
  /// The token that ends at a node, or none.
  [[nodiscard]] Token token(std::size_t node) const noexcept { return tokens_[node]; }

private:
  /// The child of a node for a byte; the root, which is nobody's child, if there is none.
  [[nodiscard]] std::size_t child(std::size_t node, unsigned char byte) const noexcept {
    const std::size_t begin = first_child_[node], end = first_child_[node + 1];
    if (end - begin == 256) return begin + byte;  // the root of every complete vocabulary
    const auto last = labels_.begin() + static_cast<Index>(end);
    const auto found = std::lower_bound(labels_.begin() + static_cast<Index>(begin), last, byte);
    return found != last && *found == byte ? static_cast<std::size_t>(found - labels_.begin()) : 0;
  }

  std::vector<unsigned char> labels_;       // the byte that leads from the parent to each node
  std::vector<std::uint32_t> first_child_;  // for each node, and one more: the end
  std::vector<Token> tokens_;               // that ends at each node, or none
};

RWKV_NAMESPACE_END
