// SPDX-License-Identifier: MIT
// Runs the program `rwkv` as a user does.
#pragma once

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "support/temporary_folder.hpp"

namespace rwkv_test {

struct Result {
  int status;
  std::string out;
  std::string err;
};

/// Runs a command line of a shell.
inline Result shell(const std::string& command) {
  const TemporaryFile out(".out"), err(".err");
  const int status = std::system(("( " + command + " ) >" + out.path() + " 2>" + err.path()).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out.path()),
          read_file(err.path())};
}

inline Result program(const std::string& arguments) { return shell(std::string(RWKV_PROGRAM) + " " + arguments); }

/// Runs the program and expects one line on standard error with this phrase, and nothing on standard output.
inline void check_error(const std::string& arguments, int status, const std::string& phrase) {
  CAPTURE(arguments);
  const Result result = program(arguments);
  CAPTURE(result.err);
  CHECK(result.status == status);
  CHECK(result.out.empty());
  CHECK(result.err.starts_with("rwkv: "));
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK(result.err.find(phrase) != std::string::npos);
}

}  // namespace rwkv_test
