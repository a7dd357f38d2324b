// SPDX-License-Identifier: MIT
#include "eval_records.hpp"

#include <filesystem>

#include "command.hpp"

namespace cli {
namespace {

Json parse_line(std::string_view line, const std::string& path, std::size_t number) {
  try {
    return Json::parse(line);
  } catch (const nlohmann::json::exception&) {
    throw rwkv::FormatError({.path = path, .item = "line " + std::to_string(number), .expected = "JSON"});
  }
}

/// A head of results without the names of the files: the same weights may be in a file of another name.
Json without_names(Json head) {
  if (!head.is_object()) return head;
  head.erase("model");
  const auto against = head.find("against");
  if (against != head.end() && against->is_object()) against->erase("model");
  return head;
}

/// Throws ArgumentError unless the heads of two results are of one evaluation.
void check_same(const Json& expected, const Json& found, const std::string& path, const std::string& problem) {
  const Json a = without_names(expected), b = without_names(found);
  if (a == b) return;
  throw rwkv::ArgumentError({.path = path, .problem = problem, .expected = a.dump(), .found = b.dump()});
}

}  // namespace

std::vector<JsonLine> parse_json_lines(const std::string& text, const std::string& path) {
  std::vector<JsonLine> lines;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") != line.npos) lines.push_back({number + 1, parse_line(line, path, number + 1)});
    begin = end + 1;
  }
  return lines;
}

void EvalSummary::add(const Json& record) {
  ++n_documents_;
  if (task_ == "lambada") {
    lambada_.add(record.at("log_p"), record.at("is_correct"));
  } else if (task_ == "choice") {
    choice_.add(record.at("log_p").get<std::vector<double>>(), record.at("n_bytes").get<std::vector<rwkv::Index>>(),
                record.at("answer"));
  } else {
    text_ += {record.at("log_p"), record.at("n_tokens"), record.at("n_bytes")};
    if (!compares_) return;
    comparison_.merge({record.at("kl").get<std::vector<float>>(), record.at("log_p"), record.at("log_p_against"),
                       record.at("n_agreed")});
  }
}

Json EvalSummary::figures() const {
  const auto mean = [](rwkv::Index n, double value) { return n > 0 ? Json(value) : Json(nullptr); };  // none of nothing
  if (task_ == "lambada") {
    return {{"n", lambada_.n},
            {"accuracy", mean(lambada_.n, lambada_.accuracy())},
            {"perplexity", mean(lambada_.n, lambada_.perplexity())}};
  }
  if (task_ == "choice") {
    return {{"n", choice_.n},
            {"accuracy", mean(choice_.n, choice_.accuracy())},
            {"accuracy_normalised", mean(choice_.n, choice_.accuracy_normalised())}};
  }
  Json figures{{"n_documents", n_documents_},
               {"n_bytes", text_.n_bytes},
               {"n_tokens", text_.n_tokens},
               {"bits_per_byte", mean(text_.n_tokens, text_.bits_per_byte())},
               {"perplexity", mean(text_.n_tokens, text_.perplexity())}};
  if (!compares_) return figures;
  const rwkv::ComparisonResult found = comparison_.result();
  figures.update(Json{{"perplexity_against", found.perplexity_b},
                      {"perplexity_ratio", found.perplexity_ratio},
                      {"mean_kl", found.mean_kl},
                      {"kl_99", found.kl_99},
                      {"max_kl", found.max_kl},
                      {"top1_agreement", found.top1_agreement}});
  return figures;
}

EvalFile read_eval_file(const std::string& path) {
  const std::string text = read_text(path);
  EvalFile file{{}, {}, 0};
  std::size_t number = 0;
  for (std::size_t end; (end = text.find('\n', file.n_whole_bytes)) != text.npos; file.n_whole_bytes = end + 1) {
    Json line = parse_line(std::string_view(text).substr(file.n_whole_bytes, end - file.n_whole_bytes), path, ++number);
    if (number > 1) {
      file.records.push_back(std::move(line));
    } else if (line.is_object() && line.contains("eval")) {
      file.head = std::move(line);
    } else {
      break;
    }
  }
  const bool is_cut_off = text.find('\n') == text.npos && text.starts_with("{\"eval\"");
  if (!file.head.is_null() || text.empty() || is_cut_off) return file;
  throw rwkv::FormatError({.path = path, .problem = "is no file of results", .expected = "one that rwkv eval wrote"});
}

std::set<rwkv::Index> documents_in(const EvalFile& file, const std::string& path) {
  std::set<rwkv::Index> documents;
  if (file.records.empty()) return documents;
  const auto fail = [&](std::size_t line, const std::string& expected, const Json& found) {
    throw rwkv::FormatError(
        {.path = path, .item = "line " + std::to_string(line), .expected = expected, .found = found.dump()});
  };
  const auto n_documents = file.head.find("n_documents");
  if (n_documents == file.head.end() || !n_documents->is_number_integer()) {
    fail(1, "the number of documents, \"n_documents\"", file.head);
  }
  const auto n = n_documents->get<rwkv::Index>();
  for (std::size_t i = 0; i < file.records.size(); ++i) {
    const Json& record = file.records[i];
    const std::size_t line = i + 2;  // the head is the first
    const auto found = record.find("document");
    if (found == record.end() || !found->is_number_integer()) fail(line, "a \"document\", by its number", record);
    const auto document = found->get<rwkv::Index>();
    if (document < 0 || document >= n) fail(line, "a \"document\" from 0 to " + std::to_string(n - 1), *found);
    if (documents.insert(document).second) continue;
    throw rwkv::FormatError({.path = path,
                             .item = "line " + std::to_string(line),
                             .problem = "document " + found->dump() + " is there twice"});
  }
  return documents;
}

Json merge_eval_files(const std::vector<std::string>& paths) {
  Json head;
  std::set<rwkv::Index> documents;
  std::vector<Json> records;
  for (const std::string& path : paths) {
    EvalFile file = read_eval_file(path);
    if (head.is_null()) head = file.head;
    check_same(head, file.head, path, "is of another evaluation than " + paths.front());
    for (const rwkv::Index document : documents_in(file, path)) {
      if (documents.insert(document).second) continue;
      throw rwkv::ArgumentError({.path = path,
                                 .item = "document " + std::to_string(document),
                                 .problem = "is in another of these files, too"});
    }
    std::move(file.records.begin(), file.records.end(), std::back_inserter(records));
  }
  if (head.is_null()) throw rwkv::ArgumentError({.item = "eval merge", .problem = "there are no results yet"});
  try {
    // In the order of the documents, so that the sums are those of one machine.
    std::ranges::sort(records, {}, [](const Json& record) { return record.at("document").get<rwkv::Index>(); });
    EvalSummary summary(head.at("eval"), head.contains("against"));
    for (const Json& record : records) summary.add(record);
    Json figures = summary.figures();
    figures["n_missing"] = head.at("n_documents").get<rwkv::Index>() - std::ssize(records);
    return figures;
  } catch (const nlohmann::json::exception& error) {
    throw rwkv::FormatError({.path = paths.front(), .problem = "a line is not as expected", .hint = error.what()});
  }
}

Results::Results(const std::string& path, const Json& head) : path_(path) {
  if (path.empty()) return;
  EvalFile file{{}, {}, 0};
  if (std::filesystem::exists(path)) {
    file = read_eval_file(path);
    if (!file.head.is_null()) check_same(head, file.head, path, "has results of another evaluation");
    done_ = documents_in(file, path);
    records_ = std::move(file.records);
    std::filesystem::resize_file(path, file.n_whole_bytes);  // a line that was cut off is done again
  }
  out_.open(path, std::ios::binary | std::ios::app);
  if (file.head.is_null()) write(head);
}

void Results::add(Json record) {
  if (!path_.empty()) write(record);
  records_.push_back(std::move(record));
}

void Results::write(const Json& line) {
  out_ << line.dump() << '\n' << std::flush;
  if (!out_) throw rwkv::IoError({.path = path_, .problem = "cannot write"});
}

}  // namespace cli
