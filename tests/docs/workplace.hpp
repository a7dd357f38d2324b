// SPDX-License-Identifier: MIT
// Where the code of the documentation runs, and what runs its commands.
#pragma once

#include <filesystem>
#include <string>

#include "docs/markdown.hpp"

namespace rwkv_test {

/// A file of the source tree.
[[nodiscard]] inline std::string in_tree(const std::string& path) { return std::string(RWKV_TREE) + "/" + path; }

[[nodiscard]] inline MarkdownPage read_page(const std::string& path) {
  return MarkdownReader::read(path, read_whole(in_tree(path)));
}

/// Makes a folder the current one, until it goes. It looks as the tree of a user who has built the program and put a
/// model there: build/compiled/bin, model.pth, the vocabulary of its family under the name of the World vocabulary, and
/// text.txt and other.txt, some hundred characters; model.pth is the model of the program.
class Workplace {
public:
  Workplace();
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;
  ~Workplace();

private:
  std::filesystem::path before_, folder_;
};

/// Checks what can be seen in a page: that every block of code has a test, that quoted files are as quoted, that links
/// lead to files and headings of the tree, that the commands `rwkv ...` in its lines have the flags that are given
/// them.
void check_page(const std::string& path);

/// Runs the commands of a page and tries its pieces of CMake, and expects of each what its comment says.
void run_commands(const std::string& path);

/// What is wrong with the commands in a text, which are not run: programs, scripts, flags, presets and variables that
/// do not exist, a line for each. `folder` is that of the page.
[[nodiscard]] std::string wrong_commands(const std::string& text, const std::string& folder);

}  // namespace rwkv_test
