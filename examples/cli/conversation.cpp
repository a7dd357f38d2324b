// SPDX-License-Identifier: MIT
#include "conversation.hpp"

#include <nlohmann/json.hpp>
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
  thread_ = {std::move(system), session_.place()};
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
  thread_.turns.push_back(std::move(turn));
  thread_.undone.clear();
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

bool Conversation::undo() {
  if (thread_.turns.empty()) return false;
  session_.go_to(thread_.turns.back().before);
  thread_.undone.push_back(std::move(thread_.turns.back()));
  thread_.turns.pop_back();
  return true;
}

bool Conversation::redo() {
  if (thread_.undone.empty()) return false;
  session_.go_to(thread_.undone.back().after);
  thread_.turns.push_back(std::move(thread_.undone.back()));
  thread_.undone.pop_back();
  return true;
}

bool Conversation::retry(const rwkv::GenerateOptions& options, OnText on_text) {
  if (thread_.turns.empty()) return false;
  Turn turn = thread_.turns.back();
  session_.go_to(turn.asked);
  answer(turn, options, on_text);
  thread_.turns.back() = std::move(turn);
  thread_.undone.clear();
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

std::string Conversation::to_json(const Conversation& chat) {
  const auto thread_to_json = [](const Thread& thread) {
    return json{{"system", rwkv::to_utf8(thread.system)},
                {"begin", place_to_json(thread.begin)},
                {"turns", turns_to_json(thread.turns)},
                {"undone", turns_to_json(thread.undone)}};
  };
  json branches = json::object();
  for (const auto& [name, thread] : chat.others_) branches[rwkv::to_utf8(name)] = thread_to_json(thread);
  branches[rwkv::to_utf8(chat.name_)] = thread_to_json(chat.thread_);
  return json{
      {"template", rwkv::to_utf8(chat.form_.name)}, {"branch", rwkv::to_utf8(chat.name_)}, {"branches", branches}}
      .dump();
}

void Conversation::save(const std::string& path, rwkv::StateForm form) {
  session_.notes()[note] = to_json(*this);
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
      threads[key] = {thread.at("system").get<std::string>(), to_place(thread.at("begin"), session),
                      to_turns(thread.at("turns"), session), to_turns(thread.at("undone"), session)};
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
