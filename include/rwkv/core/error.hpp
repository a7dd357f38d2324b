// SPDX-License-Identifier: MIT
// What the library throws: five kinds of error, each telling where, what, expected, found, hint.
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "rwkv/core/linkage.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// The parts of an error, for programs that show them in their own way. Empty parts are left out of the message.
/// Views: of an Error, they live as long as it.
struct ErrorDetails {
  std::string_view path = {};      ///< the file, or empty
  std::string_view item = {};      ///< what in it: "tensor 'emb.weight'", "opcode 0xff at byte 12", "line 3"
  std::string_view problem = {};   ///< what is wrong, as a clause: "the file is truncated"
  std::string_view expected = {};  ///< what should stand there
  std::string_view found = {};     ///< what stands there
  std::string_view hint = {};      ///< what to do about it, as a sentence
};

/// Control characters as \xNN, so that a hostile name cannot fake output or break a line.
[[nodiscard]] inline std::string printable(std::string_view name) {
  constexpr char hex[] = "0123456789abcdef";
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      text += c;
    } else {
      text += "\\x";
      text += hex[byte >> 4];
      text += hex[byte & 15];
    }
  }
  return text;
}

/// The first bytes of a text, n_max of them at most: no character of UTF-8 is cut in two.
[[nodiscard]] constexpr std::string_view first_characters(std::string_view text, std::size_t n_max) noexcept {
  const auto is_continuation = [text](std::size_t i) { return (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80; };
  if (text.size() <= n_max) return text;
  std::size_t end = n_max;
  while (end > 0 && n_max - end < 3 && is_continuation(end)) --end;
  return text.substr(0, is_continuation(end) ? n_max : end);  // four continuations in a row are no UTF-8
}

/// "path: item: problem: expected X, found Y. hint"
[[nodiscard]] inline std::string message(const ErrorDetails& details) {
  std::string text;
  const auto append = [&text](std::string_view separator, std::string_view part) {
    if (part.empty()) return;
    if (!text.empty()) text += separator;
    text += part;
  };
  append("", printable(details.path));
  append(": ", details.item);
  append(": ", details.problem);
  if (!details.expected.empty()) append(": ", "expected " + std::string(details.expected));
  if (!details.found.empty()) append(details.expected.empty() ? ": " : ", ", "found " + std::string(details.found));
  append(". ", details.hint);
  return text;
}

/// The base of everything the library throws on purpose. `what()` is one line.
class Error : public std::runtime_error {
public:
  explicit Error(const ErrorDetails& details);
  [[nodiscard]] ErrorDetails details() const noexcept {
    return {parts_[0], parts_[1], parts_[2], parts_[3], parts_[4], parts_[5]};
  }

private:
  std::array<std::string, 6> parts_;
};

RWKV_NOINLINE inline Error::Error(const ErrorDetails& details)
    : std::runtime_error(message(details)), parts_{std::string(details.path),    std::string(details.item),
                                                   std::string(details.problem), std::string(details.expected),
                                                   std::string(details.found),   std::string(details.hint)} {}

/// The operating system refused: no such file, no permission, disk full.
class IoError : public Error {
  using Error::Error;
};
/// Not a valid file of its format: truncated, corrupt, hostile.
class FormatError : public Error {
  using Error::Error;
};
/// A valid file, but not a model that can run: a tensor is missing or has the wrong shape.
class ModelError : public Error {
  using Error::Error;
};
/// Valid, but something this version does not do (yet).
class UnsupportedError : public Error {
  using Error::Error;
};
/// The caller passed something that makes no sense here.
class ArgumentError : public Error {
  using Error::Error;
};

/// 'name', for use inside messages: printable, and long names are cut.
[[nodiscard]] inline std::string in_quotes(std::string_view name) {
  constexpr std::size_t max_shown = 120;
  return "'" + printable(first_characters(name, max_shown)) + (name.size() > max_shown ? "...'" : "'");
}

/// "tensor 'name'"
[[nodiscard]] inline std::string tensor_item(std::string_view name) { return "tensor " + in_quotes(name); }

namespace detail {

[[noreturn]] inline void fail_assertion(const char* condition) {
  throw std::logic_error(std::string("rwkv: internal error, please report: ") + condition);
}

}  // namespace detail
RWKV_NAMESPACE_END

/// Checks what only a mistake in this library can make false; throws std::logic_error. Not for the caller's input.
#define RWKV_ASSERT(condition) ((condition) ? static_cast<void>(0) : ::rwkv::detail::fail_assertion(#condition))
