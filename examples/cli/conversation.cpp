// SPDX-License-Identifier: MIT
#include "conversation.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace cli {
namespace {

using nlohmann::json;

constexpr const char* note = "chat";

json place_to_json(rwkv::TextPlace place) { return {place.line, place.position}; }

json turns_to_json(const std::vector<Conversation::Turn>& turns) {
  json list = json::array();
  for (const Conversation::Turn& turn : turns) {
    list.push_back({{"said", rwkv::to_utf8(turn.said)},
                    {"answer", rwkv::to_utf8(turn.answer)},
                    {"before", place_to_json(turn.before)},
                    {"asked", place_to_json(turn.asked)},
                    {"after", place_to_json(turn.after)}});
  }
  return list;
}

/// Throws std::exception for JSON of another form, or a place that is not in the session.
rwkv::TextPlace to_place(const json& from, const rwkv::Session& session) {
  const rwkv::TextPlace place{from.at(0).get<rwkv::Index>(), from.at(1).get<rwkv::Index>()};
  if (!session.contains(place)) throw std::out_of_range("a place is not in the text");
  return place;
}

std::vector<Conversation::Turn> to_turns(const json& from, const rwkv::Session& session) {
  std::vector<Conversation::Turn> turns;
  for (const json& turn : from) {
    turns.push_back({turn.at("said").get<std::string>(), turn.at("answer").get<std::string>(),
                     to_place(turn.at("before"), session), to_place(turn.at("asked"), session),
                     to_place(turn.at("after"), session)});
  }
  return turns;
}

json beginning_to_json(const Conversation::Beginning& beginning) {
  return {{"system", rwkv::to_utf8(beginning.system)}, {"begin", place_to_json(beginning.place)}};
}

Conversation::Beginning to_beginning(const json& from, const rwkv::Session& session) {
  return {from.at("system").get<std::string>(), to_place(from.at("begin"), session)};
}

/// Without what leads to forgotten text, and what could be reached only after it.
json changes_to_json(const std::vector<Conversation::Change>& changes, const rwkv::Session& session) {
  json list = json::array();
  for (const Conversation::Change& change : changes) {
    const bool is_known =
        std::ranges::all_of(change.turns, [&](const auto& turn) { return session.contains(turn.after); }) &&
        (!change.beginning || session.contains(change.beginning->place));
    if (!is_known) {
      list.clear();
      continue;
    }
    list.push_back({{"n_kept", change.n_kept}, {"turns", turns_to_json(change.turns)}});
    if (change.beginning) list.back().update(beginning_to_json(*change.beginning));
  }
  return list;
}

/// Of a chat with so many turns.
std::vector<Conversation::Change> to_changes(const json& from, std::size_t n_turns, const rwkv::Session& session) {
  std::vector<Conversation::Change> changes;
  for (const json& each : from) {
    changes.push_back({each.at("n_kept").get<std::size_t>(), to_turns(each.at("turns"), session)});
    if (each.contains("system")) changes.back().beginning = to_beginning(each, session);
  }
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {  // the last comes first
    if (change->n_kept > n_turns) throw std::out_of_range("a change keeps turns that are not there");
    n_turns = change->n_kept + change->turns.size();
  }
  return changes;
}

json thread_to_json(const Conversation::Thread& thread, const rwkv::Session& session) {
  json result = beginning_to_json(thread.beginning);
  result.update({{"turns", turns_to_json(thread.turns)},
                 {"undo", changes_to_json(thread.done, session)},
                 {"redo", changes_to_json(thread.undone, session)}});
  return result;
}

Conversation::Thread to_thread(const json& from, const rwkv::Session& session) {
  Conversation::Thread thread{to_beginning(from, session), to_turns(from.at("turns"), session)};
  const auto changes = [&](const char* key) {
    return to_changes(from.value(key, json::array()), thread.turns.size(), session);
  };
  thread.done = changes("undo");
  thread.undone = changes("redo");
  return thread;
}

}  // namespace

bool Conversation::read(const std::vector<rwkv::Token>& tokens) {
  return session_.read(tokens, [&](rwkv::Index n) { return on_read_(n, std::ssize(tokens)); });
}

bool Conversation::begin(std::string system) {
  const rwkv::TextPlace before = session_.place();
  session_.open("");
  if (!system.empty() && !read(session_.tokenizer().encode(form_.begin(system)))) {
    session_.go_to(before);
    return false;
  }
  change({.n_kept = 0, .beginning = Beginning{std::move(system), session_.place()}});
  if (!std::exchange(has_begun_, true)) thread_.done.clear();
  return true;
}

bool Conversation::say(const std::string& text, const rwkv::GenerateOptions& options, OnText on_text) {
  Turn turn{text, {}, thread_.end(), {}, {}};
  session_.go_to(turn.before);
  // Encoded together: the tokens between two turns are then those of the whole text.
  const std::string closing = thread_.turns.empty() ? "" : form_.close(thread_.turns.back().answer);
  std::vector<rwkv::Token> tokens = session_.tokenizer().encode(closing + form_.prompt(text));
  if (tokens.empty() && session_.size() == 0) tokens = session_.tokenizer().encode("\n");
  bool is_read = false;
  try {
    is_read = read(tokens);
    if (is_read) {
      turn.asked = session_.place();
      answer(turn, options, on_text);
    }
  } catch (...) {
    session_.go_to(turn.before);
    throw;
  }
  if (!is_read) {
    session_.go_to(turn.before);
    return false;
  }
  change({thread_.turns.size(), {std::move(turn)}});
  return true;
}

void Conversation::answer(Turn& turn, const rwkv::GenerateOptions& options, OnText on_text) {
  rwkv::GenerateOptions with_stops = options;
  with_stops.stops.insert(with_stops.stops.end(), form_.stops.begin(), form_.stops.end());
  rwkv::AnswerStream stream(form_);
  last_ = session_.generate(with_stops, [&](std::string_view text) { return on_text(stream.push(text)); });
  static_cast<void>(on_text(stream.flush()));
  turn.answer = last_.text;
  turn.after = session_.place();
}

bool Conversation::retry(const rwkv::GenerateOptions& options, OnText on_text) {
  if (thread_.turns.empty()) return false;
  Turn turn = thread_.turns.back();
  session_.go_to(turn.asked);
  answer(turn, options, on_text);
  change({thread_.turns.size() - 1, {std::move(turn)}});
  return true;
}

void Conversation::Thread::exchange(Change& change) {
  std::swap(turns, change.turns);
  const auto end = change.turns.begin() + static_cast<std::ptrdiff_t>(change.n_kept);
  turns.insert(turns.begin(), change.turns.begin(), end);
  change.turns.erase(change.turns.begin(), end);
  if (change.beginning) std::swap(beginning, *change.beginning);
}

void Conversation::change(Change change) {
  thread_.exchange(change);
  thread_.done.push_back(std::move(change));
  thread_.undone.clear();
}

bool Conversation::step(std::vector<Change> Thread::*from, std::vector<Change> Thread::*to) {
  if ((thread_.*from).empty()) return false;
  Thread next = thread_;  // the text that it leads to may be forgotten
  Change change = std::move((next.*from).back());
  (next.*from).pop_back();
  next.exchange(change);
  (next.*to).push_back(std::move(change));
  session_.go_to(next.end());
  thread_ = std::move(next);
  return true;
}

bool Conversation::branch(const std::string& name) {
  if (name == name_) return true;
  const auto found = others_.find(name);
  const bool is_there = found != others_.end();
  if (is_there) session_.go_to(found->second.end());
  Thread next = is_there ? found->second : thread_;
  others_[name_] = std::move(thread_);
  thread_ = std::move(next);
  name_ = name;
  others_.erase(name);
  return is_there;
}

std::vector<std::string> Conversation::branches() const {
  std::vector<std::string> names{name_};
  for (const auto& [name, thread] : others_) names.push_back(name);
  return names;
}

std::string Conversation::to_json() const {
  json branches = json::object();
  for (const auto& [name, thread] : others_) {  // of which the session may have forgotten some for want of room
    if (session_.contains(thread.end())) branches[rwkv::to_utf8(name)] = thread_to_json(thread, session_);
  }
  branches[rwkv::to_utf8(name_)] = thread_to_json(thread_, session_);
  return json{{"template", rwkv::to_utf8(form_.name)}, {"branch", rwkv::to_utf8(name_)}, {"branches", branches}}.dump();
}

void Conversation::save(const std::string& path, rwkv::StateForm form) {
  session_.notes()[note] = to_json();
  rwkv::save_session(session_, path, {.form = form});
}

void Conversation::load(rwkv::Session session, const std::string& path) {
  std::map<std::string, Thread> threads;
  std::string form, name;
  try {
    const json chat = json::parse(session.notes().at(note));
    form = chat.at("template").get<std::string>();
    name = chat.at("branch").get<std::string>();
    for (const auto& [key, thread] : chat.at("branches").items()) {
      threads[key] = to_thread(thread, session);
    }
    static_cast<void>(threads.at(name));
  } catch (const std::exception& error) {
    throw rwkv::FormatError({.path = path, .problem = "is not a chat", .found = error.what()});
  }
  if (form != form_.name) {
    throw rwkv::ArgumentError({.path = path,
                               .problem = "is a chat in another template",
                               .expected = form_.name,
                               .found = rwkv::in_quotes(form),
                               .hint = "Start with --template " + form + "."});
  }
  thread_ = std::move(threads.at(name));
  threads.erase(name);
  others_ = std::move(threads);
  name_ = std::move(name);
  session_ = std::move(session);
  session_.go_to(thread_.end());
}

}  // namespace cli
