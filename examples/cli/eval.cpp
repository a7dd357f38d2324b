// SPDX-License-Identifier: MIT
// rwkv eval: how good a model is.
#include "rwkv/eval.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>

#include "command.hpp"
#include "eval_records.hpp"
#include "progress.hpp"
#include "rwkv/arch/fingerprint.hpp"
#include "rwkv/inspect/zero_share.hpp"
#include "rwkv/io/crc32.hpp"

namespace cli {
namespace {

/// "i/n": every n-th document, beginning with the i-th.
struct Shard {
  rwkv::Index i = 1, n = 1;

  [[nodiscard]] bool has(rwkv::Index document) const noexcept { return document % n == i - 1; }
};

Shard parse_shard(const std::string& text) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto [slash, error] = std::from_chars(text.data(), end, shard.i);
  if (error == std::errc() && slash != end && *slash == '/') {
    const auto [after, other_error] = std::from_chars(slash + 1, end, shard.n);
    if (other_error == std::errc() && after == end && shard.i >= 1 && shard.i <= shard.n) return shard;
  }
  throw rwkv::ArgumentError(
      {.item = "--shard", .expected = "I/N with I from 1 to N, such as 2/8", .found = rwkv::in_quotes(text)});
}

/// One text, question or file: what is scored for it, and what its record needs besides.
struct Document {
  rwkv::Index number;
  std::vector<rwkv::Passage> passages;
  rwkv::Index answer = 0;
};

/// A model as it is evaluated, and what the head of results tells of it.
struct Subject {
  rwkv::Checkpoint checkpoint;
  rwkv::Model weights;
  Json description;
};

struct EvalCommand {
  std::string task;  // perplexity, lambada, choice
  ModelOptions model;
  std::string against, out, shard = "1/1";
  std::vector<std::string> files;
  rwkv::Index window = 0, stride = 0, n_together = 8;
  bool from_start = false, json = false;

  void run() const;
  void merge() const { show(merge_eval_files(files)); }

private:
  [[nodiscard]] std::vector<Document> documents(const rwkv::Tokenizer& text, std::uint32_t& crc) const;
  [[nodiscard]] Document text_document(std::string_view text, const rwkv::Tokenizer& from) const;
  [[nodiscard]] Document line_document(const JsonLine& line, const std::string& path,
                                       const rwkv::Tokenizer& from) const;
  [[nodiscard]] Subject open(const std::string& path) const;
  [[nodiscard]] Json head(const Subject& subject, const std::optional<Subject>& other, const rwkv::Tokenizer& text,
                          rwkv::Index n_documents, std::uint32_t crc) const;
  void evaluate(const Subject& subject, const std::optional<Subject>& other, const rwkv::Tokenizer& text,
                const std::vector<Document>& documents, Results& results, rwkv::ZeroShare& zeros,
                const InterruptFlag& interrupted) const;
  void show(const Json& figures) const;
};

Document EvalCommand::text_document(std::string_view text, const rwkv::Tokenizer& from) const {
  std::vector<rwkv::Token> tokens = from.encode(text);
  if (from_start) {
    const auto start = from.end_of_text();
    if (!start)
      throw rwkv::ArgumentError({.item = "--from-start", .problem = "the vocabulary has no end-of-text token"});
    tokens.insert(tokens.begin(), *start);
  }
  return {0, rwkv::windows(tokens, window, window > 0 && stride == 0 ? window / 2 : stride)};
}

Document EvalCommand::line_document(const JsonLine& line, const std::string& path, const rwkv::Tokenizer& from) const {
  try {
    if (task == "perplexity") return text_document(line.value.at("text").get<std::string>(), from);
    if (task == "lambada") return {0, {rwkv::lambada_passage(line.value.at("text").get<std::string>(), from)}};
    const std::string context = line.value.at("context");
    Document question{0, {}, line.value.at("answer").get<rwkv::Index>()};
    for (const std::string choice : line.value.at("choices")) {
      question.passages.push_back(rwkv::continuation(context, choice, from));
    }
    if (question.answer >= 0 && question.answer < std::ssize(question.passages)) return question;
    throw rwkv::ArgumentError(
        {.item = "answer", .expected = "the number of a choice, from 0", .found = std::to_string(question.answer)});
  } catch (const nlohmann::json::exception&) {
    throw rwkv::FormatError(
        {.path = path,
         .item = "line " + std::to_string(line.number),
         .expected = task == "choice" ? "\"context\", \"choices\" and \"answer\", the number of one of them, from 0"
                                      : "an object with a \"text\""});
  } catch (const rwkv::ArgumentError& error) {
    throw rwkv::FormatError({.path = path, .item = "line " + std::to_string(line.number), .problem = error.what()});
  }
}

/// Of all files, numbered; `crc` becomes the checksum of what they hold.
std::vector<Document> EvalCommand::documents(const rwkv::Tokenizer& text, std::uint32_t& crc) const {
  std::vector<Document> result;
  for (const std::string& path : files) {
    const std::string content = read_text(path);
    crc = rwkv::crc32(std::as_bytes(std::span(content)), crc);
    if (task == "perplexity" && !path.ends_with(".jsonl")) {
      result.push_back(text_document(content, text));
    } else {
      for (const JsonLine& line : parse_json_lines(content, path)) result.push_back(line_document(line, path, text));
    }
  }
  for (std::size_t i = 0; i < result.size(); ++i) result[i].number = static_cast<rwkv::Index>(i);
  return result;
}

Subject EvalCommand::open(const std::string& path) const {
  rwkv::Checkpoint stored = open_checkpoint(path, model);
  rwkv::Checkpoint checkpoint = model.arranged(stored);
  rwkv::Model weights = model.build(checkpoint);
  // A copy in other types has the fingerprint of the original in its metadata, and predicts otherwise.
  stored.metadata().erase(std::string(rwkv::fingerprint_key));
  const std::string name = path.empty() ? "demo model" : std::filesystem::path(path).filename().string();
  const Json description{{"model", rwkv::to_utf8(name)},
                         {"fingerprint", weights.state_layout().fingerprint()},
                         {"stored", rwkv::Model(stored).state_layout().fingerprint()},
                         {"group_norm_eps", weights.config().group_norm_eps}};
  return {std::move(checkpoint), std::move(weights), description};
}

/// A checksum of all tokens.
std::uint32_t crc_of(const rwkv::Tokenizer& text) {
  std::string all(text.kind());
  for (rwkv::Token token = 0; token < text.n_vocab(); ++token) {
    const std::string_view bytes = text.bytes(token);
    all += std::to_string(bytes.size()) + ":";
    all += bytes;
  }
  return rwkv::crc32(std::as_bytes(std::span(all)));
}

/// All that the numbers of a document depend on, but for how sums are rounded; and names, for people.
Json EvalCommand::head(const Subject& subject, const std::optional<Subject>& other, const rwkv::Tokenizer& text,
                       rwkv::Index n_documents, std::uint32_t crc) const {
  Json result{{"eval", task}};
  result.update(subject.description);
  result.update(
      Json{{"tokenizer", crc_of(text)}, {"exact", model.exact}, {"n_documents", n_documents}, {"crc32", crc}});
  if (task != "perplexity") return result;
  result.update(Json{{"window", window}, {"stride", stride}, {"from_start", from_start}});
  if (other) result["against"] = other->description;
  return result;
}

/// The record of a document, from the scores of its passages.
Json record_of(const std::string& task, const Document& document, const rwkv::Tokenizer& text,
               const std::vector<rwkv::Score>& scores) {
  Json record{{"document", document.number}};
  if (task == "lambada") {
    record.update(Json{{"log_p", scores[0].log_p}, {"is_correct", scores[0].n_best == scores[0].n}});
  } else if (task == "choice") {
    record.update(Json{{"log_p", Json::array()}, {"n_bytes", Json::array()}, {"answer", document.answer}});
    for (std::size_t i = 0; i < scores.size(); ++i) {
      record["log_p"].push_back(scores[i].log_p);
      record["n_bytes"].push_back(rwkv::n_scored_bytes(document.passages[i], text));
    }
  } else {
    rwkv::TextScore sum;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      sum += {scores[i].log_p, scores[i].n, rwkv::n_scored_bytes(document.passages[i], text)};
    }
    record.update(Json{{"log_p", sum.log_p}, {"n_tokens", sum.n_tokens}, {"n_bytes", sum.n_bytes}});
  }
  return record;
}

/// The same of a comparison.
Json record_of(const Document& document, const rwkv::Tokenizer& text,
               const std::vector<rwkv::Comparison>& comparisons) {
  rwkv::Comparison sum;
  rwkv::Index n_bytes = 0;
  for (std::size_t i = 0; i < comparisons.size(); ++i) {
    sum.merge(comparisons[i]);
    n_bytes += rwkv::n_scored_bytes(document.passages[i], text);
  }
  return {{"document", document.number},
          {"log_p", sum.log_p_a()},
          {"n_tokens", sum.result().n},
          {"n_bytes", n_bytes},
          {"log_p_against", sum.log_p_b()},
          {"n_agreed", sum.n_agreed()},
          {"kl", std::vector<float>(sum.divergences().begin(), sum.divergences().end())}};
}

/// Puts what is found of passages together by document.
template <class Found>
class Collector {
public:
  explicit Collector(const std::vector<Document>& documents) {
    for (const Document& document : documents) {
      for (std::size_t i = 0; i < document.passages.size(); ++i) places_.push_back({&document, i});
    }
  }

  /// Calls on_document(document, what was found of its passages) with the last of them.
  template <class Function>
  void add(std::size_t passage, const Found& found, Function on_document) {
    const auto& [document, i] = places_[passage];
    auto& [all, n] = open_[document];
    all.resize(document->passages.size());
    all[i] = found;
    if (++n < all.size()) return;
    on_document(*document, all);
    open_.erase(document);
  }

private:
  struct Place {
    const Document* document;
    std::size_t i;
  };
  std::vector<Place> places_;
  std::map<const Document*, std::pair<std::vector<Found>, std::size_t>> open_;
};

void EvalCommand::evaluate(const Subject& subject, const std::optional<Subject>& other, const rwkv::Tokenizer& text,
                           const std::vector<Document>& documents, Results& results, rwkv::ZeroShare& zeros,
                           const InterruptFlag& interrupted) const {
  std::vector<rwkv::Passage> passages;
  rwkv::Index n_tokens = 0;
  for (const Document& document : documents) {
    passages.insert(passages.end(), document.passages.begin(), document.passages.end());
    if (document.passages.empty()) results.add(record_of(task, document, text, {}));
  }
  for (const rwkv::Passage& passage : passages) n_tokens += std::ssize(passage.tokens);
  Progress progress("evaluating", n_tokens, Progress::tokens, model.quiet);
  const auto on_read = [&](rwkv::Index n) {
    progress.add(n);
    return !interrupted.is_set();
  };
  rwkv::Workspace workspace(model.workspace());
  workspace.observe_products([&](const auto& weight, auto x) { zeros.add(weight, x); });
  const rwkv::ScoreOptions options{n_together};
  bool is_done = false;
  if (!other) {
    Collector<rwkv::Score> collector(documents);
    const auto on_score = [&](std::size_t passage, const rwkv::Score& score) {
      collector.add(passage, score, [&](const Document& document, const std::vector<rwkv::Score>& scores) {
        results.add(record_of(task, document, text, scores));
      });
    };
    is_done = rwkv::score(subject.weights, passages, on_score, on_read, workspace, options);
  } else {
    rwkv::Workspace other_workspace(model.workspace());
    Collector<rwkv::Comparison> collector(documents);
    const auto on_compared = [&](std::size_t passage, const rwkv::Comparison& comparison) {
      collector.add(passage, comparison, [&](const Document& document, const std::vector<rwkv::Comparison>& all) {
        results.add(record_of(document, text, all));
      });
    };
    is_done = rwkv::compare(subject.weights, other->weights, passages, on_compared, on_read, workspace, other_workspace,
                            options);
  }
  if (!is_done) interrupted.check();
}

void EvalCommand::show(const Json& figures) const {
  if (json) return print(figures.dump(2) + "\n");
  std::string text;
  for (const auto& [name, value] : figures.items()) text += name + " " + value.dump() + "\n";
  print(text);
}

void EvalCommand::run() const {
  const Shard part = parse_shard(shard);
  if (stride > 0 && window == 0) throw rwkv::ArgumentError({.item = "--stride", .problem = "needs --window"});
  if (!out.empty()) {
    for (const std::string& file : files)
      check_output(
          {"--out", out},
          {{"FILE", file}, {"--model", model.model}, {"--tokenizer", model.tokenizer_path}, {"--against", against}});
  }
  const Subject subject = open(model.model);
  std::optional<Subject> other;
  if (!against.empty()) other = open(against);
  const rwkv::Tokenizer text = model.tokenizer(subject.weights);
  std::uint32_t crc = 0;
  std::vector<Document> all = documents(text, crc);
  const InterruptFlag interrupted;  // before a line is written
  Results results(out, head(subject, other, text, std::ssize(all), crc));
  std::erase_if(all, [&](const Document& each) { return !part.has(each.number) || results.has(each.number); });
  rwkv::ZeroShare zeros(subject.checkpoint, subject.weights.config());
  evaluate(subject, other, text, all, results, zeros, interrupted);

  std::vector<Json> records = results.records();
  std::erase_if(records, [&](const Json& record) { return !part.has(record.at("document").get<rwkv::Index>()); });
  std::ranges::sort(records, {}, [](const Json& record) { return record.at("document").get<rwkv::Index>(); });
  EvalSummary summary(task, !against.empty());
  for (const Json& record : records) summary.add(record);
  Json figures = summary.figures();
  if (const std::optional<double> share = zeros.all())
    figures["zero_activation_share"] = *share;  // of what was read now
  show(figures);
}

/// A task and the flags that all tasks have.
std::pair<CLI::App*, std::shared_ptr<EvalCommand>> add_task(CLI::App& eval, const char* name, const char* help,
                                                            const char* files_help) {
  auto command = std::make_shared<EvalCommand>();
  command->task = name;
  CLI::App& app = *eval.add_subcommand(name, help);
  app.add_option("FILE", command->files, files_help)->required()->check(file_name);
  add_model_options(app, command->model);
  add_tokenizer_option(app, command->model);
  app.add_option("--together", command->n_together, "Texts to read as one batch")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--shard", command->shard, "I/N: every N-th document from the I-th, for many machines");
  app.add_option("--out", command->out,
                 "File of results, a line for each document; goes on where it was interrupted. Join those of shards "
                 "with rwkv eval merge")
      ->check(file_name);
  app.add_flag("--json", command->json, "As one JSON object");
  app.callback([command] { command->run(); });
  return {&app, command};
}

}  // namespace

void add_eval(CLI::App& program) {
  CLI::App& eval = *program.add_subcommand("eval", "Measure how good a model is");
  eval.require_subcommand(1);
  const auto [perplexity, command] =
      add_task(eval, "perplexity", "How well texts are predicted: perplexity of a token, bits per byte",
               "Texts, each a document; of a .jsonl the \"text\" of each line; - for standard input");
  perplexity->add_option("--window", command->window, "Forget what is further back than so many tokens; 0: nothing")
      ->check(count)
      ->capture_default_str();
  perplexity->add_option("--stride", command->stride, "Tokens from one window to the next; default: half a window")
      ->check(count);
  perplexity->add_flag("--from-start", command->from_start,
                       "Begin with the end-of-text token, so that the first token is scored, too");
  perplexity->add_option("--against", command->against, "Another model: how far its predictions are from the first")
      ->check(file_name);
  add_task(eval, "lambada", "LAMBADA: predict the last word", "Lines {\"text\": ...}");
  add_task(eval, "choice", "Multiple choice by likelihood",
           "Lines {\"context\": ..., \"choices\": [...], \"answer\": the number of the right one, from 0}");

  auto merge = std::make_shared<EvalCommand>();
  CLI::App& app = *eval.add_subcommand("merge", "The figures of several files of results together");
  app.add_option("FILE", merge->files, "Files that --out of the same evaluation wrote")->required()->check(file_name);
  app.add_flag("--json", merge->json, "As one JSON object");
  app.callback([merge] { merge->merge(); });
}

}  // namespace cli
