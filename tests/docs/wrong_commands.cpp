// SPDX-License-Identifier: MIT
// What is wrong with commands in the documentation, found without running them, and the tests of that.
#include <array>

#include "docs/workplace.hpp"
#include "examples/program.hpp"

namespace fs = std::filesystem;

namespace rwkv_test {
namespace {

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

/// bench_NAME is made of bench/NAME.cpp, in a loop.
bool is_known(const std::string& name) {
  const bool is_bench = name.starts_with("bench_") && fs::exists(in_tree("bench/" + name.substr(6) + ".cpp"));
  return is_bench || has_word(cmake_text(), name);
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
  const bool is_command = help->second.out.find("Usage: rwkv " + command) != std::string::npos;
  if (!is_command) return "rwkv has no command " + command + "\n";
  return wrong_flags(words, 2, help->second.out);
}

std::string wrong_cmake(const std::vector<std::string>& words) {
  std::string wrong;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const bool is_name = words[i - 1] == "--preset" || words[i - 1] == "--target";
    const bool is_variable = words[i].starts_with("-DRWKV_");
    const std::string name = is_name ? words[i] : is_variable ? words[i].substr(2, words[i].find('=') - 2) : "";
    if (!name.empty() && !is_known(name)) wrong += words[0] + " knows nothing of " + name + "\n";
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
  if (words[0].starts_with("build/")) return is_known(name) ? "" : "no target makes " + words[0] + "\n";
  constexpr std::array known{"cd", "git", "curl", "cat", "ls", "apt-get", "export", "diff"};
  return std::find(known.begin(), known.end(), name) == known.end() ? "nothing is known of " + words[0] + "\n" : "";
}

}  // namespace

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

}  // namespace rwkv_test

using rwkv_test::wrong_commands;

TEST_SUITE_BEGIN("docs");

TEST_CASE("commands: flags that the program has not are found, in synopses, too") {
  CHECK(wrong_commands("rwkv chat -m MODEL [--system TEXT]    --what stands here explains", "") == "");
  CHECK(wrong_commands("rwkv chat --sistem TEXT", "") == "rwkv has no --sistem\n");
  CHECK(wrong_commands("rwkv eval perplexity|lambada FILE [--against MODEL]", "") == "");
  CHECK(wrong_commands("build/compiled/bin/rwkv bench -q  # quickly", "") == "build/compiled/bin/rwkv has no -q\n");
  CHECK(wrong_commands("rwkv sing", "") == "rwkv has no command sing\n");
}

TEST_CASE("commands: scripts, their flags, presets, targets and variables that do not exist are found") {
  CHECK(wrong_commands("sh cmake/demo.sh", "") == "");
  CHECK(wrong_commands("python3 train.py --text a \\\n    --vocab b", "examples/train") == "");
  CHECK(wrong_commands("sh cmake/opera.sh", "") == "there is no cmake/opera.sh\n");
  CHECK(wrong_commands("python3 bench/pictures.py --loud", "") == "python3 has no --loud\n");
  CHECK(wrong_commands("cmake --preset release && ctest --preset debug", "") == "ctest knows nothing of debug\n");
  CHECK(wrong_commands("cmake -DRWKV_FAST=ON --build --target rwkv_cli", "") == "cmake knows nothing of RWKV_FAST\n");
  CHECK(wrong_commands("CC=clang frobnicate x", "") == "nothing is known of frobnicate\n");
}

TEST_SUITE_END();
