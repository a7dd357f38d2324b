// SPDX-License-Identifier: MIT
// rwkv tokenize: text to tokens and back.
#include "command.hpp"

namespace cli {
namespace {

struct TokenizeCommand {
  std::string tokenizer;
  bool decode = false;

  void run() const {
    const rwkv::Tokenizer text =
        tokenizer.empty() ? rwkv::Tokenizer(rwkv::ByteTokenizer()) : rwkv::load_tokenizer(tokenizer);
    const std::string input = read_text("-");
    if (decode) return print_decoded(text, parse_tokens(input));
    std::string line;
    for (const rwkv::Token token : text.encode(input)) line += (line.empty() ? "" : " ") + std::to_string(token);
    print(line + "\n");
  }

private:
  static void print_decoded(const rwkv::Tokenizer& text, const std::vector<rwkv::Token>& tokens) {
    for (const rwkv::Token token : tokens) {
      if (token >= 0 && token < text.n_vocab()) continue;
      throw rwkv::ArgumentError({.item = "token",
                                 .expected = "0 to " + std::to_string(text.n_vocab() - 1) + ", the vocabulary",
                                 .found = std::to_string(token)});
    }
    print(text.decode(tokens));
  }
};

}  // namespace

void add_tokenize(CLI::App& program) {
  auto command = std::make_shared<TokenizeCommand>();
  CLI::App& app =
      *program.add_subcommand("tokenize", "Text on standard input to token ids on standard output, or back");
  app.add_option("--tokenizer", command->tokenizer, "Vocabulary file; default: every byte is a token")
      ->envname("RWKV_TOKENIZER")
      ->check(file_name);
  app.add_flag("--decode", command->decode, "From ids, separated by spaces or commas, to text");
  app.callback([command] { command->run(); });
}

}  // namespace cli
