// SPDX-License-Identifier: MIT
// What `rwkv eval` writes for each document, and what many of these lines come to.
//
// A file of results is JSON lines: first what was evaluated, then a line for each document, in the order in which they
// were done. What stops in the middle goes on after the last whole line. Two evaluations are the same if all that the
// first line tells is, but for the names of models.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "rwkv/eval.hpp"

namespace cli {

using Json = nlohmann::ordered_json;

/// A line of a file, with its number for messages.
struct JsonLine {
  std::size_t number;
  Json value;
};
/// The lines of a text that are not empty. Throws FormatError with the path.
[[nodiscard]] std::vector<JsonLine> parse_json_lines(const std::string& text, const std::string& path);

/// The sums over documents of one task, and its figures.
class EvalSummary {
public:
  /// `task` is perplexity, lambada or choice.
  EvalSummary(std::string task, bool compares) : task_(std::move(task)), compares_(compares) {}

  /// Throws nlohmann::json::exception if something is missing.
  void add(const Json& record);

  [[nodiscard]] Json figures() const;

private:
  std::string task_;
  bool compares_;
  rwkv::Index n_documents_ = 0;
  rwkv::TextScore text_;
  rwkv::Comparison comparison_;
  rwkv::LambadaResult lambada_;
  rwkv::ChoiceResult choice_;
};

/// A file of results that was read.
struct EvalFile {
  Json head;
  std::vector<Json> records;
  std::size_t n_whole_bytes;  // up to the end of the last whole line
};
/// Throws FormatError if it is none.
[[nodiscard]] EvalFile read_eval_file(const std::string& path);

/// The documents that have a record. Throws FormatError if one has two, or is none of those that the head counts.
[[nodiscard]] std::set<rwkv::Index> documents_in(const EvalFile& file, const std::string& path);

/// The figures of all files together. Throws ArgumentError if they are not of one evaluation or share a document.
[[nodiscard]] Json merge_eval_files(const std::vector<std::string>& paths);

/// The lines of results, kept in a file if there is one.
class Results {
public:
  /// With an empty path there is no file. Throws ArgumentError if the file is of another evaluation, FormatError,
  /// IoError.
  Results(const std::string& path, const Json& head);

  [[nodiscard]] bool has(rwkv::Index document) const { return done_.contains(document); }
  [[nodiscard]] const std::vector<Json>& records() const noexcept { return records_; }
  void add(Json record);

private:
  void write(const Json& line);

  std::string path_;
  std::ofstream out_;
  std::set<rwkv::Index> done_;  // when the file was opened
  std::vector<Json> records_;
};

}  // namespace cli
