// SPDX-License-Identifier: MIT
#include "rwkv/session/token_tree.hpp"

#include "support/support.hpp"

using namespace rwkv;

namespace {

using Tokens = std::vector<Token>;

}  // namespace

TEST_SUITE_BEGIN("session/token_tree");

TEST_CASE("a text grows on its line, and one that leaves it begins a line of its own") {
  TokenTree tree;
  const TextPlace abc = tree.append({}, Tokens{1, 2, 3});
  const TextPlace abcd = tree.append(abc, Tokens{4});
  CHECK(abcd == TextPlace{0, 4});
  const TextPlace abx = tree.append({0, 2}, Tokens{9, 8});
  CHECK(abx == TextPlace{1, 4});
  CHECK(tree.tokens(abcd) == Tokens{1, 2, 3, 4});
  CHECK(tree.tokens(abx) == Tokens{1, 2, 9, 8});
  CHECK(tree.tokens(abx, 1) == Tokens{2, 9, 8});
  CHECK(tree.tokens(abx, 3) == Tokens{8});
  CHECK(tree.tokens(abx, 4).empty());
  CHECK(tree.n_tokens() == 6);
  CHECK(tree.append(abx, {}) == abx);
}

TEST_CASE("a place before the branch is the same text on both lines") {
  TokenTree tree;
  tree.append({}, Tokens{1, 2, 3});
  const TextPlace branch = tree.append({0, 2}, Tokens{9});
  CHECK(tree.normalised({branch.line, 1}) == TextPlace{0, 1});
  CHECK(tree.normalised({branch.line, 2}) == TextPlace{0, 2});
  CHECK(tree.normalised(branch) == branch);
  // What is added there is added to the line that ends there, or else branches off.
  CHECK(tree.append({branch.line, 2}, Tokens{7}) == TextPlace{2, 3});
  CHECK(tree.lines().back().parent == 0);
}

TEST_CASE("which texts lead to which") {
  TokenTree tree;
  const TextPlace main = tree.append({}, Tokens{1, 2, 3, 4});
  const TextPlace branch = tree.append({0, 2}, Tokens{9, 9});
  const TextPlace twig = tree.append({branch.line, 3}, Tokens{5});
  CHECK(tree.leads_to({0, 0}, twig));
  CHECK(tree.leads_to({0, 2}, twig));
  CHECK(tree.leads_to({branch.line, 3}, twig));
  CHECK(tree.leads_to(twig, twig));
  CHECK_FALSE(tree.leads_to({0, 3}, twig));
  CHECK_FALSE(tree.leads_to(branch, twig));
  CHECK_FALSE(tree.leads_to(main, branch));
  CHECK(tree.is_way({0, 1}, twig, Tokens{2, 9, 5, 77}));
  CHECK_FALSE(tree.is_way({0, 1}, twig, Tokens{2, 9}));
  CHECK_FALSE(tree.is_way({0, 1}, twig, Tokens{3, 9, 5}));
  CHECK_FALSE(tree.is_way({0, 1}, twig, Tokens{2, 9, 6}));
  CHECK(tree.is_way(twig, twig, {}));
}

TEST_CASE("lines are forgotten by age, but never the way to the present text") {
  TokenTree tree;
  tree.append({}, Tokens{1, 2, 3});                             // 3 tokens
  const TextPlace old = tree.append({0, 1}, Tokens{4, 4});      // 2
  const TextPlace young = tree.append({0, 1}, Tokens{5});       // 1
  const TextPlace present = tree.append({0, 2}, Tokens{6, 6});  // 2
  const TextPlace leaf = tree.append(young, {});
  CHECK_FALSE(tree.forget(8, present));
  CHECK(tree.forget(7, present));
  CHECK_FALSE(tree.contains(old));
  CHECK(tree.contains(leaf));
  CHECK(tree.forget(0, present));
  CHECK_FALSE(tree.contains(young));
  CHECK(tree.tokens(present) == Tokens{1, 2, 6, 6});
  CHECK(tree.contains({0, 3}));
  CHECK_FALSE(tree.contains({0, 4}));
  CHECK_FALSE(tree.contains({0, -1}));
  // A number is never used again.
  CHECK(tree.append({0, 1}, Tokens{7}).line > present.line);
}

TEST_CASE("a branch that is forgotten takes its twigs with it first, and many lines take no longer than their number") {
  TokenTree tree;
  constexpr Index n_lines = 200'000;
  const TextPlace present = tree.append({}, Tokens{1, 2, 3});
  TextPlace place{0, 1};
  for (Index i = 0; i < n_lines; ++i) {
    const TextPlace end = tree.append(place, Tokens{4, 5});
    place = i % 1000 == 999 ? TextPlace{0, 1} : TextPlace{end.line, end.position - 1};  // each line leaves the last one
  }
  CHECK(tree.n_tokens() == 3 + 2 * n_lines);
  CHECK(tree.forget(3 + 1000, present));
  CHECK(tree.n_tokens() == 3 + 1000);
  CHECK(tree.tokens(present) == Tokens{1, 2, 3});
  for (const TokenTree::Line& line : tree.lines()) {
    if (line.parent >= 0) CHECK(tree.contains({line.parent, line.begin}));
  }
}

TEST_CASE("what is touched is young") {
  TokenTree tree;
  const TextPlace present = tree.append({}, Tokens{1, 2, 3});
  const TextPlace first = tree.append({0, 1}, Tokens{4}), second = tree.append({0, 1}, Tokens{5});
  tree.touch(first);
  CHECK(tree.forget(4, present));
  CHECK(tree.contains(first));
  CHECK_FALSE(tree.contains(second));
}

TEST_SUITE_END();
