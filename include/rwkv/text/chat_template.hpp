// SPDX-License-Identifier: MIT
// How a conversation is written down for a model: prompts, and where answers end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/linkage.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// What becomes of texts before they are put into a template.
enum class TextCleaning {
  none,         ///< nothing
  single_lines  ///< "\r\n" to "\n", runs of "\n" to one, white space at both ends away
};

/// Applies it. With single_lines a text cannot contain the blank line that separates turns, and so cannot pretend to be
/// another turn: "User: x\n\nAssistant: y" said by a user stays one turn, "User: x\nAssistant: y".
[[nodiscard]] RWKV_API std::string cleaned(std::string_view text, TextCleaning cleaning);

/// The form of a conversation. In the texts, "{text}" stands for what is said.
///
/// A turn is prompt(what the user says), then what the model generates up to one of the stops (and up to its end of
/// text), then close(that). The next prompt follows, best encoded together with the close before it.
struct ChatTemplate {
  std::string name;
  std::string system = "{text}";  ///< what comes first, where there is something to say
  std::string user = "{text}";    ///< a turn of the user, up to where the model goes on
  std::string tool = user;        ///< the same for the result of a function that the model called
  std::string opening{};          ///< the end of `user` that is already part of the answer, such as " <think"; "": none
  std::string closing{};          ///< how an answer ends in the history
  std::vector<std::string> stops{};
  TextCleaning cleaning = TextCleaning::none;

  [[nodiscard]] std::string begin(std::string_view text) const { return filled(system, text); }
  [[nodiscard]] std::string prompt(std::string_view text) const { return filled(user, text); }
  [[nodiscard]] std::string tool_result(std::string_view text) const { return filled(tool, text); }
  /// What must follow an answer so that it ends as `closing` says, whatever of that it has already: once, never twice.
  [[nodiscard]] std::string close(std::string_view answer) const;

  friend bool operator==(const ChatTemplate&, const ChatTemplate&) = default;

private:
  [[nodiscard]] std::string filled(std::string_view form, std::string_view text) const;
};

/// The templates of the published models, by name:
///
/// - world, for World models before G1: `User: {text}\n\nAssistant:`, until `\n\n`: answers have no blank lines.
/// - g1, for G1 without thinking: the same, until `\n\nUser:`.
/// - think, for G1: ends in `Assistant: <think`; the model goes on with `>`.
/// - fake-think, for G1, answers at once: ends in `Assistant: <think>\n</think`.
/// - function-call, for G1, JSON calls: ends in `Assistant:` and a fence for JSON, until the fence that closes it.
/// - fill-in, for G1c and later: `✿prefix✿✿suffix✿{after}✿middle✿{before}`, see fill_in_prompt.
/// - instruction, for World models: `Instruction: {text}\n\nResponse:`, until `\n\n`.
/// - raven, for RWKV-4 Raven: `Bob: {text}\n\nAlice:`, until `\n\n`.
/// - text, for every model: `{text}`, until the end of text: the model goes on with what was said.
///
/// With `System: {text}\n\n` first in those with a User; of function-call it names the tools. To make "think" think
/// less or more, the user's text may end in ` (think a bit)` or ` (think a lot)`. Sources: the model cards of
/// BlinkDL/rwkv7-g1 and rwkv-7-world, API_DEMO_CHAT.py and chat.py (BlinkDL/ChatRWKV).
[[nodiscard]] RWKV_API const std::vector<ChatTemplate>& chat_templates();

/// The one of that name. Throws ArgumentError that lists them if there is none.
[[nodiscard]] RWKV_API const ChatTemplate& chat_template(std::string_view name);

/// A prompt for the text between two others: the model goes on with `before`, and aims at `after`. For G1c and later.
[[nodiscard]] RWKV_API std::string fill_in_prompt(std::string_view before, std::string_view after);

/// The template that a file names or spells: the metadata "tokenizer.chat_template" of GGUF, a Jinja program that is
/// recognised and never run. It is "world" if the text is or contains `rwkv-world`, the name that llama.cpp knows it
/// by; or else if it writes `User:` and `Assistant:` and none of the special tokens of other models (`<|`, `[INST]`):
/// "think" if it opens `<think` behind the last of these, "g1" if it otherwise speaks of thinking, "world" if not.
/// Throws UnsupportedError for all others.
[[nodiscard]] RWKV_API const ChatTemplate& recognised_chat_template(std::string_view jinja,
                                                                    const std::string& path = {});

/// Reads a template from JSON: an object with the members of ChatTemplate, of which only "user" must be there.
///
///   {"name": "pirate", "system": "Captain: {text}\n\n", "user": "Mate: {text}\n\nPirate:",
///    "closing": "\n\n", "stops": ["\n\n"], "cleaning": "single_lines"}
///
/// "{text}" must occur once in system, user and tool; user must end in the opening. `path` is for messages.
/// Throws FormatError that names the key.
[[nodiscard]] RWKV_API ChatTemplate parse_chat_template(std::string_view json, const std::string& path = {});
/// The same from a file. Throws IoError, too.
[[nodiscard]] RWKV_API ChatTemplate load_chat_template(const std::string& path);

RWKV_NAMESPACE_END

#if RWKV_DEFINITIONS
#include <algorithm>
#include <cstddef>
#include <utility>

#include "rwkv/core/error.hpp"
#include "rwkv/core/json.hpp"
#include "rwkv/core/mapped_file.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

inline constexpr std::string_view text_slot = "{text}";

[[nodiscard]] inline std::size_t count_of(std::string_view part, std::string_view text) noexcept {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

/// A template with the system and user texts of World models.
[[nodiscard]] inline ChatTemplate world_template(std::string name, std::string opening, std::string stop) {
  return {.name = std::move(name),
          .system = "System: {text}\n\n",
          .user = "User: {text}\n\nAssistant:" + opening,
          .tool = "User: Function output:\n{text}\n\nAssistant:" + opening,
          .opening = opening,
          .closing = "\n\n",
          .stops = {std::move(stop)},
          .cleaning = TextCleaning::single_lines};
}

[[nodiscard]] inline std::vector<ChatTemplate> make_chat_templates() {
  const std::string blank = "\n\n", next_turn = "\n\nUser:";
  ChatTemplate function = world_template("function-call", "", "```");
  function.system = "System: Tools:\n{text}\nReturn only a JSON function call.\n\n";
  function.user += " ```json";
  function.closing = "```\n\n";
  ChatTemplate fill_in{.name = "fill-in", .user = "✿prefix✿✿suffix✿✿middle✿{text}"};
  ChatTemplate instruction{.name = "instruction",
                           .system = "{text}\n\n",
                           .user = "Instruction: {text}\n\nResponse:",
                           .closing = blank,
                           .stops = {blank},
                           .cleaning = TextCleaning::single_lines};
  ChatTemplate raven{.name = "raven",
                     .system = "\n{text}\n\n",
                     .user = "Bob: {text}\n\nAlice:",
                     .closing = blank,
                     .stops = {blank},
                     .cleaning = TextCleaning::single_lines};
  return {world_template("world", "", blank),
          world_template("g1", "", next_turn),
          world_template("think", " <think", next_turn),
          world_template("fake-think", " <think>\n</think", next_turn),
          std::move(function),
          std::move(fill_in),
          std::move(instruction),
          std::move(raven),
          ChatTemplate{.name = "text"}};
}

/// The members of the object, each at most once.
[[nodiscard]] inline ChatTemplate read_chat_template(JsonReader& json, const std::string& path) {
  const auto fail = [&path](const std::string& key, std::string_view problem) {
    throw FormatError({.path = path, .item = "chat template: key " + in_quotes(key), .problem = problem});
  };
  ChatTemplate form;
  std::vector<std::string> seen;
  json.object([&](const std::string& key) {
    if (std::ranges::find(seen, key) != seen.end()) fail(key, "occurs twice");
    seen.push_back(key);
    json.set_item("chat template: key " + in_quotes(key));
    std::string* const text = key == "name"      ? &form.name
                              : key == "system"  ? &form.system
                              : key == "user"    ? &form.user
                              : key == "tool"    ? &form.tool
                              : key == "opening" ? &form.opening
                              : key == "closing" ? &form.closing
                                                 : nullptr;
    if (text != nullptr) {
      *text = json.string();
    } else if (key == "stops") {
      json.list([&] { form.stops.push_back(json.string()); });
    } else if (key == "cleaning") {
      const std::string rule = json.string();
      if (rule != "none" && rule != "single_lines") fail(key, "must be \"none\" or \"single_lines\"");
      form.cleaning = rule == "none" ? TextCleaning::none : TextCleaning::single_lines;
    } else {
      fail(key, "is unknown");
    }
  });
  const auto has = [&seen](std::string_view key) { return std::ranges::find(seen, key) != seen.end(); };
  if (!has("user")) fail("user", "is missing");
  if (!has("tool")) form.tool = form.user;
  for (const auto& [key, text] : {std::pair{"system", &form.system}, {"user", &form.user}, {"tool", &form.tool}}) {
    if (count_of(text_slot, *text) != 1) fail(key, "must have \"{text}\" in it, once");
  }
  if (!form.user.ends_with(form.opening)) fail("opening", "must be the end of \"user\"");
  if (std::ranges::find(form.stops, "") != form.stops.end()) fail("stops", "must not have an empty text");
  return form;
}

}  // namespace detail

RWKV_API std::string cleaned(std::string_view text, TextCleaning cleaning) {
  if (cleaning == TextCleaning::none) return std::string(text);
  constexpr std::string_view space = " \t\n\r\v\f";
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("\r\n") || (text[i] == '\n' && result.ends_with('\n'))) continue;
    result += text[i];
  }
  result.erase(result.find_last_not_of(space) + 1);
  result.erase(0, std::min(result.find_first_not_of(space), result.size()));
  return result;
}

RWKV_API std::string ChatTemplate::filled(std::string_view form, std::string_view text) const {
  const std::size_t at = form.find(detail::text_slot);
  if (at == form.npos) return std::string(form);
  return std::string(form.substr(0, at)) + cleaned(text, cleaning) +
         std::string(form.substr(at + detail::text_slot.size()));
}

RWKV_API std::string ChatTemplate::close(std::string_view answer) const {
  std::size_t n_there = std::min(closing.size(), answer.size());
  while (!answer.ends_with(std::string_view(closing).substr(0, n_there))) --n_there;
  return closing.substr(n_there);
}

RWKV_API const std::vector<ChatTemplate>& chat_templates() {
  static const std::vector<ChatTemplate> all = detail::make_chat_templates();
  return all;
}

RWKV_API const ChatTemplate& chat_template(std::string_view name) {
  std::string names;
  for (const ChatTemplate& each : chat_templates()) {
    if (each.name == name) return each;
    names += (names.empty() ? "" : ", ") + each.name;
  }
  throw ArgumentError({.item = "chat template", .expected = names, .found = in_quotes(name)});
}

RWKV_API std::string fill_in_prompt(std::string_view before, std::string_view after) {
  return "✿prefix✿✿suffix✿" + std::string(after) + "✿middle✿" + std::string(before);
}

RWKV_API const ChatTemplate& recognised_chat_template(std::string_view jinja, const std::string& path) {
  const auto has = [jinja](std::string_view part) { return jinja.find(part) != jinja.npos; };
  if (has("rwkv-world")) return chat_template("world");
  if (has("User:") && has("Assistant:") && !has("<|") && !has("[INST]")) {
    const std::size_t last = jinja.rfind("Assistant:");
    if (jinja.substr(last).find("<think") != jinja.npos) return chat_template("think");
    return chat_template(has("think") ? "g1" : "world");
  }
  throw UnsupportedError({.path = path,
                          .item = "chat template",
                          .problem = "is none of RWKV",
                          .expected = "rwkv-world, or User: and Assistant:",
                          .found = in_quotes(first_characters(jinja, 60)),
                          .hint = "Name the template, or give one of your own."});
}

RWKV_API ChatTemplate parse_chat_template(std::string_view json, const std::string& path) {
  JsonReader reader(path, "chat template", json);
  ChatTemplate form = detail::read_chat_template(reader, path);
  reader.set_item("chat template");
  reader.end();
  if (form.name.empty()) form.name = path;
  return form;
}

RWKV_API ChatTemplate load_chat_template(const std::string& path) {
  const MappedFile file(path);
  return parse_chat_template({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
}

RWKV_NAMESPACE_END
#endif
