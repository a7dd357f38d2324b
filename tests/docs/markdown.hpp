// SPDX-License-Identifier: MIT
// What the tests of the documentation see in a page of Markdown: blocks of code, how they are tested, links.
#pragma once

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rwkv_test {

/// A block of code, with what the comment before it says about its test, a line for each word:
///
///   <!-- test: continue
///              check logits.size() == 3072 -->
///
/// | word              | of              | meaning                                                                |
/// | ----------------- | --------------- | ---------------------------------------------------------------------- |
/// | check EXPRESSION  | cpp             | run in a function, behind prelude.hpp; then this must be true          |
/// | continue          | cpp             | in the same function as the block before                               |
/// | file PATH         | any             | it is this file of the tree                                            |
/// | expect TEXT       | sh              | what its commands print has this in it                                 |
/// | stdin TEXT        | sh              | what its commands read                                                 |
/// | flags REASON      | sh, none        | not run; its programs, scripts, flags and presets exist                |
/// | save NAME         | any             | a file for the commands of the page that come after it                 |
/// | output            | any             | not code: what a program printed                                       |
/// | illustration WHY  | any             | not tested                                                             |
///
/// Commands (`sh`, and what is indented by four) are run one page in one folder, cmake is tried as a part of a project;
/// these need no comment. Everything else does.
struct CodeBlock {
  std::string language;
  std::string text;
  int line;  ///< of its first line of code, from 1
  std::vector<std::pair<std::string, std::string>> words = {};

  [[nodiscard]] bool has(std::string_view word) const { return find(word) != nullptr; }
  [[nodiscard]] std::string value(std::string_view word) const { return has(word) ? *find(word) : std::string(); }
  [[nodiscard]] bool is_exempt() const { return has("output") || has("illustration"); }

private:
  [[nodiscard]] const std::string* find(std::string_view word) const {
    const auto found = std::find_if(words.begin(), words.end(), [&](const auto& each) { return each.first == word; });
    return found == words.end() ? nullptr : &found->second;
  }
};

/// Where a link leads, or a piece of code inside a line.
struct InlineText {
  std::string text;
  int line;
};

struct MarkdownPage {
  std::string path;  ///< from the root of the tree
  std::vector<CodeBlock> blocks = {};
  std::vector<InlineText> links = {};
  std::vector<InlineText> code = {};
  std::vector<std::string> anchors = {};
};

[[nodiscard]] inline std::string read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

[[nodiscard]] inline std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

/// The anchor that GitHub gives a heading.
[[nodiscard]] inline std::string anchor_of(std::string_view heading) {
  std::string anchor;
  for (const char c : trimmed(heading)) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_') anchor += static_cast<char>(std::tolower(byte));
    if (c == ' ') anchor += '-';
  }
  return anchor;
}

/// Reads a page line by line.
class MarkdownReader {
public:
  [[nodiscard]] static MarkdownPage read(const std::string& path, const std::string& text) {
    MarkdownReader reader;
    reader.page_.path = path;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) reader.add(line);
    if (reader.in_fence_) throw std::runtime_error(path + ": the last block of code does not end");
    reader.find_inline();
    return std::move(reader.page_);
  }

private:
  void add(const std::string& line) {
    ++number_;
    if (in_fence_) return add_fenced(line);
    if (in_comment_ || trimmed(line).starts_with("<!--")) return add_comment(line);
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    const std::size_t fence = line.find_first_not_of(" >");
    if (fence != line.npos && std::string_view(line).substr(fence).starts_with("```")) return begin_fence(line, fence);
    const std::string content = trimmed(line);
    if (indent >= 4 && !content.empty() && !in_list_ && (is_blank_ || in_indented_)) return add_indented(line);
    if (!content.empty()) {
      in_list_ = is_list_item(content) || (in_list_ && indent > 0);
      in_indented_ = false;
      words_.clear();  // a comment speaks of what follows it
    }
    if (content.starts_with("#")) page_.anchors.push_back(anchor_of(content.substr(content.find_first_not_of('#'))));
    is_blank_ = content.empty();
    prose_ += line + "\n";
  }

  void add_comment(const std::string& line) {
    comment_ += line + "\n";
    in_comment_ = line.find("-->") == line.npos;
    prose_ += "\n";
    if (in_comment_) return;
    constexpr std::string_view mark = "<!-- test:";
    const std::size_t begin = comment_.find(mark);
    if (begin != comment_.npos) {
      std::istringstream lines(comment_.substr(begin + mark.size(), comment_.find("-->") - begin - mark.size()));
      for (std::string each; std::getline(lines, each);) {
        const std::string word = trimmed(each).substr(0, trimmed(each).find(' '));
        if (!word.empty()) words_.emplace_back(word, trimmed(trimmed(each).substr(word.size())));
      }
    }
    comment_.clear();
    is_blank_ = true;
  }

  void begin_fence(const std::string& line, std::size_t indent) {
    in_fence_ = true;
    in_indented_ = false;
    indent_ = indent;
    page_.blocks.push_back(
        {trimmed(line.substr(line.find_first_not_of('`', indent) == line.npos ? line.size()
                                                                              : line.find_first_not_of('`', indent))),
         "", number_ + 1, std::exchange(words_, {})});
    prose_ += "\n";
  }

  void add_fenced(const std::string& line) {
    prose_ += "\n";
    const std::string content = line.size() > indent_ ? line.substr(indent_) : trimmed(line);
    in_fence_ = !content.starts_with("```");
    if (in_fence_) page_.blocks.back().text += content + "\n";
    is_blank_ = false;
  }

  void add_indented(const std::string& line) {
    prose_ += "\n";
    if (!in_indented_) page_.blocks.push_back({"sh", "", number_, std::exchange(words_, {})});
    in_indented_ = true;
    page_.blocks.back().text += line.substr(4) + "\n";
  }

  [[nodiscard]] static bool is_list_item(const std::string& content) {
    const std::size_t digits = content.find_first_not_of("0123456789");
    return content.starts_with("- ") || content.starts_with("* ") ||
           (digits > 0 && digits != content.npos && content.substr(digits).starts_with(". "));
  }

  /// Links and code in what is not a block.
  void find_inline() {
    int line = 1;
    for (std::size_t i = 0; i < prose_.size(); ++i) {
      line += prose_[i] == '\n' ? 1 : 0;
      if (prose_[i] == '`') {
        const std::size_t end = std::min(prose_.find('`', i + 1), prose_.size());
        page_.code.push_back({prose_.substr(i + 1, end - i - 1), line});
        line += static_cast<int>(std::count(prose_.begin() + static_cast<std::ptrdiff_t>(i),
                                            prose_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
        i = end;
      } else if (prose_.compare(i, 2, "](") == 0) {
        page_.links.push_back({prose_.substr(i + 2, prose_.find(')', i) - i - 2), line});
      }
    }
  }

  MarkdownPage page_;
  std::string prose_, comment_;  // prose_ has a line for each of the page
  std::vector<std::pair<std::string, std::string>> words_;
  std::size_t indent_ = 0;
  int number_ = 0;
  bool in_fence_ = false, in_comment_ = false, in_indented_ = false, in_list_ = false, is_blank_ = true;
};

/// Why the blocks of a page would not be tested, a line for each: nothing, as it should be.
[[nodiscard]] inline std::string untested_blocks(const MarkdownPage& page) {
  std::string complaints;
  const auto complain = [&](const CodeBlock& block, const std::string& what) {
    complaints += page.path + ":" + std::to_string(block.line) + ": " + what + "\n";
  };
  for (auto block = page.blocks.begin(); block != page.blocks.end(); ++block) {
    for (const auto& [word, value] : block->words) {
      const bool needs_value = word != "output" && word != "continue";
      if (needs_value && value.empty()) complain(*block, "the word " + word + " says nothing");
    }
    if (block->has("save")) {
      const std::string name = block->value("save");
      const bool is_used = std::any_of(block + 1, page.blocks.end(), [&](const CodeBlock& later) {
        return (later.language == "sh" || later.language == "cpp") && later.text.find(name) != std::string::npos;
      });
      if (!is_used) complain(*block, "no later block uses the file " + name);
      continue;
    }
    const bool has_test =
        block->has("file") || block->has("flags") || block->language == "cmake" || block->language == "sh";
    if (block->is_exempt() || has_test) continue;
    if (block->language != "cpp") {
      complain(*block, "a block of '" + block->language + "' has no test, and is not marked as output or illustration");
    } else if (!block->has("check")) {
      complain(*block, "a block of C++ has no check");
    }
  }
  return complaints;
}

}  // namespace rwkv_test
