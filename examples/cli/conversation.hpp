// SPDX-License-Identifier: MIT
// A chat: turns over a Session, to take back, to try again and to branch.
#pragma once

#include <functional>
#include <map>
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
  /// All of these do nothing, and return false, if there is nothing to undo, ...
  bool undo();
  bool redo();
  bool retry(const rwkv::GenerateOptions& options, OnText on_text);

  /// Names the present chat; or goes to the one of that name. Returns whether there was one.
  bool branch(const std::string& name);
  [[nodiscard]] std::vector<std::string> branches() const;
  [[nodiscard]] const std::string& branch_name() const noexcept { return name_; }

  [[nodiscard]] const std::vector<Turn>& turns() const noexcept { return thread_.turns; }
  [[nodiscard]] const std::string& system() const noexcept { return thread_.system; }
  [[nodiscard]] const rwkv::ChatTemplate& form() const noexcept { return form_; }
  [[nodiscard]] const rwkv::Session& session() const noexcept { return session_; }
  [[nodiscard]] rwkv::Session& session() noexcept { return session_; }
  [[nodiscard]] const rwkv::Generated& last() const noexcept { return last_; }

  void save(const std::string& path, rwkv::StateForm form);
  /// Takes over a session that save() wrote. Throws rwkv::FormatError if its note of the chat is none, and
  /// rwkv::ArgumentError if it is in another template; the chat is then as it was.
  void load(rwkv::Session session, const std::string& path);

private:
  /// One of the branches.
  struct Thread {
    std::string system;
    rwkv::TextPlace begin;
    std::vector<Turn> turns{}, undone{};
    [[nodiscard]] rwkv::TextPlace end() const { return turns.empty() ? begin : turns.back().after; }
  };

  /// Reads behind the present text.
  [[nodiscard]] bool read(const std::vector<rwkv::Token>& tokens);
  void answer(Turn& turn, const rwkv::GenerateOptions& options, OnText on_text);
  [[nodiscard]] static std::string to_json(const Conversation& chat);

  rwkv::Session session_;
  rwkv::ChatTemplate form_;
  OnRead on_read_ = [](rwkv::Index, rwkv::Index) { return true; };
  std::string name_ = "main";
  Thread thread_;
  std::map<std::string, Thread> others_;
  rwkv::Generated last_{};
};

}  // namespace cli
