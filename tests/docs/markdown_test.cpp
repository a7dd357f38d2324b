// SPDX-License-Identifier: MIT
// The tests of the documentation see every block, and complain of those that would not be tested.
#include "docs/markdown.hpp"

#include "support/support.hpp"

using rwkv_test::CodeBlock;
using rwkv_test::MarkdownPage;
using rwkv_test::MarkdownReader;
using rwkv_test::untested_blocks;

namespace {

MarkdownPage page(const std::string& text) { return MarkdownReader::read("page.md", text); }

}  // namespace

TEST_SUITE_BEGIN("docs/markdown");

TEST_CASE("fences give blocks with their language, their text and its line") {
  const MarkdownPage read = page("# Head\n\n```cpp\nint i;\n\n  int j;\n```\ntext\n> ```\n> quoted\n> ```\n");
  REQUIRE(read.blocks.size() == 2);
  CHECK(read.blocks[0].language == "cpp");
  CHECK(read.blocks[0].text == "int i;\n\n  int j;\n");
  CHECK(read.blocks[0].line == 4);
  CHECK(read.blocks[1].language == "");
  CHECK(read.blocks[1].text == "quoted\n");
}

TEST_CASE("what is indented by four is a block of commands, but not in a list") {
  const MarkdownPage read = page("text\n\n    rwkv bench\n\n    rwkv chat\n\n- an item\n\n    more of it\n\nend\n");
  REQUIRE(read.blocks.size() == 1);
  CHECK(read.blocks[0].language == "sh");
  CHECK(read.blocks[0].text == "rwkv bench\nrwkv chat\n");
  CHECK(read.blocks[0].line == 3);
}

TEST_CASE("the comment before a block says how it is tested") {
  const MarkdownPage read = page("<!-- test: expect none\n     check a == b -->\n\n```cpp\n```\n\n```cpp\n```\n");
  REQUIRE(read.blocks.size() == 2);
  CHECK(read.blocks[0].value("expect") == "none");
  CHECK(read.blocks[0].value("check") == "a == b");
  CHECK(read.blocks[1].words.empty());
}

TEST_CASE("a comment does not reach past text") {
  CHECK(page("<!-- test: output -->\ntext\n\n```\n```\n").blocks.at(0).words.empty());
}

TEST_CASE("links and code are found in lines, and not in blocks") {
  const MarkdownPage read = page("[a](b.md#c) and `rwkv chat`\n```sh\n[x](y) `z`\n```\n![p](q.svg)\n");
  REQUIRE(read.links.size() == 2);
  CHECK(read.links[0].text == "b.md#c");
  CHECK(read.links[1].text == "q.svg");
  CHECK(read.links[1].line == 5);
  REQUIRE(read.code.size() == 1);
  CHECK(read.code[0].text == "rwkv chat");
}

TEST_CASE("headings have the anchors that GitHub gives them") {
  CHECK(page("## One file, `two` uses\n").anchors.at(0) == "one-file-two-uses");
}

TEST_CASE("a block that would not be tested is complained of") {
  CHECK(untested_blocks(page("```\nx\n```\n")).starts_with("page.md:2: "));
  CHECK(untested_blocks(page("```json\n{}\n```\n")).find("'json' has no test") != std::string::npos);
  CHECK(untested_blocks(page("```cpp\nint i;\n```\n")).find("no check") != std::string::npos);
  CHECK(untested_blocks(page("<!-- test: illustration -->\n```\nx\n```\n")).find("says nothing") != std::string::npos);
  CHECK(untested_blocks(page("<!-- test: save a.json -->\n```json\n{}\n```\n")).find("a.json") != std::string::npos);
}

TEST_CASE("blocks that are tested, and those that are marked, are not complained of") {
  CHECK(untested_blocks(page("```sh\nrwkv chat\n```\n\n    rwkv bench\n\n```cmake\nproject(x)\n```\n")) == "");
  CHECK(untested_blocks(page("<!-- test: check i == 0 -->\n```cpp\nint i = 0;\n```\n")) == "");
  CHECK(untested_blocks(page("<!-- test: output -->\n```\nhello\n```\n")) == "");
  CHECK(untested_blocks(page("<!-- test: save a -->\n```json\n{}\n```\n\n```sh\ncat a\n```\n")) == "");
}

TEST_CASE("a fence that does not end is refused") {
  CHECK_THROWS_WITH(page("```sh\nrwkv\n"), doctest::Contains("does not end"));
}

TEST_SUITE_END();
