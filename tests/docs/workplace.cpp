// SPDX-License-Identifier: MIT
#include "docs/workplace.hpp"

#include <array>

#include "examples/program.hpp"

namespace fs = std::filesystem;

namespace rwkv_test {
namespace {

const fs::path program_folder = fs::path(RWKV_PROGRAM).parent_path();

/// Puts what the library needs into an empty folder, and installs it beside, where it is asked for.
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

/// Words of a command, without the brackets and bars of a synopsis.
std::vector<std::string> words_of(std::string command) {
  for (char& c : command) {
    if (std::string_view("[]|\"'()").find(c) != std::string_view::npos) c = ' ';
  }
  std::istringstream stream(command);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// "--flag" of "--flag=value" and "--flag...", "-n" of "-n"; nothing of other words, numbers among them.
std::string flag_of(const std::string& word) {
  const std::size_t first = word.find_first_not_of('-');
  if (first == word.npos || first == 0 || std::isalpha(static_cast<unsigned char>(word[first])) == 0) return {};
  if (first == 1) return word.substr(0, 2);
  return word.substr(0, word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_"));
}

bool has_word(const std::string& text, const std::string& word) {
  constexpr std::string_view of_words = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool begins = at == 0 || of_words.find(text[at - 1]) == of_words.npos;
    if (begins && (end == text.size() || of_words.find(text[end]) == of_words.npos)) return true;
  }
  return false;
}

/// What CMake knows: its files, one after the other, and the presets.
const std::string& cmake_text() {
  static const std::string text = [] {
    std::string all = read_whole(in_tree("CMakePresets.json"));
    for (const char* file :
         {"CMakeLists.txt", "tests/CMakeLists.txt", "tests/fuzz/CMakeLists.txt", "bench/CMakeLists.txt",
          "examples/CMakeLists.txt", "docs/CMakeLists.txt", "cmake/warnings.cmake"}) {
      all += read_whole(in_tree(file));
    }
    return all;
  }();
  return text;
}

std::string wrong_flags(const std::vector<std::string>& words, std::size_t first, const std::string& known) {
  std::string wrong;
  for (std::size_t i = first; i < words.size(); ++i) {
    const std::string flag = flag_of(words[i]);
    if (!flag.empty() && !has_word(known, flag)) wrong += words[0] + " has no " + flag + "\n";
  }
  return wrong;
}

std::string wrong_rwkv(const std::vector<std::string>& words) {
  if (words.size() < 2 || words[1] == "COMMAND" || words[1].starts_with("-")) return {};
  std::string command = words[1];
  if (command == "eval" && words.size() > 2) command += " " + words[2];
  static std::vector<std::pair<std::string, Result>> helps;
  auto help = std::find_if(helps.begin(), helps.end(), [&](const auto& each) { return each.first == command; });
  if (help == helps.end()) help = helps.insert(helps.end(), {command, program(command + " --help")});
  if (help->second.out.find("Usage: rwkv " + command) == std::string::npos)
    return "rwkv has no command " + command + "\n";
  return wrong_flags(words, 2, help->second.out);
}

std::string wrong_cmake(const std::vector<std::string>& words) {
  std::string wrong;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const bool is_name = words[i - 1] == "--preset" || words[i - 1] == "--target";
    const bool is_variable = words[i].starts_with("-DRWKV_");
    const std::string name = is_name ? words[i] : is_variable ? words[i].substr(2, words[i].find('=') - 2) : "";
    if (!name.empty() && !has_word(cmake_text(), name)) wrong += words[0] + " knows nothing of " + name + "\n";
  }
  return wrong;
}

std::string wrong_script(const std::vector<std::string>& words, const std::string& folder) {
  for (const std::string& path : {in_tree(words[1]), in_tree(folder + "/" + words[1])}) {
    if (fs::exists(path)) return wrong_flags(words, 2, read_whole(path));
  }
  return "there is no " + words[1] + "\n";
}

std::string wrong_command(std::vector<std::string> words, const std::string& folder) {
  while (!words.empty() && words[0].find('=') != std::string::npos) words.erase(words.begin());  // NAME=value
  if (words.empty()) return {};
  const std::string name = fs::path(words[0]).filename().string();
  if (name == "rwkv") return wrong_rwkv(words);
  if (name == "cmake" || name == "ctest") return wrong_cmake(words);
  if ((name == "sh" || name == "python3") && words.size() > 1) return wrong_script(words, folder);
  if (words[0].starts_with("build/")) return has_word(cmake_text(), name) ? "" : "no target makes " + words[0] + "\n";
  constexpr std::array known{"cd", "git", "curl", "cat", "ls", "apt-get", "export", "diff"};
  return std::find(known.begin(), known.end(), name) == known.end() ? "nothing is known of " + words[0] + "\n" : "";
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
  write_file("text.txt", read_whole("tests/data/fairy-tales.txt").substr(0, 800));
}

Workplace::~Workplace() {
  fs::current_path(before_);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string wrong_commands(const std::string& text, const std::string& folder) {
  std::string wrong, line;
  std::istringstream lines(text);
  for (std::string part; std::getline(lines, part);) {
    const std::string content = trimmed(part);
    line += content.substr(0, std::min(content.find(" #"), content.find("    ")));  // a comment, or an explanation
    if (line.ends_with("\\")) {
      line.back() = ' ';
      continue;
    }
    if (line.starts_with("#")) line.clear();
    for (std::size_t end = 0; !line.empty(); line.erase(0, end)) {  // at && and ;
      const std::size_t next = std::min(line.find("&&"), line.find("; "));
      wrong += wrong_command(words_of(line.substr(0, next)), folder);
      end = next == line.npos ? line.size() : next + 2;
    }
  }
  return wrong;
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
