// SPDX-License-Identifier: MIT
// Times the kernels one by one, on one thread, with Google Benchmark: for each instruction set that this processor has,
// the products with each type of weights, and the operators between them; and the sampler.
//
//   bench_kernels --benchmark_filter='gemv/avx512/' --benchmark_repetitions=5 --benchmark_report_aggregates_only=true
//
// Products y = x W^T are those of Linear, with activations rounded where it does so. Names end with the shape of W,
// [n_out, n_in]: a small one that stays in the second-level cache and one of 256 MiB that fits no cache. bytes/s counts
// the weights, once for all tokens. Rates are by processor time: another program on the same processor does not count.
// Before a product or an operator is timed, its result must have been right.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/nn/linear.hpp"
#include "rwkv/text/sampler.hpp"

namespace {

using rwkv::Buffer, rwkv::DType, rwkv::Index, rwkv::Isa, rwkv::TensorView;
using Table = rwkv::KernelTable<float>;

using rwkv::MatrixLayout;
struct Product {
  const char* name;
  Index n_tokens;
  MatrixLayout layout = MatrixLayout::by_output;
  Index zeros_of_ten = 0;  // of ten inputs so many are zero
};
constexpr Product products[] = {
    {"gemv", 1},
    {"gemv4", 4},
    {"gemm512", 512},
    {"interleaved", 1, MatrixLayout::interleaved},
    {"interleaved4", 4, MatrixLayout::interleaved},
    {"by_input", 1, MatrixLayout::by_input},
    {"by_input_zeros", 1, MatrixLayout::by_input, 9},
};

struct Size {
  Index n_in, n_bytes;
};
constexpr Size sizes[] = {{1024, Index{1} << 18}, {4096, Index{1} << 28}};

/// The shape that takes about n_bytes.
rwkv::Shape shape(DType dtype, Size size) {
  const Index row_bytes = size.n_in / rwkv::info(dtype).block_elements * rwkv::info(dtype).block_bytes;
  return {size.n_bytes / row_bytes / 16 * 16, size.n_in};
}

/// The bytes of a small random matrix, over and over: made fast, and for the time that is all the same. The last one is
/// kept, since benchmarks that follow each other have the same.
const TensorView& weight(DType dtype, Size size) {
  static TensorView last;
  if (last.dtype == dtype && last.shape == shape(dtype, size)) return last;
  last = {};  // never two of them in memory
  const rwkv::Config config{rwkv::Generation::v4, 1, 256, 256, 256, 0, 0, 256};
  const bool is_double = dtype == DType::f64;  // which no model has: synthetic() refuses
  TensorView tile = rwkv::synthetic(config, is_double ? DType::f32 : dtype, 1).at("blocks.0.ffn.key.weight");
  if (is_double) tile = rwkv::make_tensor<double>(dtype, tile.shape, rwkv::read_all<double>(tile).span());
  const auto bytes = std::make_shared<Buffer<std::byte>>(*rwkv::checked_n_bytes(dtype, shape(dtype, size)));
  for (Index at = 0; at < bytes->size(); at += tile.n_bytes()) {
    std::copy_n(tile.data, std::min(tile.n_bytes(), bytes->size() - at), bytes->data() + at);
  }
  return last = {dtype, shape(dtype, size), bytes->data(), bytes};
}

Buffer<float> normal(Index n) {
  rwkv::Random random(1);
  Buffer<float> values(n);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

/// Whether outputs of the last token are those of double precision. Rounding activations changes each term by 0.5 % of
/// the spread of its factor at random, hence their sum by 0.5 % of the root of the sum of squares: six times that.
bool is_product(const TensorView& weight, bool is_by_input, rwkv::MatrixView<const float> x,
                rwkv::MatrixView<const float> y) {
  const Index row_bytes = weight.n_bytes() / weight.shape[0], token = y.n_rows - 1;
  for (const Index row : {Index{0}, y.n_cols / 2, y.n_cols - 1}) {
    double sum = 0, squares = 0;
    for (Index i = 0; i < x.n_cols; ++i) {
      const std::byte* const stored = weight.data + (is_by_input ? i : row) * row_bytes;
      const double w = rwkv::read_element<double>(weight.dtype, stored, is_by_input ? row : i);
      const double term = w * static_cast<double>(x.row(token)[i]);
      sum += term;
      squares += term * term;
    }
    if (!(std::abs(static_cast<double>(y.row(token)[row]) - sum) < 0.03 * std::sqrt(squares))) return false;
  }
  return true;
}

rwkv::Linear arranged(const TensorView& weight, MatrixLayout layout) {
  if (layout == MatrixLayout::by_input) return rwkv::Linear::by_input(weight);
  return layout == MatrixLayout::interleaved ? rwkv::Linear::interleaved(weight) : rwkv::Linear(weight);
}

void multiply(benchmark::State& state, Isa isa, DType dtype, Size size, const Product& product) {
  const auto& [name, n_tokens, layout, zeros_of_ten] = product;
  const bool is_by_input = layout == MatrixLayout::by_input;
  const rwkv::Linear linear = arranged(weight(dtype, size), layout);
  rwkv::Workspace workspace({.n_threads = 1, .isa = isa});
  Buffer<float> inputs = normal(n_tokens * linear.n_in());
  for (Index i = 0; i < inputs.size(); ++i) {
    if (i % 10 < zeros_of_ten) inputs[i] = 0;
  }
  Buffer<float> outputs(n_tokens * linear.n_out());
  const rwkv::MatrixView<const float> x{inputs.data(), n_tokens, linear.n_in()};
  const rwkv::MatrixView<float> y{outputs.data(), n_tokens, linear.n_out()};
  linear.apply<float>(x, y, workspace);
  if (!is_product(weight(dtype, size), is_by_input, x, y)) return state.SkipWithError("wrong result");
  for (auto _ : state) {
    linear.apply<float>(x, y, workspace);
    benchmark::ClobberMemory();
  }
  constexpr auto rate = benchmark::Counter::kIsIterationInvariantRate;
  const auto n_bytes = static_cast<double>(linear.weight().tensor.n_bytes());
  const auto n_weights = static_cast<double>(linear.weight().tensor.n_elements());
  state.counters["bytes/s"] = {n_bytes, rate};
  state.counters["FLOP/s"] = {2 * n_weights * static_cast<double>(n_tokens), rate};
}

bool has_interleaved(Isa isa, DType dtype) {
  return rwkv::kernel_table<float>(isa).rounded.multiply_interleaved[static_cast<std::size_t>(dtype)] != nullptr;
}

constexpr Index n_channels = 2048, head_size = 64, n_head = n_channels / head_size;

/// What the operators between the products read and write, for one token.
struct Operands {
  Buffer<float> memory{(9 + head_size) * n_channels};
  float *r = memory.data(), *k = r + n_channels, *v = k + n_channels, *u = v + n_channels, *kk = u + n_channels;
  float *a = kk + n_channels, *w = a + n_channels, *log_w = w + n_channels, *y = log_w + n_channels;
  float* state = y + n_channels;

  Operands() {
    rwkv::Random random(1);
    for (Index i = 0; i < n_channels; ++i) {
      for (float* values : {r, k, v, u}) values[i] = static_cast<float>(random.normal());
      kk[i] = v[i] > 0 ? 0.125f : -0.125f;  // 64 of them: length 1
      a[i] = static_cast<float>(random.uniform());
      w[i] = 0.55f + 0.44f * a[i];
      log_w[i] = std::log(w[i]);
    }
  }
};

using Run = void (*)(const Table& kernels, const Operands& o);
constexpr struct {
  const char* name;
  Run run;
} operators[] = {
    {"layer_norm",
     [](const Table& kernels, const Operands& o) { kernels.layer_norm(o.r, o.k, o.v, 1e-5f, o.y, n_channels); }},
    {"token_shift_mix", [](const Table& kernels, const Operands& o) { kernels.mix(o.r, o.k, o.a, o.y, n_channels); }},
    {"wkv4",
     [](const Table& kernels, const Operands& o) {
       float *const aa = o.state, *const bb = aa + n_channels, *const pp = bb + n_channels;
       kernels.wkv4({1, n_channels, o.log_w, o.u, o.k, o.v, o.y, aa, bb, pp}, 0, n_channels);
     }},
    {"wkv5",
     [](const Table& kernels, const Operands& o) {
       kernels.wkv5({1, n_head, head_size, o.r, o.k, o.v, o.w, n_channels, o.u, o.y, o.state}, 0, n_head);
     }},
    {"wkv7",
     [](const Table& kernels, const Operands& o) {
       kernels.wkv7({1, n_head, head_size, o.r, o.w, o.k, o.v, o.kk, o.a, o.y, o.state}, 0, n_head);
     }},
};

void step(benchmark::State& state, Isa isa, Run run) {
  const Table kernels = rwkv::kernel_table<float>(isa), scalar = rwkv::kernel_table<float>(Isa::scalar);
  const Operands operands, expected;
  for (int i = 0; i < 3; ++i) {
    run(kernels, operands);
    run(scalar, expected);
  }
  for (Index i = 0; i < n_channels; ++i) {
    if (!(std::abs(operands.y[i] - expected.y[i]) < 1e-3f)) return state.SkipWithError("wrong result");
  }
  for (auto _ : state) {
    run(kernels, operands);
    benchmark::ClobberMemory();
  }
}

void sample(benchmark::State& state, const rwkv::SamplerOptions& options) {
  rwkv::Sampler sampler(options, 1);
  Buffer<float> logits = normal(65536);
  for (float& logit : logits) logit *= 3;  // the spread of a trained model, about
  for (auto _ : state) benchmark::DoNotOptimize(sampler.sample(logits.span()));
}

}  // namespace

int main(int argc, char** argv) {
  const rwkv::FlushSubnormals flush;  // as Model does
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const auto add = [](const std::string& name, auto function, auto... arguments) {
    benchmark::RegisterBenchmark(name.c_str(), function, arguments...);
  };
  for (const rwkv::DTypeInfo& type : rwkv::dtype_infos) {
    for (const Size size : sizes) {
      for (const Isa isa : rwkv::all_isas) {
        if (!type.is_real || !rwkv::is_available(isa)) continue;
        const rwkv::Shape w = shape(type.dtype, size);
        const std::string name = "/" + std::string(rwkv::name(isa)) + "/" + std::string(type.name) + "/" +
                                 std::to_string(w[0]) + "x" + std::to_string(w[1]);
        for (const Product& product : products) {
          const bool has = product.layout != MatrixLayout::interleaved || has_interleaved(isa, type.dtype);
          if (has) add(product.name + name, multiply, isa, type.dtype, size, product);
        }
      }
    }
  }
  for (const auto& each : operators) {
    for (const Isa isa : rwkv::all_isas) {
      if (rwkv::is_available(isa)) add(each.name + ("/" + std::string(rwkv::name(isa)) + "/2048"), step, isa, each.run);
    }
  }
  add("sampler/top_p/65536", sample, rwkv::SamplerOptions{});
  add("sampler/all/65536", sample, rwkv::SamplerOptions{.top_p = 1});
  add("sampler/greedy/65536", sample, rwkv::SamplerOptions{.temperature = 0});
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
