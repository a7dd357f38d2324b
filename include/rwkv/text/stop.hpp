// SPDX-License-Identifier: MIT
// Stop strings in a stream of bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Watches a stream for stop strings, wherever tokens begin and end, and holds back what may be the beginning of one.
class StopMatcher {
public:
  StopMatcher() = default;
  /// Empty stop strings are ignored.
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
    std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
  }

  /// Takes the next bytes and appends to `released` those that are certainly not part of a stop string. Returns true if
  /// a stop string is complete: the bytes before the earliest one are then released, and it and the rest are held().
  [[nodiscard]] bool push(std::string_view bytes, std::string& released) {
    held_ += bytes;
    std::size_t found = std::string::npos;
    for (const std::string& stop : stops_) found = std::min(found, held_.find(stop));
    const bool is_stop = found != std::string::npos;
    const std::size_t n = is_stop ? found : held_.size() - longest_beginning();
    released.append(held_, 0, n);
    held_.erase(0, n);
    return is_stop;
  }

  /// Bytes that were not released yet.
  [[nodiscard]] const std::string& held() const noexcept { return held_; }

  /// The end of the stream: what is held is released.
  void flush(std::string& released) {
    released += held_;
    held_.clear();
  }

private:
  /// Length of the longest end of held_ that is the beginning of a stop string.
  [[nodiscard]] std::size_t longest_beginning() const noexcept {
    const std::string_view held = held_;
    std::size_t longest = 0;
    for (const std::string& stop : stops_) {
      for (std::size_t n = std::min(stop.size() - 1, held.size()); n > longest; --n) {
        if (held.ends_with(std::string_view(stop).substr(0, n))) longest = n;
      }
    }
    return longest;
  }

  std::vector<std::string> stops_;
  std::string held_;
};

RWKV_NAMESPACE_END
