// SPDX-License-Identifier: MIT
// Every instruction set of this machine against plain loops in double.
#include "rwkv/kernels/kernels.hpp"

#include "rwkv/core/buffer.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/kernels/interleave.hpp"
#include "support/kernel_tables.hpp"
#include "support/support.hpp"
#include "support/weights.hpp"

using namespace rwkv;
using rwkv_test::append;
using rwkv_test::available_tables;
using rwkv_test::random_blocks;
using rwkv_test::random_values;
using rwkv_test::Stored;
using rwkv_test::stored;

namespace {

std::vector<DType> weight_dtypes() {
  std::vector<DType> dtypes;
  for (const DTypeInfo& type : dtype_infos) {
    if (type.is_real) dtypes.push_back(type.dtype);
  }
  return dtypes;
}

/// A row of activations rounded by a table.
struct Rounded {
  std::vector<float> memory;
  RoundedRow row;
  Rounded(const KernelTable<float>& table, const std::vector<float>& x)
      : memory(static_cast<std::size_t>(rounded_bytes(static_cast<Index>(x.size()))) / sizeof(float)),
        row{reinterpret_cast<std::byte*>(memory.data()), static_cast<Index>(x.size()) / group_size} {
    table.rounded.round(x.data(), row);
  }
};

/// For each number of a row the largest of its block of 32, doubled: where code * scale and offset cancel, what is
/// rounded is up to that large.
std::vector<double> rounded_magnitudes(const std::vector<double>& row) {
  std::vector<double> magnitudes(row.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    for (std::size_t k = i / 32 * 32; k < i / 32 * 32 + 32; ++k) {
      magnitudes[i] = std::max(magnitudes[i], 2 * std::abs(row[k]));
    }
  }
  return magnitudes;
}

/// Packed in two parts, multiplied in two parts.
template <class Input>
std::vector<float> multiply_packed(const PackedProducts<Input, float>& products, const Stored& weight, Index n_in,
                                   Index n_out, const Input* x, Index n_tokens) {
  const Index n_blocks = products.n_blocks(n_tokens);
  Buffer<std::byte> packed(n_blocks * products.packed_bytes(n_in)), scratch(products.scratch_bytes(n_in));
  products.pack(x, n_tokens, n_in, packed.data(), 0, n_blocks / 2);
  products.pack(x, n_tokens, n_in, packed.data(), n_blocks / 2, n_blocks);
  std::vector<float> y(static_cast<std::size_t>(n_tokens * n_out), NAN);
  const Index cut = std::min(products.rows, n_out);
  for (const auto& [begin, end] : {std::pair(Index{0}, cut), std::pair(cut, n_out)}) {
    products.multiply[static_cast<std::size_t>(weight.dtype)](weight.data(), n_in, n_out, packed.data(), n_tokens,
                                                              y.data(), begin, end, scratch.data());
  }
  return y;
}

/// With n_out rows, and more up to a multiple of 16, interleaved. Empty if there is no kernel.
std::vector<float> multiply_interleaved(const RoundedProducts& products, const Stored& weight, Index n_in, Index n_out,
                                        const std::vector<RoundedRow>& x) {
  const auto multiply = products.multiply_interleaved[static_cast<std::size_t>(weight.dtype)];
  if (multiply == nullptr) return {};
  const DTypeInfo& type = info(weight.dtype);
  const Index row_bytes = n_in / type.block_elements * type.block_bytes, n_rows = (n_out + 15) / 16 * 16;
  std::vector<std::byte> rows(static_cast<std::size_t>(n_rows * row_bytes)), interleaved(rows.size());
  std::copy_n(weight.data(), n_out * row_bytes, rows.data());
  for (Index row = 0; row < n_rows; row += 16) {
    interleave_rows(weight.dtype, rows.data() + row * row_bytes, n_in, interleaved.data() + row * row_bytes);
  }
  const auto n_tokens = static_cast<Index>(x.size());
  std::vector<float> all(static_cast<std::size_t>(n_tokens * n_rows), NAN), y;
  multiply(interleaved.data(), n_in, x.data(), n_tokens, all.data(), n_rows, 0, n_rows);
  for (Index t = 0; t < n_tokens; ++t) y.insert(y.end(), all.begin() + t * n_rows, all.begin() + t * n_rows + n_out);
  return y;
}

/// How far a float sum of n products may be from the exact one: each of at most n + 2 roundings on the way of a product
/// is half a unit of the sum of magnitudes.
double dot_bound(double magnitude, Index n) { return (static_cast<double>(n) + 2) * 0x1p-24 * magnitude; }

}  // namespace

TEST_SUITE_BEGIN("kernels");

TEST_CASE("gemv and gemm are the exact product within the rounding of a float sum, for every length and dtype") {
  for (const KernelTable<float>& table : available_tables()) {
    for (const DType dtype : weight_dtypes()) {
      const Index block = info(dtype).block_elements;
      for (Index n_in = block; n_in <= std::max(2 * table.gemm.tokens + 1, 3 * block); n_in += block) {
        const Index n_out = n_in % 19 + 1;
        const Index n_tokens = n_in % 70 + 1;
        const auto x = random_values<float>(n_tokens * n_in, static_cast<std::uint64_t>(n_in));
        const Stored weight = rwkv_test::random_stored(dtype, n_out * n_in, 99);
        std::vector<float> one(static_cast<std::size_t>(n_out), NAN);
        const auto all = multiply_packed(table.gemm, weight, n_in, n_out, x.data(), n_tokens);
        const bool has_split = table.split_gemm.multiply[static_cast<std::size_t>(dtype)] != nullptr;
        const auto split = has_split ? multiply_packed(table.split_gemm, weight, n_in, n_out, x.data(), n_tokens)
                                     : std::vector<float>();
        const auto slot = static_cast<std::size_t>(dtype);
        table.gemv[slot](weight.data(), n_in, x.data(), 1, one.data(), n_out, 0, n_out);
        std::vector<float> few(all.size(), NAN);
        const Index n_few = std::min(n_tokens, max_few_rows);
        table.gemv[slot](weight.data(), n_in, x.data(), n_few, few.data(), n_out, 0, n_out);
        for (Index o = 0; o < n_out; ++o) {
          std::vector<double> row;
          for (Index k = 0; k < n_in; ++k) row.push_back(weight.at(o * n_in + k));
          for (Index t = 0; t < n_tokens; ++t) {
            double sum = 0;
            double magnitude = 0;
            for (Index k = 0; k < n_in; ++k) {
              const double product =
                  row[static_cast<std::size_t>(k)] * static_cast<double>(x[static_cast<std::size_t>(t * n_in + k)]);
              sum += product;
              magnitude += std::abs(product);
            }
            CAPTURE(name(table.isa));
            CAPTURE(name(dtype));
            CAPTURE(n_in);
            CAPTURE(o);
            CAPTURE(t);
            REQUIRE(std::abs(all[static_cast<std::size_t>(t * n_out + o)] - sum) <= dot_bound(magnitude, n_in));
            // Three products for each.
            const double split_bound = dot_bound(magnitude, 3 * n_in) + table.split_error * magnitude;
            if (has_split) {
              REQUIRE(std::abs(split[static_cast<std::size_t>(t * n_out + o)] - sum) <= split_bound);
            }
            if (t == 0) REQUIRE(std::abs(one[static_cast<std::size_t>(o)] - sum) <= dot_bound(magnitude, n_in));
            if (t < n_few) {
              REQUIRE(std::abs(few[static_cast<std::size_t>(t * n_out + o)] - sum) <= dot_bound(magnitude, n_in));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("interleaved rows are separated again") {
  for (const DType dtype : weight_dtypes()) {
    if (!can_interleave(dtype)) continue;
    const Index n_in = 96;
    const Stored rows = random_blocks(dtype, 16 * n_in, 7);
    std::vector<std::byte> interleaved(rows.bytes.size() - 1), separated(interleaved.size());
    interleave_rows(dtype, rows.data(), n_in, interleaved.data());
    separate_rows(dtype, interleaved.data(), n_in, separated.data());
    CHECK(std::equal(separated.begin(), separated.end(), rows.data()));
    CHECK(separated != interleaved);
    // The scales of the first block of all rows come first.
    for (Index r = 0; r < 16; ++r) {
      CHECK(std::equal(interleaved.begin() + 2 * r, interleaved.begin() + 2 * r + 2,
                       rows.data() + r * n_in / 32 * info(dtype).block_bytes));
    }
  }
}

TEST_CASE("rounded activations are multiples of 1/127 of the largest of each 32") {
  for (const KernelTable<float>& table : available_tables()) {
    CAPTURE(name(table.isa));
    const Index n = 160;
    auto x = random_values<float>(n, 3);
    std::fill(x.begin() + 32, x.begin() + 64, 0.0f);
    Rounded rounded(table, x);
    std::vector<float> restored(x.size());
    table.rounded.restore(rounded.row, restored.data());
    for (Index g = 0; g < n / 32; ++g) {
      const auto from = static_cast<std::size_t>(32 * g);
      float largest = 0;
      double sum = 0;
      for (std::size_t i = from; i < from + 32; ++i) largest = std::max(largest, std::abs(x[i]));
      const float scale = rounded.row.scales(1)[g];
      CHECK(scale == largest / 127);
      for (std::size_t i = from; i < from + 32; ++i) {
        // Half a step, and the rounding of the factor 127 / largest.
        REQUIRE(std::abs(restored[i] - x[i]) <= scale * 0.50001f);
        sum += static_cast<double>(restored[i]);
        REQUIRE(restored[i] ==
                static_cast<float>(rounded.row.codes()[i]) * rounded.row.scales(2)[2 * g + (i >= from + 16)]);
      }
      CHECK(std::abs(rounded.row.sums(1)[g] - sum) <= 1e-6 * 32 * largest);
      CHECK(std::abs(rounded.row.sums(2)[2 * g] + rounded.row.sums(2)[2 * g + 1] - sum) <= 1e-6 * 32 * largest);
    }
    std::fill(x.begin(), x.begin() + 32, 1e-37f);  // 127 / 1e-37 is infinite
    table.rounded.round(x.data(), rounded.row);
    CHECK(rounded.row.sums(1)[0] == 0);
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      x[77] = bad;
      table.rounded.round(x.data(), rounded.row);
      CHECK(std::isnan(rounded.row.scales(1)[0]));
      CHECK(std::isnan(rounded.row.sums(1)[2]));
    }
  }
}

TEST_CASE("products of blocks with rounded activations are exact but for the rounding of float sums") {
  for (const KernelTable<float>& table : available_tables()) {
    for (const DType dtype : weight_dtypes()) {
      const auto multiply = table.rounded.multiply[static_cast<std::size_t>(dtype)];
      const Index block = info(dtype).block_elements;
      REQUIRE((multiply != nullptr) == (block > 1));
      if (multiply == nullptr) continue;
      for (const Index n_in : {block, 3 * block, 1024 / block * block, 1024 + block, 2560 / block * block}) {
        const Index n_out = n_in / 32 % 7 + 5 + n_in / 1024 * 64;
        const bool has_gemm = table.rounded.most_rows > 0;
        const Index n_few = n_in / 32 % max_few_rows + 1, n_tokens = has_gemm ? n_in / 32 % 40 + 1 : n_few;
        const Stored weight = random_blocks(dtype, n_out * n_in, 7);
        std::vector<Rounded> rounded;
        std::vector<RoundedRow> rows;
        for (Index t = 0; t < n_tokens; ++t) {
          rounded.emplace_back(table, random_values<float>(n_in, static_cast<std::uint64_t>(t + n_in)));
          rows.push_back(rounded.back().row);
        }
        std::vector<float> y(static_cast<std::size_t>(n_tokens * n_out), NAN);
        multiply(weight.data(), n_in, rows.data(), std::min(n_few, n_tokens), y.data(), n_out, 0, n_out);
        const auto interleaved = multiply_interleaved(table.rounded, weight, n_in, n_out, rows);
        const auto by_gemm = has_gemm ? multiply_packed(table.rounded.gemm, weight, n_in, n_out, rows.data(), n_tokens)
                                      : std::vector<float>();
        std::vector<std::vector<float>> x(rows.size(), std::vector<float>(static_cast<std::size_t>(n_in)));
        for (std::size_t t = 0; t < rows.size(); ++t) table.rounded.restore(rows[t], x[t].data());
        for (Index o = 0; o < n_out; ++o) {
          std::vector<double> row;
          for (Index k = 0; k < n_in; ++k) row.push_back(weight.at(o * n_in + k));
          const std::vector<double> magnitudes = rounded_magnitudes(row);
          for (std::size_t t = 0; t < rows.size(); ++t) {
            double sum = 0;
            double magnitude = 0;
            for (std::size_t k = 0; k < row.size(); ++k) {
              sum += row[k] * static_cast<double>(x[t][k]);
              magnitude += magnitudes[k] * std::abs(static_cast<double>(x[t][k]));
            }
            CAPTURE(name(table.isa));
            CAPTURE(name(dtype));
            CAPTURE(n_in);
            CAPTURE(o);
            CAPTURE(t);
            // Whole groups of products are exact: the roundings are those of a sum over groups.
            const auto at = t * static_cast<std::size_t>(n_out) + static_cast<std::size_t>(o);
            if (static_cast<Index>(t) < n_few) REQUIRE(std::abs(y[at] - sum) <= dot_bound(magnitude, n_in / 32));
            if (!interleaved.empty()) REQUIRE(std::abs(interleaved[at] - sum) <= dot_bound(magnitude, n_in / 32));
            if (has_gemm) REQUIRE(std::abs(by_gemm[at] - sum) <= dot_bound(magnitude, n_in / 32));
          }
        }
      }
    }
  }
}

TEST_CASE("an output does not depend on how the rows are shared out") {
  for (const KernelTable<float>& table : available_tables()) {
    const Index n_in = 77, n_out = 50, n_tokens = 6;
    const auto x = random_values<float>(n_tokens * n_in, 5);
    const Stored weight = stored(DType::bf16, random_values<float>(n_out * n_in, 6));
    const auto slot = static_cast<std::size_t>(DType::bf16);
    const auto check = [&](Index n, auto&& multiply) {
      std::vector<float> whole(static_cast<std::size_t>(n * n_out));
      multiply(whole.data(), 0, n_out);
      for (Index cut = 0; cut <= n_out; ++cut) {
        std::vector<float> parts(whole.size());
        multiply(parts.data(), 0, cut);
        multiply(parts.data(), cut, n_out);
        REQUIRE(parts == whole);
      }
    };
    for (const Index n : {Index{1}, n_tokens}) {
      check(n, [&](float* y, Index begin, Index end) {
        table.gemv[slot](weight.data(), n_in, x.data(), n, y, n_out, begin, end);
      });
    }
  }
}

TEST_CASE("expand gives the stored numbers exactly, all 65536 patterns of the 16-bit types") {
  std::vector<std::byte> bytes;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) append(bytes, static_cast<std::uint16_t>(bits));
  for (const KernelTable<float>& table : available_tables()) {
    for (const DType dtype : {DType::f16, DType::bf16}) {
      std::vector<float> values(0x10000);
      table.expand[static_cast<std::size_t>(dtype)](bytes.data(), 0x10000, values.data());
      for (Index i = 0; i < 0x10000; ++i) {
        const float expected = read_element<float>(dtype, bytes.data(), i);
        const float value = values[static_cast<std::size_t>(i)];
        if (!(value == expected || (std::isnan(value) && std::isnan(expected)))) {
          FAIL(name(table.isa) << " " << name(dtype) << " pattern " << i << ": " << value << " for " << expected);
        }
      }
    }
  }
}

TEST_CASE("expand gives the values of blocks to the last bit") {
  for (const KernelTable<float>& table : available_tables()) {
    for (const DType dtype : weight_dtypes()) {
      if (info(dtype).block_elements == 1) continue;
      CAPTURE(name(table.isa));
      CAPTURE(name(dtype));
      constexpr Index n = 1 << 14;
      const Stored blocks = random_blocks(dtype, n, 4);
      std::vector<float> values(n);
      table.expand[static_cast<std::size_t>(dtype)](blocks.data(), n, values.data());
      Index n_different = 0;
      for (Index i = 0; i < n; ++i) n_different += values[static_cast<std::size_t>(i)] != blocks.at(i) ? 1 : 0;
      CHECK(n_different == 0);
    }
  }
}

TEST_CASE("element-wise kernels follow their formulas at every length") {
  for (const KernelTable<float>& table : available_tables()) {
    for (Index n = 1; n <= 35; ++n) {
      CAPTURE(name(table.isa));
      CAPTURE(n);
      const auto seed = static_cast<std::uint64_t>(n);
      const auto a = random_values<float>(n, seed, 3.0);
      const auto b = random_values<float>(n, seed + 100, 3.0);
      const auto c = random_values<float>(n, seed + 200);
      const auto check = [&](const std::vector<float>& y, auto formula, double bound) {
        for (std::size_t i = 0; i < y.size(); ++i) {
          const double expected =
              formula(static_cast<double>(a[i]), static_cast<double>(b[i]), static_cast<double>(c[i]));
          CHECK(std::abs(y[i] - expected) <= bound);
        }
      };
      const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
      // Values up to about 10 in size and three roundings each: 10 * 3 * 2^-24 = 1.8e-6; squares up to 100.
      std::vector<float> y(a.size());
      table.mix(a.data(), b.data(), c.data(), y.data(), n);
      check(
          y, [](double x, double before, double mu) { return x * mu + before * (1 - mu); }, 1e-5);
      y = a;
      table.add(y.data(), b.data(), n);
      check(
          y, [](double x, double z, double) { return x + z; }, 2e-6);
      table.gate(a.data(), b.data(), y.data(), n);
      check(
          y, [&](double gate, double z, double) { return sigmoid(gate) * z; }, 4e-6);
      y = a;
      table.relu_squared(y.data(), n);
      check(
          y, [](double x, double, double) { return x > 0 ? x * x : 0; }, 1e-5);
      table.silu_gate(a.data(), b.data(), y.data(), n);
      check(
          y, [&](double gate, double z, double) { return gate * sigmoid(gate) * z; }, 2e-5);
      y = a;
      table.multiply(y.data(), b.data(), n);
      check(
          y, [](double x, double z, double) { return x * z; }, 1e-5);
      y = a;
      table.tanh(y.data(), n);
      check(
          y, [](double x, double, double) { return std::tanh(x); }, 2.5e-7);
      y = a;
      table.sigmoid(y.data(), b.data(), n);
      check(
          y, [&](double x, double bias, double) { return sigmoid(x + bias); }, 1e-6);
      y = a;
      table.sigmoid(y.data(), nullptr, n);
      check(
          y, [&](double x, double, double) { return sigmoid(x); }, 5e-7);
      y = a;  // the exponent is off by its size times a few roundings; e^-x x is at most 0.37
      table.decay6(y.data(), c.data(), n);
      check(
          y, [](double x, double, double bias) { return std::exp(-std::exp(x + bias)); }, 1e-6);
      y = a;
      table.decay7(y.data(), b.data(), n);
      check(
          y, [&](double x, double bias, double) { return std::exp(-0.606531 * sigmoid(x + bias)); }, 1e-6);
    }
  }
}

TEST_CASE("tanh is exact to a few units in the last place from the smallest numbers to the largest") {
  std::vector<float> x;
  for (double magnitude = 1e-38; magnitude < 1e38; magnitude *= 1.01) {
    x.push_back(static_cast<float>(magnitude));
    x.push_back(static_cast<float>(-magnitude));
  }
  for (const KernelTable<float>& table : available_tables()) {
    auto y = x;
    table.tanh(y.data(), static_cast<Index>(y.size()));
    double largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = std::tanh(static_cast<double>(x[i]));
      const double error = std::abs(y[i] - expected) / std::abs(expected);
      if (!(error <= largest)) largest = error;  // of NaN, too
    }
    CHECK(largest < 4 * 0x1p-23);
    float nan = NAN;
    table.tanh(&nan, 1);
    CHECK(std::isnan(nan));
  }
}

TEST_CASE("the keys and the bonus of RWKV-7 follow their formulas, for a head without removal key too") {
  for (const KernelTable<float>& table : available_tables()) {
    for (Index n = 1; n <= 67; n += 3) {
      const auto at = [](const std::vector<float>& values, Index i) {
        return static_cast<double>(values[static_cast<std::size_t>(i)]);
      };
      const auto key = random_values<float>(n, 1), a = random_values<float>(n, 2), k_k = random_values<float>(n, 3),
                 k_a = random_values<float>(n, 4), r = random_values<float>(n, 5), v = random_values<float>(n, 6);
      auto k = key, kk = key, y = v;
      table.keys7(k.data(), a.data(), k_k.data(), k_a.data(), kk.data(), n);
      double squares = 0, sum = 0, magnitude = 0;
      for (Index i = 0; i < n; ++i) squares += std::pow(at(key, i) * at(k_k, i), 2);
      for (Index i = 0; i < n; ++i) {
        CHECK(at(kk, i) == doctest::Approx(at(key, i) * at(k_k, i) / std::sqrt(squares)).epsilon(1e-5));
        const double expected = at(key, i) * (1 + (at(a, i) - 1) * at(k_a, i));
        CHECK(std::abs(at(k, i) - expected) < 1e-5);  // terms up to about 30, three roundings
        sum += at(r, i) * at(key, i) * at(k_a, i);
        magnitude += std::abs(at(r, i) * at(key, i) * at(k_a, i));
      }
      table.bonus7(r.data(), key.data(), k_a.data(), v.data(), y.data(), n);
      for (Index i = 0; i < n; ++i) {
        CHECK(std::abs(at(y, i) - (at(v, i) + sum * at(v, i))) <= dot_bound(4 * magnitude, n) + 1e-6);
      }
      const std::vector<float> zero(static_cast<std::size_t>(n));
      table.keys7(k.data(), a.data(), zero.data(), k_a.data(), kk.data(), n);
      CHECK(kk == zero);
    }
  }
}

TEST_CASE("layer norm is mean 0 and variance 1, scaled and shifted, even for rows far from zero or constant") {
  for (const KernelTable<float>& table : available_tables()) {
    for (Index n = 1; n <= 70; n += 3) {
      for (const double offset : {0.0, 100.0}) {
        const auto seed = static_cast<std::uint64_t>(n);
        auto x = random_values<float>(n, seed);
        for (float& value : x) value += static_cast<float>(offset);
        const auto weight = random_values<float>(n, seed + 1);
        const auto bias = random_values<float>(n, seed + 2);
        double mean = 0;
        double variance = 0;
        for (const float value : x) mean += static_cast<double>(value) / static_cast<double>(n);
        for (const float value : x) variance += (value - mean) * (value - mean) / static_cast<double>(n);
        std::vector<float> y(x.size());
        table.layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, y.data(), n);
        // The mean is off by up to n/count+4 roundings of numbers of size |offset|+3, and so is every centred value.
        const double bound =
            (8 + static_cast<double>(n) / 4) * 0x1p-24 * (offset + 3) * 4 / std::sqrt(variance + 1e-5) + 2e-6;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double expected = (x[i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i];
          CHECK(std::abs(y[i] - expected) <= bound);
        }
      }
    }
    const std::vector<float> constant(40, 3.0f);
    const auto bias = random_values<float>(40, 1);
    std::vector<float> y(40);
    table.layer_norm(constant.data(), constant.data(), bias.data(), 1e-5f, y.data(), 40);
    CHECK(rwkv_test::max_abs_difference(y, bias) == 0.0);
  }
}

TEST_CASE("sigmoid saturates without overflow and keeps NaN") {
  const std::vector<float> x{-INFINITY, -1e38f, -200.0f, -90.0f, 0.0f, 90.0f, 200.0f, 1e38f, INFINITY};
  const std::vector<float> expected{0, 0, 0, 0, 0.5f, 1, 1, 1, 1};
  for (const KernelTable<float>& table : available_tables()) {
    std::vector<float> y(x.size());
    const std::vector<float> one(x.size(), 1.0f);
    table.gate(x.data(), one.data(), y.data(), static_cast<Index>(x.size()));
    CHECK(rwkv_test::max_abs_difference(y, expected) < 1e-37);
    const float nan = NAN;
    table.gate(&nan, one.data(), y.data(), 1);
    CHECK(std::isnan(y[0]));
  }
}

TEST_CASE("names of instruction sets are read back, others are refused with the list") {
  for (const Isa isa : all_isas) CHECK(isa_from_name(name(isa)) == isa);
  CHECK_THROWS_WITH_AS(static_cast<void>(isa_from_name("sse9")),
                       doctest::Contains("scalar, avx2, avx512, avx512-vnni, avx512-amx, neon, neon-dot"),
                       ArgumentError);
  CHECK(is_available(Isa::scalar));
}

TEST_SUITE_END();
