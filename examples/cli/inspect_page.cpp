// SPDX-License-Identifier: MIT
// The data of the pictures, and the page around them: examples/cli/page/ has its HTML, CSS and JavaScript.
#include "inspect_page.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numbers>
#include <numeric>
#include <span>
#include <string_view>

#include "embedded_file.hpp"
#include "rwkv/core/utf8.hpp"
#include "rwkv/eval/tasks.hpp"
#include "rwkv/inspect/layer_memory.hpp"
#include "rwkv/io/byte_reader.hpp"

RWKV_INCLUDE_FILE(rwkv_page_html, RWKV_PAGE "/inspect.html")
RWKV_INCLUDE_FILE(rwkv_page_css, RWKV_PAGE "/inspect.css")
RWKV_INCLUDE_FILE(rwkv_page_charts, RWKV_PAGE "/charts.js")
RWKV_INCLUDE_FILE(rwkv_page_js, RWKV_PAGE "/inspect.js")

namespace cli {
namespace {

using Json = nlohmann::ordered_json;
using rwkv::Index;

/// With 4 significant digits: more cannot be seen, and would double the page. Null for what is no number.
Json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.4g", value);
  return std::strtod(digits, nullptr);
}

/// Characters as they are, and what cannot be shown as \xNN: control characters and bytes that are no UTF-8.
struct ShownToken {
  std::string text;
  bool is_escaped = false;

  ShownToken(rwkv::Token token, const rwkv::Tokenizer& tokenizer) {
    constexpr std::size_t most_bytes = 100;
    std::string_view bytes = tokenizer.bytes(token);
    is_escaped = bytes.empty() || bytes.size() > most_bytes;
    if (bytes.empty()) text = "token " + std::to_string(token);
    const bool is_cut = bytes.size() > most_bytes;
    bytes = rwkv::first_characters(bytes, most_bytes);
    for (; !bytes.empty();) {
      const auto [code_point, n_bytes] = rwkv::front_character(bytes);
      append(code_point, bytes.substr(0, n_bytes));
      bytes.remove_prefix(n_bytes);
    }
    if (is_cut) text += "...";
  }

  [[nodiscard]] Json json() const { return is_escaped ? Json::array({text, true}) : Json(text); }

private:
  void append(char32_t code_point, std::string_view bytes) {
    const bool is_control = code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
    if (code_point == '\n' || code_point == '\t' || !(is_control || code_point >= rwkv::not_utf8)) {
      text += bytes;
      return;
    }
    is_escaped = true;
    for (const char byte : bytes) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
      text += escape;
    }
  }
};

/// [[token, p], ...]
Json candidates(std::span<const rwkv::LikelyToken> tokens, const rwkv::Tokenizer& tokenizer) {
  Json result = Json::array();
  for (const rwkv::LikelyToken& each : tokens) {
    result.push_back({ShownToken(each.token, tokenizer).json(), rounded(each.p())});
  }
  return result;
}

/// How much and how well: what rwkv eval perplexity tells of the same text.
Json text_json(const TracedText& text) {
  rwkv::TextScore score;
  Json tokens = Json::array();
  for (const auto& [found, rank, expected] : text.trace.tokens) {
    const Json shown = ShownToken(found.token, text.tokenizer).json();
    if (rank == 0) {  // nothing was expected
      tokens.push_back({shown, found.token});
      continue;
    }
    score += {found.log_p, 1, std::ssize(text.tokenizer.bytes(found.token))};
    tokens.push_back({shown, found.token, rounded(found.bits()), rank, candidates(expected, text.tokenizer)});
  }
  return {{"origin", rwkv::to_utf8(rwkv::printable(text.origin))},
          {"n_tokens", text.trace.tokens.size()},
          {"n_left_out", text.n_left_out},
          {"n_scored", score.n_tokens},
          {"n_bytes", score.n_bytes},
          {"bits", -score.log_p * std::numbers::log2e},
          {"bits_per_byte", score.bits_per_byte()},
          {"perplexity", score.perplexity()},
          {"tokens", tokens},
          {"next", candidates(text.trace.next, text.tokenizer)}};
}

/// Of sorted values, by linear interpolation between the nearest two.
double quantile(std::span<const double> sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double weight = place - static_cast<double>(below);
  return weight == 0 ? sorted[below] : sorted[below] * (1 - weight) + sorted[above] * weight;
}

/// The scale of half-lives in a page: from 10^low to 10^high tokens.
struct HalfLifeScale {
  double low, high;
  std::size_t n_together;  // channels in a cell of the picture of all

  explicit HalfLifeScale(const std::vector<std::vector<double>>& logs)
      : low(std::log10(most)), high(std::log10(least)) {
    constexpr std::size_t most_columns = 1024;
    std::size_t n_most = 1;
    for (const std::vector<double>& layer : logs) {
      for (const double each : layer) low = std::min(low, each), high = std::max(high, each);
      n_most = std::max(n_most, layer.size());
    }
    low = std::floor(low * 4) / 4;
    high = std::max(std::ceil(high * 4) / 4, low + 0.5);
    n_together = (n_most + most_columns - 1) / most_columns;
  }

  /// What is beyond goes to the ends of the scale.
  static constexpr double least = 1e-2, most = 1e7;
  static double log(double log_decay) { return std::log10(std::clamp(rwkv::half_life(log_decay), least, most)); }
};

/// One layer: what share of its channels is in which bin of the scale, and the channels themselves.
Json channels_json(const std::vector<double>& logs, const HalfLifeScale& scale) {
  constexpr std::size_t n_bins = 60;
  std::vector<double> bins(n_bins);
  for (const double each : logs) {
    const double place = (each - scale.low) / (scale.high - scale.low) * static_cast<double>(n_bins);
    bins[std::min(static_cast<std::size_t>(place), n_bins - 1)] += 1 / static_cast<double>(logs.size());
  }
  Json row{{"bins", Json::array()}, {"channels", Json::array()}};
  for (const double share : bins) row["bins"].push_back(rounded(share));
  for (std::size_t c = 0; c < logs.size(); c += scale.n_together) {
    const auto group = std::span(logs).subspan(c, std::min(scale.n_together, logs.size() - c));
    const double sum = std::accumulate(group.begin(), group.end(), 0.0);
    row["channels"].push_back(rounded(sum / static_cast<double>(group.size())));
  }
  return row;
}

/// The half-lives of all layers; logarithms are to base 10.
Json half_life_json(const rwkv::Decays& decays, const rwkv::Config& config) {
  constexpr std::array<const char*, 4> sources{"none", "weights", "bias", "text"};
  std::vector<std::vector<double>> logs;
  for (const std::vector<double>& layer : decays.layers) {
    std::ranges::transform(layer, std::back_inserter(logs.emplace_back()), HalfLifeScale::log);
  }
  const HalfLifeScale scale(logs);
  Json layers = Json::array();
  for (std::size_t i = 0; i < logs.size(); ++i) {
    Json& row = layers.emplace_back(nullptr);
    if (logs[i].empty()) continue;
    row = channels_json(logs[i], scale);
    std::vector<double> sorted;
    for (const double decay : decays.layers[i]) sorted.push_back(rwkv::half_life(decay));
    std::ranges::sort(sorted);
    for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0}) row["quantiles"].push_back(rounded(quantile(sorted, share)));
  }
  return {{"source", sources[static_cast<std::size_t>(decays.source)]},
          {"unit", rwkv::has_decay_by_head(config.generation) ? "head" : "channel"},
          {"low", scale.low},
          {"high", scale.high},
          {"n_together", scale.n_together},
          {"layers", layers}};
}

/// Norms as [n_layer][n_head][P].
Json norms_json(const rwkv::TextTrace& trace, Index n_layer) {
  Json layers = Json::array();
  for (Index layer = 0; layer < n_layer; ++layer) {
    Json heads = Json::array();
    for (Index head = 0; head < trace.n_head; ++head) {
      Json row = Json::array();
      for (std::size_t p = 0; p < trace.norms_after.size(); ++p) {
        const Index place = (static_cast<Index>(p) * n_layer + layer) * trace.n_head + head;
        row.push_back(rounded(trace.norms[static_cast<std::size_t>(place)]));
      }
      heads.push_back(std::move(row));
    }
    layers.push_back(std::move(heads));
  }
  return {{"after", trace.norms_after}, {"layers", layers}};
}

std::string base64(std::span<const std::int8_t> bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < n ? static_cast<std::uint8_t>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) text += k <= n ? digits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

/// A matrix [n_rows, n_cols] with n x n values put together, of which the one farthest from 0 stays.
std::vector<float> put_together(std::span<const float> values, Index n_rows, Index n_cols, Index n) {
  std::vector<float> result;
  for (Index row = 0; row < n_rows; row += n) {
    for (Index col = 0; col < n_cols; col += n) {
      float farthest = 0;
      for (Index r = row; r < std::min(row + n, n_rows); ++r) {
        for (Index c = col; c < std::min(col + n, n_cols); ++c) {
          const float value = values[static_cast<std::size_t>(r * n_cols + c)];
          if (std::abs(value) > std::abs(farthest)) farthest = value;
        }
      }
      result.push_back(farthest);
    }
  }
  return result;
}

/// The final State: each matrix with its largest absolute value m, and its values v as round(127 sign(v) sqrt(|v| / m))
/// in base64, a byte each.
Json state_json(const rwkv::TextTrace& trace, const rwkv::Config& config) {
  constexpr Index most_values = Index{1} << 19;
  const bool is_matrix = config.generation >= rwkv::Generation::v5_0;
  const Index n_rows = is_matrix ? config.head_size : 1, n_cols = is_matrix ? config.head_size : config.n_att;
  const auto n_pooled = [](Index size, Index n) { return (size + n - 1) / n; };
  Index n = 1;
  while (n < n_cols && config.n_layer * trace.n_head * n_pooled(n_rows, n) * n_pooled(n_cols, n) > most_values) ++n;
  Json layers = Json::array();
  for (Index layer = 0; layer < config.n_layer; ++layer) {
    const rwkv::LayerMemory memory = rwkv::layer_memory(trace.state, config, layer);
    Json heads = Json::array();
    for (Index head = 0; head < memory.n_head; ++head) {
      const auto size = static_cast<std::size_t>(n_rows * n_cols);
      const std::span all(memory.values);
      const std::vector<float> values =
          put_together(all.subspan(static_cast<std::size_t>(head) * size, size), n_rows, n_cols, n);
      float largest = 0;
      for (const float value : values) largest = std::max(largest, std::abs(value));
      std::vector<std::int8_t> codes;
      for (const float value : values) {
        const float root = largest > 0 ? std::sqrt(std::abs(value) / largest) : 0;
        codes.push_back(static_cast<std::int8_t>(std::lround(127 * std::copysign(root, value))));
      }
      heads.push_back({rounded(static_cast<double>(largest)), base64(codes)});
    }
    layers.push_back(std::move(heads));
  }
  const bool has_value_rows = config.generation >= rwkv::Generation::v7;
  return {{"n_rows", n_pooled(n_rows, n)},
          {"n_cols", n_pooled(n_cols, n)},
          {"n_together", n},
          {"is_matrix", is_matrix},
          {"rows", has_value_rows ? "value" : "key"},
          {"cols", has_value_rows ? "key" : "value"},
          {"layers", layers}};
}

Json zeros_json(const rwkv::TextTrace& trace) {
  Json shares = Json::array();
  for (const std::optional<double>& share : trace.zero_shares) shares.push_back(share ? rounded(*share) : Json());
  return shares;
}

/// JSON that may stand in an element of HTML: ASCII without the characters that have a meaning there.
std::string for_html(const Json& json) {
  std::string text;
  for (const char c : json.dump(-1, ' ', true)) {
    switch (c) {
      case '<': text += "\\u003c"; break;
      case '>': text += "\\u003e"; break;
      case '&': text += "\\u0026"; break;
      default: text += c;
    }
  }
  return text;
}

void replace(std::string& text, std::string_view mark, std::string_view by) {
  text.replace(text.find(mark), mark.size(), by);
}

std::string_view between(const std::byte* begin, const std::byte* end) {
  return rwkv::as_text({begin, static_cast<std::size_t>(end - begin)});
}

}  // namespace

std::string InspectPage::html() const {
  const rwkv::TextTrace* const trace = text ? &text->trace : nullptr;
  Json data{{"title", rwkv::to_utf8(rwkv::printable(title))},
            {"facts", Json::array()},
            {"generation", rwkv::name(config.generation)},
            {"n_layer", config.n_layer},
            {"half_life", half_life_json(trace != nullptr ? trace->decays : decays, config)}};
  for (const auto& [name, value] : facts) data["facts"].push_back({name, rwkv::to_utf8(value)});
  if (trace != nullptr) {
    data["text"] = text_json(*text);
    if (trace->n_head > 0) {
      data["norms"] = norms_json(*trace, config.n_layer);
      data["state"] = state_json(*trace, config);
    }
    data["zeros"] = zeros_json(*trace);
  }
  std::string page(between(rwkv_page_html, rwkv_page_html_end));
  replace(page, "/* style */", between(rwkv_page_css, rwkv_page_css_end));
  replace(page, "/* charts */", between(rwkv_page_charts, rwkv_page_charts_end));
  replace(page, "/* script */", between(rwkv_page_js, rwkv_page_js_end));
  replace(page, "null/* data */", for_html(data));  // last: it may hold anything
  return page;
}

}  // namespace cli
