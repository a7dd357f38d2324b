// SPDX-License-Identifier: MIT
// A synthetic model as a file that the peers read, too.  usage: write_synthetic SHAPE DTYPE FILE.gguf
#include <cstdio>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/gguf_write.hpp"

int main(int argc, char** argv) try {
  if (argc != 4) return std::fputs("usage: write_synthetic SHAPE DTYPE FILE.gguf\n", stderr), 2;
  const auto dtype = rwkv::dtype_from_name(argv[2]);
  for (const rwkv::PublishedShape& shape : rwkv::published_shapes) {
    if (shape.name != argv[1] || !dtype) continue;
    rwkv::write_gguf(rwkv::synthetic(shape.config, *dtype, 1), argv[3]);
    return 0;
  }
  return std::fprintf(stderr, "no such shape or type: %s %s\n", argv[1], argv[2]), 2;
} catch (const rwkv::Error& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
