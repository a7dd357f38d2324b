// SPDX-License-Identifier: MIT
// Products by tiles in the sizes of models, where panels, blocks of tokens and parts of the inputs end somewhere.
#include "support/kernel_tables.hpp"

#include "rwkv/nn/linear.hpp"
#include "support/support.hpp"
#include "support/weights.hpp"

using namespace rwkv;
using rwkv_test::random_stored;
using rwkv_test::random_values;

namespace {

std::vector<KernelTable<float>> tables_with_tiles() {
  std::vector<KernelTable<float>> tables;
  if (is_available(Isa::avx512_amx)) tables.push_back(kernel_table<float>(Isa::avx512_amx));
  if (const auto table = rwkv_test::emulated_amx_table()) tables.push_back(*table);
  return tables;
}

std::vector<float> multiply(const Linear& linear, const std::vector<float>& x, Index n_tokens, Workspace& workspace) {
  std::vector<float> y(static_cast<std::size_t>(n_tokens * linear.n_out()), NAN);
  linear.apply<float>({x.data(), n_tokens, linear.n_in()}, {y.data(), n_tokens, linear.n_out()}, workspace);
  return y;
}

}  // namespace

TEST_SUITE_BEGIN("tile_gemm");

TEST_CASE("products by tiles are those of floats up to the error they state, by output and by input") {
  struct Size {
    Index n_in, n_out, n_tokens;
  };
  const Size sizes[]{{544, 290, 40}, {1056, 33, 520}, {31, 600, 65}, {512, 256, 512}, {96, 1, 17}};
  for (const KernelTable<float>& table : tables_with_tiles()) {
    Workspace workspace(table, {.n_threads = 2}), floats({.n_threads = 2, .isa = Isa::avx512});
    for (const Size& size : sizes) {
      const Index n_in = size.n_in, n_out = size.n_out, n_tokens = size.n_tokens;
      const auto x = random_values<float>(n_tokens * n_in, 5);
      for (const DType dtype : {DType::f16, DType::bf16}) {
        const auto weight = random_stored(dtype, n_out * n_in, 7);
        for (const bool is_by_input : {false, true}) {
          const Linear linear =
              is_by_input ? Linear::by_input(weight.view({n_in, n_out})) : Linear(weight.view({n_out, n_in}));
          const auto y = multiply(linear, x, n_tokens, workspace), expected = multiply(linear, x, n_tokens, floats);
          // Sums of n products of about 1, whose magnitudes add up to less than n; both ways are rounded.
          const double n = static_cast<double>(n_in);
          CAPTURE(name(dtype));
          CAPTURE(n_in);
          CAPTURE(is_by_input);
          CHECK(rwkv_test::max_abs_difference(y, expected) <= n * (table.split_error + 4 * n * 0x1p-24));
        }
      }
    }
  }
}

TEST_CASE("tiles keep what is not finite in its row") {
  for (const KernelTable<float>& table : tables_with_tiles()) {
    Workspace workspace(table, {.n_threads = 1});
    const Index n = 64, n_tokens = 20;
    for (const float poison : {NAN, INFINITY}) {
      auto x = random_values<float>(n_tokens * n, 5);
      x[3 * n + 7] = poison;
      const auto weight = random_stored(DType::bf16, n * n, 7);
      const auto y = multiply(Linear(weight.view({n, n})), x, n_tokens, workspace);
      for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::isfinite(y[i]) == (i / n != 3));
    }
  }
}

TEST_SUITE_END();
