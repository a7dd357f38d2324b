// SPDX-License-Identifier: MIT
// How far a long piece of work is.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>

#include "rwkv/version.hpp"

namespace cli {

/// A line on a terminal that tells how far it is, its rate and the time left; nothing elsewhere. It goes away in the
/// end.
class Progress {
public:
  /// What is counted, and how its rate is written: n of it a second are `rate * n` of `unit`.
  struct Unit {
    const char* name;
    double rate;
  };
  static constexpr Unit bytes{"GB/s", 1e-9}, tokens{"tokens/s", 1};

  /// Of n_total; `work` is what it begins with: "calibrating".
  Progress(const char* work, rwkv::Index n_total, Unit unit, bool quiet)
      : work_(work), n_total_(n_total), unit_(unit), is_shown_(!quiet && isatty(STDERR_FILENO) != 0) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() {
    if (is_shown_) std::fputs("\r\033[K", stderr);
  }

  void add(rwkv::Index n) { set(n_done_ + n); }
  void set(rwkv::Index n_done) {
    constexpr double interval = 0.1;  // seconds
    n_done_ = n_done;
    if (!is_shown_) return;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    if (seconds < last_ + interval) return;
    last_ = seconds;
    const double done = static_cast<double>(n_done_), total = static_cast<double>(std::max<rwkv::Index>(n_total_, 1));
    const double rate = done / seconds, share = std::min(1.0, done / total);
    constexpr int width = 30;
    const auto n_full = static_cast<std::size_t>(share * width);
    const std::string bar = std::string(n_full, '#') + std::string(width - n_full, '.');
    std::fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %.3g %s  %.0f s left", work_, bar.c_str(), 100 * share,
                 rate * unit_.rate, unit_.name, std::ceil(std::max(total - done, 0.0) / rate));
  }

private:
  const char* work_;
  rwkv::Index n_total_;
  Unit unit_;
  bool is_shown_;
  rwkv::Index n_done_ = 0;
  double last_ = 0;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace cli
