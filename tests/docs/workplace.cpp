// SPDX-License-Identifier: MIT
#include "docs/workplace.hpp"

#include "examples/program.hpp"

namespace fs = std::filesystem;

namespace rwkv_test {
namespace {

const fs::path program_folder = fs::path(RWKV_PROGRAM).parent_path();

/// Writes a project that has the tree as its folder rwkv.hpp, and a piece of CMake behind its target.
void write_project(const fs::path& folder, const std::string& block) {
  fs::create_directories(folder);
  fs::create_directory_symlink(RWKV_TREE, folder / "rwkv.hpp");
  write_file((folder / "main.cpp").string(), "int main() {}\n");
  write_file((folder / "CMakeLists.txt").string(),
             "cmake_minimum_required(VERSION 3.24)\nproject(my_program LANGUAGES CXX)\n"
             "add_executable(my_program main.cpp)\n" +
                 block);
}

/// Configures a project with a piece of CMake in it: all targets and options in it must exist.
void try_cmake(const CodeBlock& block) {
  const fs::path folder = fs::current_path() / ("cmake-" + std::to_string(block.line));
  write_project(folder, block.text);
  if (block.text.find("find_package(rwkv") != std::string::npos) {
    const Result installed = shell("cmake --install " RWKV_BUILD " --prefix " + (folder / "prefix").string());
    CAPTURE(installed.err);
    REQUIRE(installed.status == 0);
  }
  const Result result = shell("cmake -S " + folder.string() + " -B " + (folder / "build").string() +
                              " -DCMAKE_PREFIX_PATH=" + (folder / "prefix").string() + " " RWKV_CMAKE_OPTIONS);
  CAPTURE(result.err);
  CHECK(result.status == 0);
}

void run_block(const CodeBlock& block) {
  write_file("block.sh", block.text);
  write_file("block.in", block.value("stdin") + (block.has("stdin") ? "\n" : ""));
  const Result result =
      shell("unset RWKV_MODEL RWKV_TOKENIZER; PATH=" + program_folder.string() + ":$PATH sh -eu block.sh <block.in");
  CAPTURE(result.out);
  CAPTURE(result.err);
  CHECK(result.status == 0);
  if (block.has("expect")) CHECK((result.out + result.err).find(block.value("expect")) != std::string::npos);
}

/// A source file without the comment it begins with.
std::string without_head(const std::string& text) {
  std::size_t begin = 0;
  while (text.compare(begin, 2, "//") == 0) begin = text.find('\n', begin) + 1;
  return text.substr(begin);
}

/// Whether a file of the tree, and a heading in it if one is named, is where a link leads. Other sites are not asked.
bool leads_somewhere(const std::string& link, const MarkdownPage& page) {
  if (link.find("://") != link.npos) return true;
  const std::size_t mark = std::min(link.find('#'), link.size());
  const fs::path target = mark == 0 ? fs::path(page.path) : fs::path(page.path).parent_path() / link.substr(0, mark);
  if (!fs::exists(in_tree(target.string()))) return false;
  if (mark == link.size()) return true;
  const std::vector<std::string> anchors = read_page(target.string()).anchors;
  return std::find(anchors.begin(), anchors.end(), link.substr(mark + 1)) != anchors.end();
}

}  // namespace

Workplace::Workplace() : before_(fs::current_path()) {
  static int counter = 0;
  folder_ = fs::temp_directory_path() / ("rwkv-docs-" + std::to_string(::getpid()) + "-" + std::to_string(counter++));
  fs::create_directories(folder_ / "build" / "compiled");
  fs::create_directory_symlink(program_folder, folder_ / "build" / "compiled" / "bin");
  for (const char* name : {"bench", "cmake", "docs", "examples", "include", "tests", "CMakePresets.json"}) {
    fs::create_symlink(in_tree(name), folder_ / name);
  }
  fs::current_path(folder_);
  fs::copy_file("examples/models/fairy-tales-v7.safetensors", "alone.safetensors");  // no vocabulary is beside it
  REQUIRE(program("convert alone.safetensors model.pth").status == 0);
  fs::remove("alone.safetensors");
  fs::copy_file("examples/models/fairy-tales.vocab", "rwkv_vocab_v20230424.txt");
  const std::string tales = read_whole("tests/data/fairy-tales.txt");
  write_file("text.txt", tales.substr(0, 800));
  write_file("other.txt", tales.substr(800, 800));
}

Workplace::~Workplace() {
  fs::current_path(before_);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void check_page(const std::string& path) {
  const MarkdownPage page = read_page(path);
  const fs::path folder = fs::path(path).parent_path();
  CHECK(untested_blocks(page) == "");
  for (const CodeBlock& block : page.blocks) {
    INFO(path << ":" << block.line);
    if (block.has("file")) CHECK(without_head(read_whole(in_tree(block.value("file")))) == block.text);
  }
  for (const InlineText& link : page.links) {
    INFO(path << ":" << link.line << ": " << link.text);
    CHECK(leads_somewhere(link.text, page));
  }
  for (const InlineText& code : page.code) {
    INFO(path << ":" << code.line << ": " << code.text);
    if (code.text.starts_with("rwkv ")) CHECK(wrong_commands(code.text, folder.string()) == "");
  }
}

void run_commands(const std::string& path) {
  const Workplace workplace;
  for (const CodeBlock& block : read_page(path).blocks) {
    INFO(path << ":" << block.line);
    if (block.has("save")) write_file(block.value("save"), block.text);
    if (block.is_exempt()) continue;
    if (block.has("flags")) {
      CHECK(wrong_commands(block.text, fs::path(path).parent_path().string()) == "");
    } else if (block.language == "sh") {
      run_block(block);
    } else if (block.language == "cmake") {
      try_cmake(block);
    }
  }
}

}  // namespace rwkv_test
