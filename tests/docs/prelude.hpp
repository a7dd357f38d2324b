// What pages take for granted: a model, its tokenizer, a workspace, and some tokens.
const rwkv::Model model = rwkv::load_model("model.pth");
const rwkv::Tokenizer tokenizer = rwkv::tokenizer_for(model, "model.pth");
rwkv::Workspace workspace({.n_threads = 2});
const std::vector<rwkv::Token> tokens = tokenizer.encode("Once upon a time there was a king.");
