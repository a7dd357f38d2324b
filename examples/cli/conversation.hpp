// SPDX-License-Identifier: MIT
// A chat: turns over a Session, to take back, to try again and to branch.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/rwkv.hpp"

namespace cli {

/// Turns in the form of a ChatTemplate. Throws what Session throws; a turn that failed is taken back.
class Conversation {
public:
  struct Turn {
    std::string said, answer;
    rwkv::TextPlace before, asked, after;  ///< what was said; said and read; answered
  };
  struct Beginning {
    std::string system;
    rwkv::TextPlace place;
  };
  /// What is put in the place of all turns but the first n_kept, and of the beginning, if it is another.
  struct Change {
    std::size_t n_kept;
    std::vector<Turn> turns{};
    std::optional<Beginning> beginning{};
  };
  /// One of the branches.
  struct Thread {
    Beginning beginning;
    std::vector<Turn> turns{};
    std::vector<Change> done{}, undone{};  // what takes back, or does again, the last step and those before it
    [[nodiscard]] rwkv::TextPlace end() const { return turns.empty() ? beginning.place : turns.back().after; }
    /// Makes a change, which becomes the one that takes it back.
    void exchange(Change& change);
  };
  /// Where the answer goes, in pieces, and whether it goes on.
  using OnText = rwkv::FunctionRef<bool(const rwkv::AnswerStream::Piece&)>;
  /// How many tokens of how many that the model must read are read, and whether it goes on.
  using OnRead = std::function<bool(rwkv::Index n_done, rwkv::Index n_total)>;

  Conversation(rwkv::Session session, rwkv::ChatTemplate form) : session_(std::move(session)), form_(std::move(form)) {}

  void set_on_read(OnRead on_read) { on_read_ = std::move(on_read); }

  /// Begins anew, with a system text or "". False if reading it was stopped: the chat is then as it was.
  bool begin(std::string system);

  /// Says something, and gives the answer. False if reading was stopped before there was one: nothing was said then.
  bool say(const std::string& text, const rwkv::GenerateOptions& options, OnText on_text);
  /// Answers the last turn again. False if there is none.
  bool retry(const rwkv::GenerateOptions& options, OnText on_text);
  /// Take say(), retry() and begin() back, one after the other, but for the first beginning. False if there is nothing
  /// to undo, or to redo.
  bool undo() { return step(&Thread::done, &Thread::undone); }
  bool redo() { return step(&Thread::undone, &Thread::done); }

  /// Names the present chat; or goes to the one of that name. Returns whether there was one.
  bool branch(const std::string& name);
  [[nodiscard]] std::vector<std::string> branches() const;
  [[nodiscard]] const std::string& branch_name() const noexcept { return name_; }

  [[nodiscard]] const std::vector<Turn>& turns() const noexcept { return thread_.turns; }
  [[nodiscard]] const std::string& system() const noexcept { return thread_.beginning.system; }
  [[nodiscard]] const rwkv::ChatTemplate& form() const noexcept { return form_; }
  [[nodiscard]] const rwkv::Session& session() const noexcept { return session_; }
  [[nodiscard]] rwkv::Session& session() noexcept { return session_; }
  [[nodiscard]] const rwkv::Generated& last() const noexcept { return last_; }

  void save(const std::string& path, rwkv::StateForm form);
  /// Takes over a session that save() wrote. Throws rwkv::FormatError if its note of the chat is none, and
  /// rwkv::ArgumentError if it is in another template; the chat is then as it was.
  void load(rwkv::Session session, const std::string& path);

private:
  void change(Change change);
  bool step(std::vector<Change> Thread::*from, std::vector<Change> Thread::*to);
  /// Reads behind the present text.
  [[nodiscard]] bool read(const std::vector<rwkv::Token>& tokens);
  void answer(Turn& turn, const rwkv::GenerateOptions& options, OnText on_text);
  [[nodiscard]] std::string to_json() const;

  rwkv::Session session_;
  rwkv::ChatTemplate form_;
  OnRead on_read_ = [](rwkv::Index, rwkv::Index) { return true; };
  std::string name_ = "main";
  Thread thread_;
  bool has_begun_ = false;
  std::map<std::string, Thread> others_;
  rwkv::Generated last_{};
};

}  // namespace cli
