// SPDX-License-Identifier: MIT
// The pictures of rwkv inspect --html: one HTML file that needs no other.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rwkv/inspect/half_life.hpp"
#include "rwkv/inspect/text_trace.hpp"
#include "rwkv/text/tokenizer.hpp"

namespace cli {

/// What a page shows of a text.
struct TracedText {
  rwkv::TextTrace trace;
  rwkv::Tokenizer tokenizer;
  rwkv::Index n_left_out = 0;  ///< tokens of the text that were not read
  std::string origin;          ///< "the text given with --prompt"
};

/// What a page shows.
struct InspectPage {
  std::string title;                                       ///< the name of the model
  std::vector<std::pair<std::string, std::string>> facts;  ///< names and values: "layers", "12"
  rwkv::Config config;
  rwkv::Decays decays;  ///< as they are stored: those of the text are in its trace
  std::optional<TracedText> text;

  /// The HTML. What is too much for a page is left out, and it says so.
  [[nodiscard]] std::string html() const;
};

}  // namespace cli
