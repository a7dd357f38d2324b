// SPDX-License-Identifier: MIT
// The program as a person runs it: in a terminal.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>

#include "rwkv/core/error.hpp"
#include "support/support.hpp"

namespace rwkv_test {

/// The program in a terminal of its own.
class Terminal {
public:
  explicit Terminal(const std::string& arguments) : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    REQUIRE(master_ >= 0);
    REQUIRE(::grantpt(master_) == 0);
    REQUIRE(::unlockpt(master_) == 0);
    const std::string name = ::ptsname(master_), command = "exec " + std::string(RWKV_PROGRAM) + " " + arguments;
    slave_ = ::open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(::tcgetattr(slave_, &before_) == 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::setsid();
      const int terminal = ::open(name.c_str(), O_RDWR);  // of the new session
      for (const int file : {0, 1, 2}) ::dup2(terminal, file);
      ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      ::_exit(127);
    }
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(slave_);
    ::close(master_);
  }

  void type(const std::string& keys) const { REQUIRE(::write(master_, keys.data(), keys.size()) == std::ssize(keys)); }

  /// What comes up to and including a text.
  std::string until(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (seen_.find(text) == std::string::npos) {
      if (!read_some() || std::chrono::steady_clock::now() > deadline) {
        FAIL("no " << rwkv::in_quotes(text) << " in " << rwkv::in_quotes(seen_));
      }
    }
    const std::size_t end = seen_.find(text) + text.size();
    const std::string found = seen_.substr(0, end);
    seen_.erase(0, end);
    return found;
  }
  std::string until_prompt() { return until("> \033[K"); }

  /// Waits for the end; the status as a shell gives it.
  int status() {
    int status = 0;
    ::pid_t ended = 0;
    for (int i = 0; i < 12'000 && ended == 0; ++i) {
      ended = ::waitpid(child_, &status, WNOHANG);
      if (ended == 0) ::usleep(10'000);
    }
    if (ended == 0) return -1;
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void signal(int number) const { ::kill(child_, number); }

  /// Whether the terminal is as it was before the program began.
  [[nodiscard]] bool is_restored() const {
    termios now{};
    ::tcgetattr(slave_, &now);
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag && now.c_oflag == before_.c_oflag;
  }

private:
  bool read_some() {
    pollfd wait{master_, POLLIN, 0};
    if (::poll(&wait, 1, 120'000) <= 0) return false;
    char bytes[4096];
    const ::ssize_t n = ::read(master_, bytes, sizeof bytes);
    if (n <= 0) return false;
    seen_.append(bytes, static_cast<std::size_t>(n));
    return true;
  }

  int master_, slave_ = -1;
  ::pid_t child_ = -1;
  termios before_{};
  std::string seen_;
};

}  // namespace rwkv_test
