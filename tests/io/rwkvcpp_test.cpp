// SPDX-License-Identifier: MIT
#include "rwkv/io/rwkvcpp.hpp"

#include "io/files.hpp"
#include "rwkv/io/pth.hpp"
#include "rwkv/io/safetensors.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

std::string i32(std::int32_t value) { return number(value); }

std::string header(std::int32_t version, std::int32_t n_vocab, std::int32_t n_embd, std::int32_t n_layer,
                   std::int32_t type) {
  return u32(0x67676d66) + i32(version) + i32(n_vocab) + i32(n_embd) + i32(n_layer) + i32(type);
}

/// `dims` slowest first, as in the rest of the library.
std::string tensor(const std::string& name, const std::vector<std::int32_t>& dims, const std::string& data,
                   std::int32_t type = 0) {
  std::string bytes =
      i32(static_cast<std::int32_t>(dims.size())) + i32(static_cast<std::int32_t>(name.size())) + i32(type);
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) bytes += i32(*dim);
  return bytes + name + data;
}

std::string floats(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) bytes += number(value);
  return bytes;
}

const std::string embedding = tensor("emb.weight", {3, 2}, floats({1, 2, 3, 4, 5, 6}));
const std::string norm = tensor("blocks.0.ln1.weight", {2}, floats({1, 2}));
const std::string ln_x = tensor("blocks.0.att.ln_x.weight", {2}, floats({1, 2}));

Checkpoint read_bytes(const std::string& bytes) {
  const TemporaryFile file(".bin");
  write_file(file.path(), bytes);
  return read_rwkvcpp(map(file.path()));
}

Checkpoint read_with(const std::string& tensors) {
  return read_bytes(header(101, 3, 2, 1, 0) + embedding + norm + tensors);
}

Checkpoint read_shared(const std::string& name) { return read_rwkvcpp(map(shared_file(name))); }

/// The numbers of an official tensor in the form in which the file has them: rounded to F16, or through exponentials.
std::vector<double> as_stored(const std::string& name, const TensorView& tensor, DType dtype, bool is_v4) {
  const auto values = read_all<double>(tensor);
  std::vector<double> stored(values.begin(), values.end());
  for (double& value : stored) {
    if (dtype == DType::f16) value = f16_to_f32(f32_to_f16(static_cast<float>(value)));
    if (dtype == DType::f64) value = std::exp(name.ends_with(".time_decay") && !is_v4 ? -std::exp(value) : value);
  }
  return stored;
}

/// All tensors of `official`, with their shapes but for axes of length 1, and their numbers.
void check_official(const Checkpoint& found, const Checkpoint& official) {
  const bool is_v4 = !official.contains("blocks.0.att.ln_x.weight");
  CHECK(found.entries().size() == official.entries().size());
  for (const auto& entry : official.entries()) {
    CAPTURE(entry.name);
    const TensorView& other = found.at(entry.name);
    std::vector<Index> dims(entry.tensor.shape.begin(), entry.tensor.shape.end());
    if (other.shape.rank() < entry.tensor.shape.rank()) std::erase(dims, 1);  // `.time_mix_k` [1, 1, C] is [C]
    CHECK(other.shape == Shape(std::span<const Index>(dims)));
    const auto expected = as_stored(entry.name, entry.tensor, other.dtype, is_v4);
    const auto values = as_stored(entry.name, other, other.dtype, is_v4);
    // The converter takes exponentials in float, two of them one after the other: a few units in the last place.
    const double largest = *std::max_element(expected.begin(), expected.end());
    CHECK(max_abs_difference(values, expected) <= (other.dtype == DType::f64 ? 4 * 0x1p-24 * largest : 0.0));
  }
}

}  // namespace

TEST_SUITE_BEGIN("io/rwkvcpp");

TEST_CASE("tensors in place, dims slowest first") {
  const Checkpoint checkpoint = read_with(tensor("head.weight", {3, 2}, std::string(12, 'x'), 1));
  REQUIRE(checkpoint.entries().size() == 3);
  CHECK(checkpoint.at("emb.weight").shape == Shape{3, 2});
  CHECK(read_all<float>(checkpoint.at("emb.weight"))[5] == 6.0f);
  CHECK(checkpoint.at("head.weight").dtype == DType::f16);
  CHECK(checkpoint.metadata().empty());
}

TEST_CASE("the decay of RWKV-4 becomes official: its exponential is the stored float") {
  std::vector<float> stored;
  for (int i = -140; i < 8; ++i) stored.push_back(-std::ldexp(1.37f, i));  // subnormal floats too
  const Checkpoint checkpoint =
      read_with(tensor("blocks.0.att.time_decay", {static_cast<std::int32_t>(stored.size())}, floats(stored)));
  const TensorView& decay = checkpoint.at("blocks.0.att.time_decay");
  REQUIRE(decay.dtype == DType::f64);
  const auto values = read_all<double>(decay);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    REQUIRE(static_cast<float>(-std::exp(values[static_cast<Index>(i)])) == stored[i]);
  }
  const Checkpoint zeros = read_with(tensor("blocks.0.att.time_decay", {2}, floats({0.0f, -0.0f})));
  for (const double value : read_all<double>(zeros.at("blocks.0.att.time_decay"))) CHECK(std::exp(value) == 0.0);
}

TEST_CASE("the decay and the bonus of RWKV-5 become official: their exponentials are the stored floats") {
  const std::vector<float> decay{0.0f, 1e-45f, 1e-30f, 0.3f, 0.9975f, 1 - 0x1p-24f, 1.0f};
  const std::vector<float> bonus{0.0f, 1e-45f, 1e-3f, 0.7f, 1.0f, 20.0f, 3e38f};
  const Checkpoint checkpoint = read_with(ln_x + tensor("blocks.0.att.time_decay", {7, 1, 1}, floats(decay)) +
                                          tensor("blocks.0.att.time_first", {7, 1, 1}, floats(bonus)));
  const TensorView& td = checkpoint.at("blocks.0.att.time_decay");
  const TensorView& tf = checkpoint.at("blocks.0.att.time_first");
  REQUIRE(td.dtype == DType::f64);
  REQUIRE(tf.dtype == DType::f64);
  CHECK(td.shape == Shape{7});
  CHECK(tf.shape == Shape{7});
  for (std::size_t i = 0; i < 7; ++i) {
    CAPTURE(i);
    CHECK(static_cast<float>(std::exp(-std::exp(read_all<double>(td)[static_cast<Index>(i)]))) == decay[i]);
    CHECK(static_cast<float>(std::exp(read_all<double>(tf)[static_cast<Index>(i)])) == bonus[i]);
  }
}

TEST_CASE("RWKV-5 by head or by channel, also with a single head") {
  struct Case {
    std::vector<std::int32_t> stored;
    Shape official;
  };
  const std::string eight = floats(std::vector<float>(8, 0.5f));
  for (const Case& each : {Case{{8, 1, 1}, {8}}, Case{{8, 1}, {8}}, Case{{4, 2, 1}, {4, 2}}, Case{{4, 2}, {4, 2}}}) {
    const Checkpoint checkpoint = read_with(ln_x + tensor("blocks.0.att.time_decay", each.stored, eight) +
                                            tensor("blocks.0.att.time_faaaa", each.stored, eight));
    CHECK(checkpoint.at("blocks.0.att.time_decay").shape == each.official);
    CHECK(checkpoint.at("blocks.0.att.time_faaaa").shape == each.official);
    CHECK(read_all<float>(checkpoint.at("blocks.0.att.time_faaaa"))[7] == 0.5f);  // linear, as in the file
  }
  const Checkpoint one_head = read_with(ln_x + tensor("blocks.0.att.time_decay", {2, 1}, floats({0.5f, 0.5f})) +
                                        tensor("blocks.0.att.time_faaaa", {2, 1}, floats({1, 2})));
  CHECK(one_head.at("blocks.0.att.time_decay").shape == Shape{1, 2});  // as many numbers as channels
  CHECK(one_head.at("blocks.0.att.time_faaaa").shape == Shape{1, 2});
}

TEST_CASE("RWKV-6: shapes of the official file, low-rank matrices turned back") {
  const Checkpoint checkpoint = read_with(tensor("blocks.0.att.time_maa_x", {2}, floats({1, 2})) +
                                          tensor("blocks.0.att.time_decay", {2, 3, 1}, floats({1, 2, 3, 4, 5, 6})) +
                                          tensor("blocks.0.att.time_faaaa", {3, 1}, floats({1, 2, 3})) +
                                          tensor("blocks.0.att.time_decay_w1", {2, 3}, floats({1, 2, 3, 4, 5, 6})) +
                                          tensor("blocks.0.att.time_maa_w2", {2, 1, 2}, floats({1, 2, 3, 4})));
  CHECK(checkpoint.at("blocks.0.att.time_decay").shape == Shape{1, 1, 6});
  CHECK(read_all<float>(checkpoint.at("blocks.0.att.time_decay"))[5] == 6.0f);
  CHECK(checkpoint.at("blocks.0.att.time_faaaa").shape == Shape{1, 3});
  const TensorView& w1 = checkpoint.at("blocks.0.att.time_decay_w1");
  CHECK(w1.shape == Shape{3, 2});
  CHECK(bytes_of(w1) == floats({1, 4, 2, 5, 3, 6}));
  CHECK(checkpoint.at("blocks.0.att.time_maa_w2").shape == Shape{2, 2, 1});
}

TEST_CASE("RWKV-7: joined mixes are split, low-rank matrices turned back") {
  std::vector<float> mixes;
  for (int i = 0; i < 12; ++i) mixes.push_back(static_cast<float>(i));
  const Checkpoint checkpoint =
      read_with(tensor("blocks.0.att.x_rwkvag", {6, 1, 2}, floats(mixes)) +
                tensor("blocks.0.att.w1", {3, 2}, "aAbBcCdDeEfF", 1) + tensor("blocks.0.ffn.w1", {1, 2}, "aAbB", 1));
  for (int i = 0; i < 6; ++i) {
    const TensorView& mix = checkpoint.at(std::string("blocks.0.att.x_") + "rwkvag"[i]);
    CHECK(mix.shape == Shape{1, 1, 2});
    CHECK(bytes_of(mix) == floats({static_cast<float>(2 * i), static_cast<float>(2 * i + 1)}));
  }
  CHECK_FALSE(checkpoint.contains("blocks.0.att.x_rwkvag"));
  CHECK(checkpoint.at("blocks.0.att.w1").dtype == DType::f16);
  CHECK(checkpoint.at("blocks.0.att.w1").shape == Shape{2, 3});
  CHECK(bytes_of(checkpoint.at("blocks.0.att.w1")) == "aAcCeEbBdDfF");
  CHECK(checkpoint.at("blocks.0.ffn.w1").shape == Shape{1, 2});  // not a tensor of time mixing
}

TEST_CASE("what the converter cannot have made is refused by name") {
  const std::string maa = tensor("blocks.0.att.time_maa_x", {2}, floats({1, 2}));
  const std::string r_k = tensor("blocks.0.att.r_k", {1, 2}, floats({1, 2}));
  const std::string twelve = floats(std::vector<float>(12, 0.5f));
  struct Case {
    std::string tensors;
    std::string phrase;
  };
  for (const Case& each :
       {Case{tensor("blocks.0.att.time_decay", {2}, floats({-1, 1})), "not above 0, found a larger number"},
        Case{ln_x + tensor("blocks.0.att.time_decay", {2}, floats({0, -1})), "from 0 to 1, found a smaller number"},
        Case{ln_x + tensor("blocks.0.att.time_decay", {2}, floats({0, 1.1f})), "from 0 to 1, found a larger number"},
        Case{ln_x + tensor("blocks.0.att.time_first", {1}, floats({-1})), "not below 0, found a smaller number"},
        Case{maa + tensor("blocks.0.att.time_decay_w2", {2}, floats({0, 1})), "a matrix, found shape [2]"},
        Case{r_k + tensor("blocks.0.att.g2", {12}, twelve), "a matrix, found shape [12]"},
        Case{r_k + tensor("blocks.0.att.x_rwkvag", {12}, twelve), "6 rows of n_embd single numbers, found f32 [12]"},
        Case{r_k + tensor("blocks.0.att.x_rwkvag", {5, 1, 2}, twelve.substr(8)), "found f32 [5, 1, 2]"},
        Case{r_k + tensor("blocks.0.att.x_rwkvag", {6, 2, 1}, twelve), "found f32 [6, 2, 1]"},
        Case{tensor("blocks.0.att.x_rwkvag", {6, 2}, twelve) + tensor("blocks.0.att.x_g", {1}, floats({1})),
             "'blocks.0.att.x_g': the name occurs twice"}}) {
    CAPTURE(each.phrase);
    CHECK_THROWS_WITH_AS(read_with(each.tensors), doctest::Contains(each.phrase.c_str()), FormatError);
  }
}

TEST_CASE("a header that no file has is refused") {
  const std::string tensors = embedding + norm;
  struct Case {
    std::string header;
    std::string phrase;
  };
  for (const Case& each :
       {Case{header(99, 3, 2, 1, 0), "unknown version: expected 100 or 101, found 99"},
        Case{header(101, 0, 2, 1, 0), "n_vocab"}, Case{header(101, 3, -2, 1, 0), "n_embed"},
        Case{header(101, 3, 2, 0, 0), "n_layer"},
        Case{header(101, 3, 2, 1, 99), "unknown or removed data type: found 99"},
        Case{header(101, 3, 2, 1, 5), "found 5"},
        Case{header(101, 4, 2, 1, 0), "'emb.weight': does not have the shape of the header: expected [4, 2]"},
        Case{header(101, 3, 1, 1, 0), "'emb.weight'"},
        Case{header(101, 3, 2, 2147483647, 0), "'blocks.1.ln1.weight': is missing"}}) {
    CAPTURE(each.phrase);
    CHECK_THROWS_WITH_AS(read_bytes(each.header + tensors), doctest::Contains(each.phrase.c_str()), FormatError);
  }
  CHECK_THROWS_WITH_AS(read_bytes(header(100, 3, 2, 1, 2) + tensors), doctest::Contains("Q4_0 blocks of version 100"),
                       UnsupportedError);
  CHECK_THROWS_WITH_AS(read_with(tensor("blocks.1.ln1.weight", {2}, floats({1, 2}))),
                       doctest::Contains("'blocks.1.ln1.weight': is there"), FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(header(101, 3, 2, 1, 0) + norm), doctest::Contains("'emb.weight': is missing"),
                       FormatError);
}

TEST_CASE("tensors that do not fit are refused by name") {
  const std::string data = floats({1, 2});
  struct Case {
    std::string tensor;
    std::string phrase;
  };
  for (const Case& each :
       {Case{tensor("x", {}, ""), "1 to 3 dimensions, a name of 1 to 1024 bytes, found 0 and 1"},
        Case{tensor("x", {1, 1, 1, 1}, data), "found 4 and 1"}, Case{tensor("", {2}, data), "found 1 and 0"},
        Case{tensor(std::string(1025, 'x'), {2}, data), "found 1 and 1025"},
        Case{tensor("x", {0}, data), "'x': impossible shape: found [0]"},
        Case{tensor("x", {-1, -2}, data), "'x': impossible shape: found [-1, -2]"},
        Case{tensor("x", {3}, data), "'x': shape [3] needs more bytes than the file has: expected 12, found 8"},
        Case{tensor("x", {2147483647, 2147483647, 2147483647}, data), "needs more bytes"},
        Case{tensor("x", {2}, data, 6), "'x': unknown or removed data type: found 6"},
        Case{tensor("x", {2}, data, 55), "'x': unknown or removed data type: found 55"}, Case{norm, "occurs twice"},
        Case{tensor("x", {2}, data) + "?", "ends too early"}}) {
    CAPTURE(each.phrase);
    CHECK_THROWS_WITH_AS(read_with(each.tensor), doctest::Contains(each.phrase.c_str()), FormatError);
  }
  CHECK_THROWS_WITH_AS(read_with(tensor("x", {256}, std::string(84, '\0'), 11)),
                       doctest::Contains("'x': has type Q2_K, which is not supported"), UnsupportedError);
  CHECK(read_with(tensor("x", {32}, std::string(22, '\0'), 7)).at("x").dtype == DType::q5_0);
}

TEST_CASE("the reference files hold the official tensors") {
  RWKV_NEEDS_SHARED();
  struct Pair {
    std::string bin, official;
  };
  for (const Pair& pair : {Pair{"testdata/odd-valid/ggmf-fp32.bin", "testdata/odd-valid/plain.pth"},
                           Pair{"spec/golden/formats/v4_F32.bin", "spec/golden/models/v4.safetensors"},
                           Pair{"spec/golden/formats/v5_2_F32.bin", "spec/golden/models/v5_2.safetensors"},
                           Pair{"spec/golden/formats/v6_F32.bin", "spec/golden/models/v6.safetensors"},
                           Pair{"spec/golden/formats/v7_F32.bin", "spec/golden/models/v7.safetensors"},
                           Pair{"spec/golden/formats/v4_F16.bin", "spec/golden/models/v4.safetensors"},
                           Pair{"spec/golden/formats/v5_2_F16.bin", "spec/golden/models/v5_2.safetensors"},
                           Pair{"spec/golden/formats/v6_F16.bin", "spec/golden/models/v6.safetensors"},
                           Pair{"spec/golden/formats/v7_F16.bin", "spec/golden/models/v7.safetensors"},
                           Pair{"testdata/rwkv.cpp-synthetic/v5.0-FP16.bin", "testdata/models/v5.0/v5.0-fp32.pth"},
                           Pair{"testdata/rwkv.cpp-synthetic/v6.0-FP16.bin", "testdata/models/v6.0/v6.0-fp32.pth"}}) {
    CAPTURE(pair.bin);
    const auto official = map(shared_file(pair.official));
    const Checkpoint found = read_shared(pair.bin);
    check_official(found, pair.official.ends_with(".pth") ? read_pth(official) : read_safetensors(official));
    CHECK(found.metadata().empty());
  }
}

TEST_CASE("every reference file is read") {
  RWKV_NEEDS_SHARED();
  int n_read = 0;
  for (const char* folder : {"testdata/rwkv.cpp-tiny", "testdata/rwkv.cpp-synthetic", "spec/golden/formats"}) {
    for (const auto& entry : std::filesystem::directory_iterator(shared_file(folder))) {
      const std::string name = entry.path().filename();
      if (!name.ends_with(".bin") || name.starts_with("expected")) continue;
      CAPTURE(name);
      CHECK(read_rwkvcpp(map(entry.path().string())).entries().size() > 10);
      ++n_read;
    }
  }
  CHECK(n_read == 27);
}

TEST_CASE("low-rank matrices in blocks, as the quantiser of rwkv.cpp makes them of RWKV-6, become numbers") {
  // One block of q8_0 in a row: d = 1, q = 0 to 31, turned into a column.
  std::string block = u16(0x3c00);
  for (int i = 0; i < 32; ++i) block += static_cast<char>(i);
  const std::string mix = tensor("blocks.0.att.time_maa_x", {2}, floats({1, 2}));
  const Checkpoint found = read_with(mix + tensor("blocks.0.att.time_maa_w1", {1, 32}, block, 9));
  const TensorView& matrix = found.at("blocks.0.att.time_maa_w1");
  CHECK(matrix.dtype == DType::f32);
  CHECK(matrix.shape == Shape{32, 1});
  CHECK(read_all<float>(matrix)[31] == 31.0f);
}

TEST_SUITE_END();
