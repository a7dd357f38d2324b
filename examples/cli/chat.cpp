// SPDX-License-Identifier: MIT
// rwkv chat: a conversation.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>

#include "command.hpp"
#include "conversation.hpp"
#include "grammar_options.hpp"
#include "line_reader.hpp"
#include "progress.hpp"
#include "rwkv/io/vocabulary.hpp"
#include "rwkv/session/session_file.hpp"

namespace cli {
namespace {

constexpr const char* help_text =
    R"(/undo           take the last turn, /retry or /system back      /redo           and forth again
/retry          answer the last turn again
/branch NAME    name this chat and go on in a copy, or go to the one of that name
/branch         list them
/system TEXT    begin again with this system text; without TEXT show it
/save FILE      write the chat with all branches      /load FILE      and read it
/params         show how tokens are drawn; /params temperature=0.8 top_p=0.5 changes it
/stats          tokens, speed, memory
/help           this      /quit           the end, as is Ctrl-D
Ctrl-C stops an answer and keeps the chat; at the prompt it empties the line, and ends the chat in an empty one.
What begins with // is said with one slash.
)";

struct ChatCommand {
  ModelOptions model;
  std::string form_name, system, state, session_path;
  rwkv::Index n_tokens = 500;
  rwkv::Index memory_mb = 256;
  std::vector<std::string> stops;
  bool shows_thoughts = false;
  GrammarOptions grammar;
  std::string saved_form = "f32";
  rwkv::SamplerOptions sampling{
      .top_p = 0.3, .presence_penalty = 0.5, .frequency_penalty = 0.5};  // of API_DEMO_CHAT.py
  std::optional<std::uint64_t> seed;

  void run() const;
  [[nodiscard]] rwkv::ChatTemplate form(const rwkv::Checkpoint& checkpoint, const rwkv::Tokenizer& text) const;
};

std::string n_turns(const Conversation& chat) {
  const std::size_t n = chat.turns().size();
  return std::to_string(n) + (n == 1 ? " turn" : " turns");
}

/// Of the name that --save-as takes.
std::optional<rwkv::StateForm> state_form(std::string_view name) {
  if (name == "f32") return rwkv::StateForm::f32;
  if (name == "f16") return rwkv::StateForm::f16;
  if (name == "q8") return rwkv::StateForm::q8;
  return std::nullopt;
}

void tell(const std::string& text) { std::cerr << text << std::flush; }

/// For models that tell none. Those that were trained on conversations have the vocabulary of RWKV World, of 65
/// thousand tokens, or that of the Pile (GPT-NeoX 20B); others go on with what is said.
const rwkv::ChatTemplate& default_form(const rwkv::Tokenizer& text) {
  constexpr rwkv::Index pile_size = 50277;
  const bool is_world = text.kind() == rwkv::WorldTokenizer::kind && text.n_vocab() / 1000 == 65;
  const bool is_pile = text.kind() == rwkv::BpeTokenizer::kind && text.n_vocab() == pile_size;
  return rwkv::chat_template(is_world || is_pile ? "world" : "text");
}

/// The name of a template, a file of one, or what the checkpoint says.
rwkv::ChatTemplate ChatCommand::form(const rwkv::Checkpoint& checkpoint, const rwkv::Tokenizer& text) const {
  if (form_name.ends_with(".json")) return rwkv::load_chat_template(form_name);
  if (!form_name.empty()) return rwkv::chat_template(form_name);
  const auto stored = checkpoint.metadata().find(std::string(rwkv::chat_template_key));
  if (stored == checkpoint.metadata().end()) return default_form(text);
  try {
    return rwkv::recognised_chat_template(stored->second, model.model);
  } catch (const rwkv::UnsupportedError& error) {
    const rwkv::ChatTemplate& used = default_form(text);
    tell("rwkv: " + rwkv::printable(error.what()) + " Using " + used.name + ".\n");
    return used;
  }
}

/// The loop of a chat: lines in, answers out.
class Chat {
public:
  using Load = std::function<rwkv::Session(const std::string&)>;

  Chat(Conversation conversation, const ChatCommand& command, std::optional<rwkv::Grammar> grammar, std::uint64_t seed,
       Load load)
      : chat_(std::move(conversation)),
        options_{.max_tokens = command.n_tokens, .stops = command.stops, .close = command.grammar.close},
        sampling_(command.sampling),
        seed_(seed),
        load_(std::move(load)),
        grammar_(std::move(grammar)),
        saved_form_(state_form(command.saved_form).value()),
        shows_thoughts_(command.shows_thoughts || ::isatty(STDOUT_FILENO) != 0),
        is_quiet_(command.model.quiet) {
    if (grammar_) options_.constraint = &constraint_.emplace(*grammar_, chat_.session().tokenizer());
    chat_.set_on_read([this](rwkv::Index n_done, rwkv::Index n_total) { return show_read(n_done, n_total); });
  }
  Chat(const Chat&) = delete;
  Chat& operator=(const Chat&) = delete;

  /// False if Ctrl-C came first.
  bool begin(const std::string& system);
  void load(const std::string& path);
  /// To the end of the input. False if something went wrong that nobody was there to see.
  bool run();

private:
  /// Returns false at the end.
  bool handle(const std::string& line);
  bool interruptibly(rwkv::FunctionRef<bool()> work);
  void check_stopped() const;
  void answer(rwkv::FunctionRef<bool(Conversation::OnText)> work);
  bool show_read(rwkv::Index n_done, rwkv::Index n_total);
  void show(const rwkv::AnswerStream::Piece& piece);
  void end_answer();
  void branch(const std::string& name);
  void system(const std::string& text);
  void params(std::string_view changes);
  void stats() const;
  /// Only a chat may be replaced by one.
  static void check_replaceable(const std::string& path);
  static void need(const std::string& argument, const char* usage) {
    if (argument.empty()) throw rwkv::ArgumentError({.item = usage, .problem = "a name is missing"});
  }

  Conversation chat_;
  rwkv::GenerateOptions options_;
  rwkv::SamplerOptions sampling_;
  std::uint64_t seed_;
  Load load_;
  std::optional<rwkv::Grammar> grammar_;        // of answers
  std::optional<rwkv::Constraint> constraint_;  // the same
  rwkv::StateForm saved_form_;
  bool shows_thoughts_, is_quiet_;
  const bool has_keyboard_ = ::isatty(STDIN_FILENO) != 0;
  const bool has_colours_ = ::isatty(STDOUT_FILENO) != 0;
  LineReader reader_;
  bool is_thought_ = false;                     // what was shown last
  std::string last_shown_{};                    // its last character
  bool is_empty_ = true;                        // the last answer, but for thoughts and white space
  double seconds_ = 0;                          // of the last answer
  const InterruptFlag* interrupted_ = nullptr;  // of what runs
  int stopped_by_ = 0;                          // what ran last: a signal
  std::optional<Progress> reading_;
  bool has_failed_ = false;  // a command
  bool has_changed_params_ = false;
};

bool Chat::run() {
  const bool is_terminal = reader_.is_terminal();
  if (is_terminal) tell("Template " + chat_.form().name + ". /help lists the commands.\n");
  std::string line;
  while (true) {
    switch (reader_.read(is_terminal ? "> " : "", line)) {
      case LineReader::Result::end: return is_terminal || !has_failed_;
      case LineReader::Result::interrupted: throw Interrupted{SIGINT};
      case LineReader::Result::line: break;
    }
    try {
      if (!handle(line)) return is_terminal || !has_failed_;
    } catch (const rwkv::Error& error) {
      const auto* const io = dynamic_cast<const rwkv::IoError*>(&error);
      if (io != nullptr && io->details().path == "standard output") throw;
      tell("rwkv: " + rwkv::printable(error.what()) + "\n");
      has_failed_ = true;
    }
  }
}

bool Chat::handle(const std::string& line) {
  if (line.find_first_not_of(" \t") == std::string::npos) return true;
  if (!line.starts_with('/') || line.starts_with("//")) {
    const std::string text = line.substr(line.starts_with('/') ? 1 : 0);
    answer([&](Conversation::OnText on_text) { return chat_.say(text, options_, on_text); });
    return true;
  }
  const std::size_t space = std::min(line.find(' '), line.size());
  const std::string command = line.substr(1, space - 1);
  const std::string argument = rwkv::cleaned(line.substr(space), rwkv::TextCleaning::single_lines);
  constexpr std::string_view alone[] = {"quit", "exit", "help", "undo", "redo", "retry", "stats"};
  if (!argument.empty() && std::ranges::find(alone, command) != std::end(alone)) {
    throw rwkv::ArgumentError({.item = "/" + command, .problem = "takes no argument"});
  }
  if (command == "quit" || command == "exit") return false;
  if (command == "help") {
    tell(help_text);
  } else if (command == "undo") {
    tell(chat_.undo() ? "Taken back.\n" : "There is nothing to take back.\n");
  } else if (command == "redo") {
    tell(chat_.redo() ? "Back again.\n" : "There is nothing to bring back.\n");
  } else if (command == "retry") {
    if (chat_.turns().empty()) tell("There is nothing to try again.\n");
    if (!chat_.turns().empty()) answer([&](auto on_text) { return chat_.retry(options_, on_text); });
  } else if (command == "branch") {
    branch(argument);
  } else if (command == "system") {
    system(argument);
  } else if (command == "save") {
    need(argument, "/save FILE");
    check_replaceable(argument);
    chat_.save(argument, saved_form_);
    tell("Saved.\n");
  } else if (command == "load") {
    need(argument, "/load FILE");
    load(argument);
    tell("Loaded: " + n_turns(chat_) + ".\n");
  } else if (command == "params") {
    params(argument);
  } else if (command == "stats") {
    stats();
  } else {
    throw rwkv::ArgumentError({.item = "/" + command, .problem = "is no command", .hint = "/help lists them."});
  }
  return true;
}

/// Runs what reads and generates, until a signal stops it.
bool Chat::interruptibly(rwkv::FunctionRef<bool()> work) {
  const InterruptFlag interrupted;
  interrupted_ = &interrupted;
  const bool is_done = work();
  reading_.reset();
  stopped_by_ = interrupted.signal();
  return is_done;
}

/// Ctrl-C on a keyboard only stops what ran; all other signals, and SIGINT where nobody types, end the program.
void Chat::check_stopped() const {
  if (stopped_by_ != 0 && (stopped_by_ != SIGINT || !has_keyboard_)) throw Interrupted{stopped_by_};
}

bool Chat::show_read(rwkv::Index n_done, rwkv::Index n_total) {
  if (!reading_) reading_.emplace("reading", n_total, Progress::tokens, is_quiet_);
  reading_->set(n_done);
  if (n_done == n_total) reading_.reset();
  return !interrupted_->is_set();
}

void Chat::answer(rwkv::FunctionRef<bool(Conversation::OnText)> work) {
  const auto started = std::chrono::steady_clock::now();
  is_thought_ = false;
  last_shown_.clear();
  is_empty_ = true;
  if (constraint_) constraint_->reset();
  const bool is_answered = interruptibly([&] {
    return work([&](const rwkv::AnswerStream::Piece& piece) {
      show(piece);
      return !interrupted_->is_set();
    });
  });
  end_answer();
  check_stopped();
  seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (!is_answered) return tell("Stopped before the answer; nothing was said.\n");
  if (stopped_by_ != 0) return tell("(stopped)\n");
  if (is_empty_ && !is_quiet_) tell("The answer is empty; another --template may fit the model.\n");
  if (grammar_) check_whole(*grammar_, chat_.last());
}

void Chat::show(const rwkv::AnswerStream::Piece& piece) {
  const auto show_part = [&](const std::string& text, bool is_thought) {
    if (text.empty() || (is_thought && !shows_thoughts_)) return;
    if (is_thought != is_thought_ && has_colours_) print(is_thought ? "\033[2m" : "\033[0m");
    if (is_thought_ && !is_thought) print("\n");
    is_thought_ = is_thought;
    print(text);
    last_shown_ = text.back();
  };
  show_part(piece.thought, true);
  show_part(piece.answer, false);
  is_empty_ = is_empty_ && piece.answer.find_first_not_of(" \t\r\n") == std::string::npos;
  flush();
}

void Chat::end_answer() {
  if (is_thought_ && has_colours_) print("\033[0m");
  if (last_shown_ != "\n") print("\n");
  flush();
}

void Chat::branch(const std::string& name) {
  if (!name.empty()) {
    tell(chat_.branch(name) ? "In branch " + name + ", with " + n_turns(chat_) + ".\n" : "New branch " + name + ".\n");
    return;
  }
  for (const std::string& each : chat_.branches()) tell((each == chat_.branch_name() ? "* " : "  ") + each + "\n");
}

void Chat::system(const std::string& text) {
  if (text.empty()) return tell(chat_.system().empty() ? "There is no system text.\n" : chat_.system() + "\n");
  tell(begin(text) ? "A new chat.\n" : "Stopped; the chat is as it was.\n");
}

bool Chat::begin(const std::string& system) {
  const bool has_begun = interruptibly([&] { return chat_.begin(system); });
  check_stopped();
  return has_begun;
}

void Chat::params(std::string_view changes) {
  const bool is_change = changes.find_first_not_of(' ') != changes.npos;  // or else they are only shown
  rwkv::SamplerOptions changed = sampling_;
  rwkv::Index max_tokens = options_.max_tokens;
  const std::pair<std::string_view, double*> reals[] = {{"temperature", &changed.temperature},
                                                        {"top_p", &changed.top_p},
                                                        {"top_a", &changed.top_a},
                                                        {"min_p", &changed.min_p},
                                                        {"presence_penalty", &changed.presence_penalty},
                                                        {"frequency_penalty", &changed.frequency_penalty},
                                                        {"penalty_decay", &changed.penalty_decay}};
  const std::pair<std::string_view, rwkv::Index*> counts[] = {{"top_k", &changed.top_k}, {"max_tokens", &max_tokens}};
  const auto set = [](std::string_view word, std::string_view text, auto& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) return;
    throw rwkv::ArgumentError({.item = "/params", .expected = "name=number", .found = rwkv::in_quotes(word)});
  };
  while (!changes.empty()) {
    const std::string_view word = changes.substr(0, changes.find(' '));
    changes.remove_prefix(std::min(changes.size(), word.size() + 1));
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(0, equals), text = word.substr(std::min(equals + 1, word.size()));
    bool is_known = word.empty();
    for (const auto& [known, value] : reals) {
      if (known == name) set(word, text, *value);
      is_known = is_known || known == name;
    }
    for (const auto& [known, value] : counts) {
      if (known == name) set(word, text, *value);
      is_known = is_known || known == name;
    }
    if (!is_known) throw rwkv::ArgumentError({.item = "/params", .problem = "there is no " + rwkv::in_quotes(name)});
  }
  if (max_tokens < 0) throw rwkv::ArgumentError({.item = "/params", .problem = "max_tokens must not be negative"});
  if (is_change) {
    check_sampling(changed);
    chat_.session().set_sampling(changed, ++seed_);
    sampling_ = changed;
    options_.max_tokens = max_tokens;
    has_changed_params_ = true;
  }
  for (const auto& [name, value] : reals) std::cerr << name << '=' << *value << ' ';
  for (const auto& [name, value] : counts) std::cerr << name << '=' << *value << ' ';
  tell("\n");
}

void Chat::stats() const {
  const rwkv::Session& session = chat_.session();
  std::cerr << n_turns(chat_) << ", " << session.size() << " tokens; the model has read " << session.n_read() << ".\n"
            << session.n_checkpoints() << " checkpoints, one for each " << session.interval()
            << " tokens and for the ends of turns; memory " << static_cast<double>(session.n_bytes()) / 1e6 << " MB.\n";
  if (seconds_ > 0) {
    std::cerr << "Last answer: " << chat_.last().n_tokens << " tokens in " << seconds_ << " s.\n";
  }
  tell("");
}

void Chat::check_replaceable(const std::string& path) {
  std::error_code error;  // what cannot be looked at is told by who writes there
  if (!std::filesystem::is_regular_file(path, error) || std::filesystem::file_size(path, error) == 0) return;
  try {
    if (rwkv::is_session(rwkv::open_checkpoint(path, {.verify_checksums = false}))) return;
  } catch (const rwkv::Error&) {
    // no checkpoint at all
  }
  throw rwkv::ArgumentError({.path = path, .problem = "is there, and is no chat", .hint = "Name another file."});
}

void Chat::load(const std::string& path) {
  chat_.load(load_(path), path);
  if (has_changed_params_) chat_.session().set_sampling(sampling_, ++seed_);
  seconds_ = 0;
}

void ChatCommand::run() const {
  check_sampling(sampling);
  const auto rules = grammar.load();
  rwkv::Workspace workspace(model.workspace());
  const rwkv::Checkpoint checkpoint = open_checkpoint(model.model, model);
  const auto weights = model.build(model.arranged(checkpoint));
  const auto text = model.tokenizer(weights);
  const std::uint64_t used_seed = seed.value_or(std::random_device()());
  const rwkv::SessionOptions options{.max_bytes = memory_mb << 20};
  rwkv::Session session(weights, text, workspace, options, sampling, used_seed);
  if (!state.empty()) session.begin_from(rwkv::load_state(weights, state, {.verify_checksums = model.verify}));
  Conversation conversation(std::move(session), form(checkpoint, text));
  if (!conversation.form().opening.empty() && rules) {
    throw rwkv::ArgumentError({.item = "--template " + conversation.form().name,
                               .problem = "a grammar is for answers, and these begin with thoughts",
                               .hint = "Use --template g1."});
  }
  Chat chat(std::move(conversation), *this, rules, used_seed, [&, this](const std::string& path) {
    return rwkv::load_session(weights, text, workspace, path, options, sampling, seed);
  });
  if (!chat.begin(system)) throw Interrupted{SIGINT};
  if (!session_path.empty()) chat.load(session_path);
  if (!chat.run()) throw rwkv::IoError({.path = "standard input", .problem = "has lines that failed, as told above"});
}

}  // namespace

void add_chat(CLI::App& program) {
  auto command = std::make_shared<ChatCommand>();
  CLI::App& app = *program.add_subcommand(
      "chat",
      "Talk with the model: each line is a turn. Exit status 0 after /quit or the end of the input (1 if it was no "
      "terminal and a line failed), 130 after Ctrl-C at the prompt, or whenever the input is no terminal");
  add_model_options(app, command->model);
  add_tokenizer_option(app, command->model);
  std::string names;
  for (const rwkv::ChatTemplate& each : rwkv::chat_templates()) names += (names.empty() ? "" : ", ") + each.name;
  app.add_option("--template", command->form_name,
                 "How turns are written: " + names +
                     ", or a .json file of your own; default: what the model's file says (GGUF), or else world with "
                     "the vocabulary of RWKV World or of the Pile, and text with any other")
      ->check(file_name);
  auto* const system = app.add_option("--system", command->system, "What the chat begins with");
  auto* const state = app.add_option("--state", command->state, state_in_help)->check(file_name);
  app.add_option("--load", command->session_path, "A chat that /save wrote")
      ->check(file_name)
      ->excludes(system)
      ->excludes(state);
  app.add_option("--save-as", command->saved_form, "How /save writes States: f32 exact, f16 half as large, q8 a third")
      ->check([](const std::string& name) {
        return state_form(name) ? std::string() : "must be f32, f16 or q8, not " + rwkv::in_quotes(name);
      })
      ->option_text("f32|f16|q8");
  app.add_option("-n,--n-tokens", command->n_tokens, "Tokens of an answer at most")
      ->check(count)
      ->capture_default_str();
  app.add_option("--stop", command->stops, "End answers before this text, too; may be given several times")
      ->allow_extra_args(false);
  app.add_option("--memory", command->memory_mb, "MB for checkpoints, with which /undo need not read again")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_flag("--show-thinking", command->shows_thoughts,
               "Print what a model thinks, too, where it is not a terminal");
  add_grammar_options(app, command->grammar);
  add_sampling_options(app, command->sampling, command->seed);
  app.callback([command] { command->run(); });
}

}  // namespace cli
