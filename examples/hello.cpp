// SPDX-License-Identifier: MIT
// Continues a text with a model: hello MODEL [TOKENIZER].
#include <iostream>
#include <rwkv/rwkv.hpp>

int main(int argc, char** argv) try {
  if (argc < 2) throw rwkv::ArgumentError({.item = "hello", .expected = "hello MODEL [TOKENIZER]"});
  const rwkv::Model model = rwkv::load_model(argv[1]);
  const rwkv::Tokenizer tokenizer = rwkv::tokenizer_for(model, argv[1], argc > 2 ? argv[2] : "");

  rwkv::Workspace workspace;  // threads, kernels, scratch memory
  rwkv::Generator generator(model, tokenizer, workspace, {.temperature = 0.8, .top_p = 0.9}, /*seed=*/1);
  generator.read("Once upon a time");
  generator.generate({.max_tokens = 100, .stops = {"\n\n"}}, [](std::string_view text) {
    std::cout << text << std::flush;
    return true;  // false would stop here
  });
  std::cout << '\n';
} catch (const rwkv::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
