// SPDX-License-Identifier: MIT
// Writes the tests of the documentation: a function for each block of C++ in the pages, a test for the commands of each
// page. Usage: write_tests ROOT OUT PAGE...
#include <exception>
#include <filesystem>
#include <iostream>

#include "docs/markdown.hpp"

namespace {

using namespace rwkv_test;

class Writer {
public:
  explicit Writer(std::string root) : root_(std::move(root)) {}

  void add(const std::string& path) {
    const MarkdownPage page = MarkdownReader::read(path, read_whole(root_ + "/" + path));
    bool has_commands = false;
    for (const CodeBlock& block : page.blocks) {
      has_commands = has_commands || block.language == "sh" || block.language == "cmake";
      if (block.language == "cpp" && block.has("check")) add(path, block);
    }
    end_test();
    out_ << "TEST_CASE(\"" << path << ": blocks, links and flags\") { rwkv_test::check_page(\"" << path << "\"); }\n\n";
    if (has_commands)
      out_ << "TEST_CASE(\"" << path << ": its commands run\") { rwkv_test::run_commands(\"" << path << "\"); }\n\n";
  }

  [[nodiscard]] std::string text() {
    return "#include \"docs/page_tests.hpp\"\n\nTEST_SUITE_BEGIN(\"docs\");\n\n" + out_.str();
  }

private:
  void add(const std::string& path, const CodeBlock& block) {
    if (!block.has("continue")) {
      end_test();
      out_ << "TEST_CASE(\"" << path << ": the C++ of line " << block.line << "\") {\n"
           << "const rwkv_test::Workplace workplace;\n#include \"docs/prelude.hpp\"\n";
      is_open_ = true;
    }
    out_ << "#line " << block.line << " \"" << root_ << "/" << path << "\"\n" << block.text;
    for (const auto& [word, value] : block.words) {
      if (word == "check") out_ << "CHECK((" << value << "));\n";
    }
  }

  void end_test() {
    if (is_open_) out_ << "}\n\n";
    is_open_ = false;
  }

  std::string root_;
  std::ostringstream out_;
  bool is_open_ = false;
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw std::runtime_error("usage: write_tests ROOT OUT PAGE...");
  Writer writer(argv[1]);
  for (int i = 3; i < argc; ++i) writer.add(argv[i]);
  std::ofstream out(argv[2], std::ios::binary);
  out << writer.text();
  return out.flush() ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "write_tests: " << error.what() << '\n';
  return 1;
}
