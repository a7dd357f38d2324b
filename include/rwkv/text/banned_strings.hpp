// SPDX-License-Identifier: MIT
// Texts that must not appear in what is generated, wherever the borders of tokens are.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/text/tokenizer.hpp"
#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

/// Which tokens would complete one of the texts after what was generated so far. Who draws none of them never has to
/// take anything back, so that streams stay as they are; the beginning of a text may appear, all of it never does.
///
/// Texts are compared byte by byte: "Cat" and "cat" are two. A prompt does not count. A value; copies share the lists
/// of tokens: for every way to cut a text in two, the tokens that begin with its second part.
class BannedStrings {
public:
  /// Throws ArgumentError if a text is empty. Looks at every token once for every byte at the ends of the texts, as
  /// many as the longest token has. Memory: a few times the texts, and the lists.
  BannedStrings(std::span<const std::string> texts, const Tokenizer& tokenizer)
      : tokenizer_(tokenizer), data_(make(texts, tokenizer)) {
    recent_.reserve(data_->n_remembered + 128);
  }

  /// Tells that a token was generated.
  void accept(Token token) {
    recent_ += tokenizer_.bytes(token);
    if (recent_.size() > data_->n_remembered) recent_.erase(0, recent_.size() - data_->n_remembered);
  }

  /// Forgets what was generated.
  void reset() noexcept { recent_.clear(); }

  /// Calls on_token(Token) for each token that would complete a text, for some more than once.
  template <class Function>
  void for_each_completing(Function on_token) const {
    for (const Completion& each : data_->completions) {
      if (!std::string_view(recent_).ends_with(each.before)) continue;
      for (const Token token : each.tokens) on_token(token);
    }
  }

private:
  struct Completion {
    std::string_view before;    // what must have been generated: a part of one of the texts
    std::vector<Token> tokens;  // and what completes the text then
  };
  struct Data {
    std::vector<std::string> texts;
    std::size_t n_remembered = 0;  // bytes that can matter later
    std::vector<Completion> completions;
  };

  static std::shared_ptr<const Data> make(std::span<const std::string> texts, const Tokenizer& tokenizer) {
    const auto data = std::make_shared<Data>();
    data->texts.assign(texts.begin(), texts.end());
    std::size_t longest = 0;
    for (Token token = 0; token < tokenizer.n_vocab(); ++token)
      longest = std::max(longest, tokenizer.bytes(token).size());
    for (const std::string_view text : data->texts) {
      if (text.empty()) throw ArgumentError({.item = "banned string", .problem = "is empty"});
      data->n_remembered = std::max(data->n_remembered, text.size() - 1);
      const std::size_t first_cut = text.size() - std::min(text.size(), longest);  // a token completes no more
      for (std::size_t n = first_cut; n < text.size(); ++n) {
        Completion cut{text.substr(0, n), {}};
        for (Token token = 0; token < tokenizer.n_vocab(); ++token) {
          const std::string_view bytes = tokenizer.bytes(token);
          if (n == 0 ? bytes.find(text) != bytes.npos : bytes.starts_with(text.substr(n))) cut.tokens.push_back(token);
        }
        if (!cut.tokens.empty()) data->completions.push_back(std::move(cut));
      }
    }
    return data;
  }

  Tokenizer tokenizer_;
  std::shared_ptr<const Data> data_;
  std::string recent_;  // the last bytes generated
};

RWKV_NAMESPACE_END
