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
    if (decode) return print(text.decode(parse_tokens(input)));
    std::string line;
    for (const rwkv::Token token : text.encode(input)) line += (line.empty() ? "" : " ") + std::to_string(token);
    print(line + "\n");
  }
};

}  // namespace

void add_tokenize(CLI::App& program) {
  auto command = std::make_shared<TokenizeCommand>();
  CLI::App& app =
      *program.add_subcommand("tokenize", "Text on standard input to token ids on standard output, or back");
  app.add_option("--tokenizer", command->tokenizer, "Vocabulary file; default: every byte is a token")
      ->envname("RWKV_TOKENIZER");
  app.add_flag("--decode", command->decode, "From ids, separated by spaces or commas, to text");
  app.callback([command] { command->run(); });
}

}  // namespace cli
