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

Checkpoint read_bytes(const std::string& bytes) {
  const TemporaryFile file(".bin");
  write_file(file.path(), bytes);
  return read_rwkvcpp(map(file.path()));
}

Checkpoint read_with(const std::string& tensors) {
  return read_bytes(header(101, 3, 2, 1, 0) + embedding + norm + tensors);
}

Checkpoint read_shared(const std::string& name) { return read_rwkvcpp(map(shared_file(name))); }

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

TEST_CASE("later generations stay as they are in the file, and say so") {
  for (const std::string name : {"blocks.0.att.ln_x.weight", "blocks.0.att.time_maa_x", "blocks.0.att.r_k"}) {
    const Checkpoint checkpoint =
        read_with(tensor(name, {2}, floats({1, 2})) + tensor("blocks.0.att.time_decay", {2}, floats({-1, -2})));
    CHECK(checkpoint.metadata().at("rwkv.cpp.raw") == "true");
    CHECK(checkpoint.at("blocks.0.att.time_decay").dtype == DType::f32);
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
  CHECK_THROWS_WITH_AS(read_with(tensor("x", {32}, std::string(22, '\0'), 7)),
                       doctest::Contains("'x': has type Q5_0, quantised rwkv.cpp files are not supported yet"),
                       UnsupportedError);
}

TEST_CASE("the reference files of RWKV-4 hold the official tensors") {
  RWKV_NEEDS_SHARED();
  struct Pair {
    std::string bin;
    Checkpoint expected;
  };
  for (const Pair& pair :
       {Pair{"testdata/odd-valid/ggmf-fp32.bin", read_pth(map(shared_file("testdata/odd-valid/plain.pth")))},
        Pair{"spec/golden/formats/v4_F32.bin",
             read_safetensors(map(shared_file("spec/golden/models/v4.safetensors")))}}) {
    CAPTURE(pair.bin);
    const Checkpoint found = read_shared(pair.bin);
    CHECK(found.entries().size() == pair.expected.entries().size());
    for (const auto& entry : pair.expected.entries()) {
      const auto& name = entry.name;
      const auto& tensor = entry.tensor;
      CAPTURE(name);
      const TensorView& other = found.at(name);
      if (name.ends_with(".time_decay")) {
        // The converter takes exp in float: 1.5 units in the last place, relative, which is absolute in the
        // logarithm.
        CHECK(max_abs_difference(read_all<double>(other), read_all<double>(tensor)) < 1.5 * 0x1p-23);
      } else {
        CHECK(bytes_of(other) == bytes_of(tensor));  // shapes differ: the converter drops the axes of length 1
      }
    }
  }
}

TEST_CASE("every reference file is read or refused as quantised") {
  RWKV_NEEDS_SHARED();
  int n_read = 0, n_quantised = 0;
  for (const char* folder : {"testdata/rwkv.cpp-tiny", "testdata/rwkv.cpp-synthetic", "spec/golden/formats"}) {
    for (const auto& entry : std::filesystem::directory_iterator(shared_file(folder))) {
      const std::string name = entry.path().filename();
      if (!name.ends_with(".bin") || name.starts_with("expected")) continue;
      CAPTURE(name);
      if (name.find("_F") != std::string::npos || name.ends_with("FP16.bin") || name.ends_with("FP32.bin")) {
        const Checkpoint checkpoint = read_rwkvcpp(map(entry.path().string()));
        const bool is_v4 = name.starts_with("v4") || name.find("-4v0-") != std::string::npos;
        CHECK(checkpoint.metadata().empty() == is_v4);
        ++n_read;
      } else {
        CHECK_THROWS_WITH_AS(static_cast<void>(read_rwkvcpp(map(entry.path().string()))),
                             doctest::Contains("not supported yet"), UnsupportedError);
        ++n_quantised;
      }
    }
  }
  CHECK(n_read == 16);
  CHECK(n_quantised == 11);
}

TEST_SUITE_END();
