// SPDX-License-Identifier: MIT
// Lines that a person types, or that come through a pipe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

/// A line that is being edited: UTF-8, and where the cursor is. Knows no terminal.
class EditedLine {
public:
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  void set(std::string text) {
    text_ = std::move(text);
    cursor_ = text_.size();
  }
  void insert(std::string_view bytes) {
    text_.insert(cursor_, bytes);
    cursor_ += bytes.size();
  }
  void left() noexcept { cursor_ = before(cursor_); }
  void right() noexcept { cursor_ = after(cursor_); }
  void home() noexcept { cursor_ = 0; }
  void end() noexcept { cursor_ = text_.size(); }
  void erase_left() { erase(before(cursor_), cursor_); }
  void erase_right() { erase(cursor_, after(cursor_)); }
  void erase_word_left();
  void erase_to_home() { erase(0, cursor_); }
  void erase_to_end() { erase(cursor_, text_.size()); }

  /// As much of the line as fits into n columns with the cursor among them, and the cursor's column.
  struct View {
    std::string_view text;
    std::size_t cursor;
  };
  [[nodiscard]] View view(std::size_t n_columns) const noexcept;

private:
  [[nodiscard]] std::size_t before(std::size_t at) const noexcept;
  [[nodiscard]] std::size_t after(std::size_t at) const noexcept;
  void erase(std::size_t first, std::size_t last) {
    text_.erase(first, last - first);
    cursor_ = first;
  }

  std::string text_;
  std::size_t cursor_ = 0;  // byte, at the beginning of a character
};

/// Reads lines from standard input. Where that and standard error are a terminal, with a prompt, a history (arrows up
/// and down), and editing: arrows, Home, End, Delete, Ctrl-A E B F U K W L; what is pasted may have several lines. The
/// terminal is as it was whenever read() is not running, also when a signal ends the program or Ctrl-Z stops it.
class LineReader {
public:
  LineReader();

  enum class Result {
    line,
    end,         ///< end of the file, or Ctrl-D in an empty line
    interrupted  ///< Ctrl-C in an empty line (in another it empties the line), or SIGINT while waiting for a pipe
  };
  /// Gives a line without its end.
  Result read(std::string_view prompt, std::string& line);

  [[nodiscard]] bool is_terminal() const noexcept { return is_terminal_; }

private:
  Result read_pipe(std::string& line);
  Result edit(std::string_view prompt, std::string& line);
  void escape();
  void paste();
  void recall(std::ptrdiff_t step);
  void show(std::string_view prompt) const;

  bool is_terminal_;
  std::string pending_;  // of a pipe
  EditedLine edited_;
  std::vector<std::string> history_;
  std::size_t recalled_ = 0;
  std::string unfinished_;  // what was typed before the arrows went up
};

}  // namespace cli
