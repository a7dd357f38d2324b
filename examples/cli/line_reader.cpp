// SPDX-License-Identifier: MIT
#include "line_reader.hpp"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "rwkv/core/utf8.hpp"

namespace cli {
namespace {

constexpr char control(char letter) { return static_cast<char>(letter & 31); }

bool is_continuation(char byte) noexcept { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

/// Columns of a character on a terminal, as nearly all of them do it: combining marks 0, East Asian ones and emoji 2.
std::size_t n_columns(char32_t c) noexcept {
  constexpr std::pair<char32_t, char32_t> none[] = {{0x300, 0x36f}, {0x200b, 0x200f}, {0xfe00, 0xfe0f}};
  constexpr std::pair<char32_t, char32_t> two[] = {{0x1100, 0x115f}, {0x2e80, 0xa4cf},   {0xac00, 0xd7a3},
                                                   {0xf900, 0xfaff}, {0xfe30, 0xfe6f},   {0xff00, 0xff60},
                                                   {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd}};
  const auto has = [c](const auto& range) { return c >= range.first && c <= range.second; };
  return std::any_of(std::begin(none), std::end(none), has) ? 0
         : std::any_of(std::begin(two), std::end(two), has) ? 2
                                                            : 1;
}

std::size_t n_columns(std::string_view text) noexcept {
  std::size_t n = 0;
  while (!text.empty()) {
    const rwkv::Utf8Character first = rwkv::front_character(text);
    n += n_columns(first.code_point);
    text.remove_prefix(first.n_bytes);
  }
  return n;
}

void write_all(std::string_view text) noexcept {
  while (!text.empty()) {
    const ::ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno != EINTR) return;
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
}

// What is pasted comes between two marks (bracketed paste, of xterm), for as long as lines are edited.
constexpr std::string_view marks_on = "\033[?2004h", marks_off = "\033[?2004l", paste_end = "\033[201~";

termios cooked{};  // for the signal handler

void leave_raw() {
  write_all(marks_off);
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
}

void restore_and_die(int signal) {
  leave_raw();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

/// A handler for a signal, for as long as this lives.
class Handler {
public:
  Handler(int signal, void (*handler)(int)) : signal_(signal) {
    struct sigaction action {};
    action.sa_handler = handler;  // without SA_RESTART: a read that waits returns
    ::sigaction(signal_, &action, &before_);
  }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler() { ::sigaction(signal_, &before_, nullptr); }

private:
  int signal_;
  struct sigaction before_ {};
};

/// The terminal gives every key as it comes, for as long as this lives.
class RawTerminal {
public:
  RawTerminal() { enter(); }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() { leave_raw(); }

  void stop() const {  // Ctrl-Z
    leave_raw();
    ::raise(SIGTSTP);
    enter();
  }

private:
  static void enter() {
    termios raw = cooked;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= ~static_cast<tcflag_t>(ICRNL | IXON);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    write_all(marks_on);
  }

  const int is_known_ = ::tcgetattr(STDIN_FILENO, &cooked);  // before a handler needs it
  Handler interrupt_{SIGINT, restore_and_die}, terminate_{SIGTERM, restore_and_die}, hang_up_{SIGHUP, restore_and_die},
      quit_{SIGQUIT, restore_and_die};
};

/// The next byte, or nothing at the end of the input.
bool read_byte(char& byte) noexcept {
  ::ssize_t n = 0;
  do {
    n = ::read(STDIN_FILENO, &byte, 1);
  } while (n < 0 && errno == EINTR);
  return n == 1;
}

/// The character whose first byte has come.
std::string character(char first) {
  std::string bytes(1, first);
  const auto lead = static_cast<unsigned char>(first);
  const std::size_t n = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  char byte = 0;
  while (bytes.size() < n && read_byte(byte)) bytes += byte;
  return rwkv::to_utf8(bytes);
}

volatile std::sig_atomic_t is_pipe_interrupted = 0;

}  // namespace

std::size_t EditedLine::before(std::size_t at) const noexcept {
  while (at > 0 && is_continuation(text_[--at])) continue;
  return at;
}

std::size_t EditedLine::after(std::size_t at) const noexcept {
  if (at < text_.size()) ++at;
  while (at < text_.size() && is_continuation(text_[at])) ++at;
  return at;
}

void EditedLine::erase_word_left() {
  std::size_t first = cursor_;
  while (first > 0 && text_[first - 1] == ' ') --first;
  while (first > 0 && text_[first - 1] != ' ') --first;
  erase(first, cursor_);
}

EditedLine::View EditedLine::view(std::size_t n_wanted) const noexcept {
  const std::string_view text = text_;
  std::size_t first = 0;
  while (first < cursor_ && n_columns(text.substr(first, cursor_ - first)) >= n_wanted) first = after(first);
  std::size_t last = cursor_;
  while (last < text.size() && n_columns(text.substr(first, after(last) - first)) < n_wanted) last = after(last);
  return {text.substr(first, last - first), n_columns(text.substr(first, cursor_ - first))};
}

LineReader::LineReader() : is_terminal_(::isatty(STDIN_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0) {}

LineReader::Result LineReader::read(std::string_view prompt, std::string& line) {
  return is_terminal_ ? edit(prompt, line) : read_pipe(line);
}

LineReader::Result LineReader::read_pipe(std::string& line) {
  is_pipe_interrupted = 0;
  const Handler handler(SIGINT, [](int) { is_pipe_interrupted = 1; });
  std::size_t end = pending_.find('\n');
  while (end == std::string::npos) {
    char bytes[4096];
    const ::ssize_t n = is_pipe_interrupted != 0 ? -1 : ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (is_pipe_interrupted != 0) return Result::interrupted;
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 && pending_.empty()) return Result::end;
    if (n <= 0) pending_ += '\n';  // the last line may lack its end
    const std::size_t seen = pending_.size();
    if (n > 0) pending_.append(bytes, static_cast<std::size_t>(n));
    end = pending_.find('\n', n > 0 ? seen : 0);
  }
  line = pending_.substr(0, end);
  pending_.erase(0, end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return Result::line;
}

LineReader::Result LineReader::edit(std::string_view prompt, std::string& line) {
  const RawTerminal terminal;
  edited_.set("");
  recalled_ = history_.size();
  while (true) {
    show(prompt);
    char key = 0;
    if (!read_byte(key)) return Result::end;
    switch (key) {
      case '\r':
      case '\n':
        write_all("\r\n");
        line = edited_.text();
        if (!line.empty() && (history_.empty() || history_.back() != line)) history_.push_back(line);
        return Result::line;
      case control('C'):
        write_all("^C\r\n");
        if (edited_.text().empty()) return Result::interrupted;
        edited_.set("");
        break;
      case control('D'):
        if (edited_.text().empty()) {
          write_all("\r\n");
          return Result::end;
        }
        edited_.erase_right();
        break;
      case control('Z'): terminal.stop(); break;
      case control('A'): edited_.home(); break;
      case control('E'): edited_.end(); break;
      case control('B'): edited_.left(); break;
      case control('F'): edited_.right(); break;
      case control('U'): edited_.erase_to_home(); break;
      case control('K'): edited_.erase_to_end(); break;
      case control('W'): edited_.erase_word_left(); break;
      case control('P'): recall(-1); break;
      case control('N'): recall(+1); break;
      case control('L'): write_all("\033[H\033[2J"); break;
      case control('H'):
      case 127: edited_.erase_left(); break;
      case 27: escape(); break;
      default:
        if (key == '\t') key = ' ';
        if (static_cast<unsigned char>(key) >= 32) edited_.insert(character(key));
    }
  }
}

/// What follows ESC: [ or O, digits and semicolons, a letter or ~.
void LineReader::escape() {
  char key = 0;
  if (!read_byte(key) || (key != '[' && key != 'O')) return;
  std::string number;
  while (read_byte(key) && ((key >= '0' && key <= '9') || key == ';')) number += key;
  if (key == '~' && number == "200") return paste();
  if (key == '~')
    key = number == "3" ? 'X' : number == "1" || number == "7" ? 'H' : number == "4" || number == "8" ? 'F' : 0;
  switch (key) {
    case 'A': recall(-1); break;
    case 'B': recall(+1); break;
    case 'C': edited_.right(); break;
    case 'D': edited_.left(); break;
    case 'H': edited_.home(); break;
    case 'F': edited_.end(); break;
    case 'X': edited_.erase_right(); break;
    default: break;
  }
}

/// Line ends of what is pasted are part of the line.
void LineReader::paste() {
  std::string text;
  char byte = 0;
  while (!text.ends_with(paste_end) && read_byte(byte)) text += byte == '\r' ? '\n' : byte == '\t' ? ' ' : byte;
  if (text.ends_with(paste_end)) text.resize(text.size() - paste_end.size());
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < 32 && c != '\n'; });
  edited_.insert(rwkv::to_utf8(text));
}

void LineReader::recall(std::ptrdiff_t step) {
  if ((step < 0 && recalled_ == 0) || (step > 0 && recalled_ == history_.size())) return;
  if (recalled_ == history_.size()) unfinished_ = edited_.text();
  recalled_ += static_cast<std::size_t>(step);
  edited_.set(recalled_ == history_.size() ? unfinished_ : history_[recalled_]);
}

void LineReader::show(std::string_view prompt) const {
  winsize size{};
  const bool is_known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  const std::size_t width = is_known ? size.ws_col : 80, n_prompt = n_columns(prompt);
  const EditedLine::View view = edited_.view(std::max(width, n_prompt + 10) - n_prompt);
  const std::size_t column = n_prompt + view.cursor;
  std::string line = "\r" + std::string(prompt);
  for (const char c : view.text)
    line += c == '\n' ? std::string("\xe2\x86\xb5") : std::string(1, c);  // an arrow, as wide
  line += "\033[K\r";
  if (column > 0) line += "\033[" + std::to_string(column) + "C";
  write_all(line);
}

}  // namespace cli
