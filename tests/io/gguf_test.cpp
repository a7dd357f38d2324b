// SPDX-License-Identifier: MIT
#include "rwkv/io/gguf_official.hpp"

#include "io/files.hpp"
#include "rwkv/io/safetensors.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

std::string text(const std::string& value) { return u64(value.size()) + value; }
std::string entry(const std::string& key, std::uint32_t type, const std::string& value) {
  return text(key) + u32(type) + value;
}

/// A file of one tensor "t" of 2 x 3 floats, and the metadata.
std::string file_with(const std::vector<std::string>& metadata, std::uint32_t version = 3) {
  std::string file = "GGUF" + u32(version) + u64(1) + u64(metadata.size());
  for (const std::string& each : metadata) file += each;
  file += text("t") + u32(2) + u64(3) + u64(2) + u32(0) + u64(0);
  file.resize((file.size() + 31) / 32 * 32, '\0');
  for (const float value : {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}) file += number(value);
  return file;
}

GgufFile read_bytes(const std::string& bytes) {
  const TemporaryFile file(".gguf");
  write_file(file.path(), bytes);
  return read_gguf_file(map(file.path()));
}

/// Tensors of the file against those of the official model: the same names, shapes but for axes of length 1, and the
/// numbers that `stored` makes of the official ones.
template <class Stored>
void check_official(const std::string& file, const std::string& model, Stored&& stored) {
  const Checkpoint found = read_gguf(map(shared_file("spec/golden/formats/" + file)));
  const Checkpoint official = read_safetensors(map(shared_file("spec/golden/models/" + model + ".safetensors")));
  CAPTURE(file);
  for (const auto& entry : official.entries()) {
    const std::string& name = entry.name;
    const TensorView& tensor = entry.tensor;
    CAPTURE(name);
    const bool is_unused = name.starts_with("blocks.0.att.v") && name.size() == 15;  // no layer before it
    if (is_unused) continue;
    const TensorView& other = found.at(name);
    std::vector<Index> dims(tensor.shape.begin(), tensor.shape.end()),
        found_dims(other.shape.begin(), other.shape.end());
    std::erase(dims, 1);
    std::erase(found_dims, 1);
    CHECK(dims == found_dims);
    auto expected = read_all<float>(tensor);
    for (float& value : expected) value = stored(name, other.dtype, value);
    CHECK(max_abs_difference(read_all<float>(other), expected) == 0);
  }
}

}  // namespace

TEST_SUITE_BEGIN("io/gguf");

TEST_CASE("metadata of all types, and tensors with dimensions slowest first") {
  const GgufFile file = read_bytes(file_with({
      entry("u8", 0, "\xff"),
      entry("i8", 1, "\xff"),
      entry("u16", 2, u16(65535)),
      entry("i16", 3, u16(65535)),
      entry("u32", 4, u32(7)),
      entry("i32", 5, u32(0xfffffffe)),
      entry("f32", 6, number(0.5f)),
      entry("bool", 7, "\1"),
      entry("text", 8, text("words")),
      entry("u64", 10, u64(1)),
      entry("i64", 11, u64(~std::uint64_t{0})),
      entry("f64", 12, number(0.25)),
      entry("array", 9, u32(8) + u64(2) + text("a") + text("bc")),
      entry("numbers", 9, u32(2) + u64(3) + u16(1) + u16(2) + u16(3)),
      entry("nested", 9, u32(9) + u64(1) + u32(0) + u64(1) + "x"),
  }));
  CHECK(file.number("u8") == 255u);
  CHECK(std::get<std::int64_t>(*file.find("i8")) == -1);
  CHECK(file.number("u16") == 65535u);
  CHECK(std::get<std::int64_t>(*file.find("i16")) == -1);
  CHECK(file.number("u32") == 7u);
  CHECK(std::get<std::int64_t>(*file.find("i32")) == -2);
  CHECK(!file.number("i32"));
  CHECK(std::get<double>(*file.find("f32")) == 0.5);
  CHECK(std::get<bool>(*file.find("bool")));
  CHECK(file.text("text") == "words");
  CHECK(!file.text("u64"));
  CHECK(std::get<std::int64_t>(*file.find("i64")) == -1);
  CHECK(std::get<double>(*file.find("f64")) == 0.25);
  const auto array = std::get<GgufArray>(*file.find("array"));
  CHECK(array.type == 8);
  CHECK(array.size == 2);
  CHECK(as_text(array.bytes) == text("a") + text("bc"));
  CHECK(as_text(std::get<GgufArray>(*file.find("numbers")).bytes) == u16(1) + u16(2) + u16(3));
  CHECK(file.find("nothing") == nullptr);
  const TensorView& tensor = file.tensors.at("t");
  CHECK(tensor.shape == Shape{2, 3});
  CHECK(read_all<float>(tensor)[3] == 4.0f);
  CHECK(read_bytes(file_with({}, 2)).tensors.contains("t"));
}

TEST_CASE("a file that ends anywhere before its end is refused") {
  const std::string whole = file_with({entry("array", 9, u32(8) + u64(2) + text("a") + text("bc"))});
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(n);
    CHECK_THROWS_AS(read_bytes(whole.substr(0, n)), FormatError);
  }
}

TEST_CASE("arrays in arrays end at the fourth") {
  std::string value = u32(0) + u64(0);
  for (int i = 0; i < 4; ++i) value = u32(9) + u64(1) + value;
  CHECK_THROWS_WITH_AS(read_bytes(file_with({entry("deep", 9, value)})), doctest::Contains("too deep"), FormatError);
}

TEST_CASE("RWKV-6 and 7 are given back as they were before the converter of llama.cpp") {
  RWKV_NEEDS_SHARED();
  const auto as_it_is = [](const std::string&, DType, float value) { return value; };
  check_official("v7_F32.gguf", "v7", as_it_is);
  check_official("v6_F32_rescale2.gguf", "v6", as_it_is);  // powers of 2 change no digit
  check_official("v7_F16.gguf", "v7", [](const std::string&, DType dtype, float value) {
    return dtype == DType::f16 ? f16_to_f32(f32_to_f16(value)) : value;
  });
}

TEST_CASE("every type of blocks is read to the last bit, others are refused by name") {
  RWKV_NEEDS_SHARED();
  struct Type {
    std::uint32_t number;
    std::string name;
    bool is_read = true;
  };
  for (const Type& type : {Type{2, "Q4_0"}, Type{3, "Q4_1"}, Type{6, "Q5_0"}, Type{7, "Q5_1"}, Type{8, "Q8_0"},
                           Type{12, "Q4_K"}, Type{13, "Q5_K"}, Type{14, "Q6_K"}, Type{20, "IQ4_NL"},
                           Type{10, "Q2_K", false}, Type{11, "Q3_K", false}, Type{23, "IQ4_XS", false}}) {
    CAPTURE(type.name);
    const std::string blocks = read_file(shared_file("spec/golden/quant/" + type.name + ".bin"));
    const std::string floats = read_file(shared_file("spec/golden/quant/" + type.name + ".f32"));
    std::string file = "GGUF" + u32(3) + u64(1) + u64(0) + text("t") + u32(2) + u64(floats.size() / 8) + u64(2) +
                       u32(type.number) + u64(0);
    file.resize((file.size() + 31) / 32 * 32, '\0');
    if (!type.is_read) {
      CHECK_THROWS_WITH_AS(read_bytes(file + blocks), doctest::Contains(("'t': has type " + type.name).c_str()),
                           UnsupportedError);
      continue;
    }
    const GgufFile found = read_bytes(file + blocks);
    const auto values = read_all<float>(found.tensors.at("t"));
    REQUIRE(values.size() * 4 == static_cast<Index>(floats.size()));
    CHECK(std::memcmp(values.data(), floats.data(), floats.size()) == 0);
  }
}

TEST_CASE("what cannot run is refused by what it is") {
  const auto refuse = [](const std::vector<std::string>& metadata, const std::string& phrase) {
    const TemporaryFile file(".gguf");
    write_file(file.path(), file_with(metadata));
    CHECK_THROWS_WITH_AS(static_cast<void>(read_gguf(map(file.path()))), doctest::Contains(phrase.c_str()),
                         UnsupportedError);
  };
  const auto architecture = [](const std::string& name) { return entry("general.architecture", 8, text(name)); };
  refuse({architecture("rwkv6qwen2")}, "found 'rwkv6qwen2'. It is a hybrid");
  refuse({architecture("arwkv7")}, "found 'arwkv7'. It is a hybrid");
  refuse({architecture("mamba")}, "expected rwkv6 or rwkv7, found 'mamba'");
  refuse({architecture("rwkv7"), entry("split.count", 2, u16(3))}, "is one of 3 files of a model. Join them");
  std::string swapped = file_with({});
  std::swap(swapped[4], swapped[7]);
  CHECK_THROWS_WITH_AS(read_bytes(swapped), doctest::Contains("is big-endian: expected 2 or 3"), FormatError);
  CHECK_THROWS_WITH_AS(read_bytes(file_with({}, 1)), doctest::Contains("unknown version: expected 2 or 3, found 1"),
                       FormatError);
}

TEST_CASE("a tensor of a layer that is not known stays in its layer, where the model refuses it") {
  std::string bytes = "GGUF" + u32(3) + u64(2) + u64(1) + entry("general.architecture", 8, text("rwkv7"));
  for (const char* name : {"blk.3.strange.weight", "strange.weight"})
    bytes += text(name) + u32(1) + u64(1) + u32(0) + u64(0);
  const TemporaryFile file(".gguf");
  write_file(file.path(), bytes + std::string(64, '\0'));
  const Checkpoint found = read_gguf(map(file.path()));
  CHECK(found.contains("blocks.3.strange.weight"));
  CHECK(found.contains("strange.weight"));
}

TEST_CASE("halvings by any number of layers, also an absurd one") {
  const auto output_of = [](const std::string& layer, std::uint64_t every) {
    std::string bytes = "GGUF" + u32(3) + u64(1) + u64(2) + entry("general.architecture", 8, text("rwkv6")) +
                        entry("rwkv6.rescale_every_n_layers", 10, u64(every)) +
                        text("blk." + layer + ".time_mix_output.weight") + u32(1) + u64(1) + u32(0) + u64(0);
    bytes.resize((bytes.size() + 31) / 32 * 32, '\0');
    const TemporaryFile file(".gguf");
    write_file(file.path(), bytes + number(1.0f));
    return read_all<float>(read_gguf(map(file.path())).at("blocks." + layer + ".att.output.weight"))[0];
  };
  CHECK(output_of("5", 0) == 1);
  CHECK(output_of("5", 6) == 1);
  CHECK(output_of("6", 6) == 2);
  CHECK(output_of("5", 2) == 4);
  CHECK(output_of("5", ~std::uint64_t{0}) == 1);
  CHECK(output_of("5", std::uint64_t{1} << 63) == 1);
  CHECK(output_of("9999", 1) == 0x1p60f);  // the model refuses such a layer
  CHECK(output_of("99999999999999999999", 1) == 1);
}

TEST_CASE("the halvings of RWKV-6 are undone in every type") {
  const std::vector<float> values{1.0f, -2.5f, 0.125f, 3.0f};
  const auto scaled = [&](DType dtype, auto bits) {
    std::vector<decltype(bits(0.0f))> stored;
    for (const float value : values) stored.push_back(bits(value));
    const TensorView tensor = make_tensor(dtype, {2, 2}, std::span<const decltype(bits(0.0f))>(stored));
    return read_all<float>(detail::scaled_by_power(tensor, 3));
  };
  const std::vector<float> expected{8.0f, -20.0f, 1.0f, 24.0f};
  CHECK(max_abs_difference(scaled(DType::f32, [](float x) { return x; }), expected) == 0);
  CHECK(max_abs_difference(scaled(DType::f64, [](float x) { return static_cast<double>(x); }), expected) == 0);
  CHECK(max_abs_difference(scaled(DType::f16, [](float x) { return f32_to_f16(x); }), expected) == 0);
  CHECK(max_abs_difference(scaled(DType::bf16, [](float x) { return f32_to_bf16(x); }), expected) == 0);
  for (const DTypeInfo& type : dtype_infos) {
    if (type.block_elements == 1) continue;
    CAPTURE(type.name);
    std::vector<std::byte> bytes(static_cast<std::size_t>(type.block_bytes), std::byte{0x2c});  // 0x2c2c is 0.065
    const TensorView tensor = make_tensor(type.dtype, {1, type.block_elements}, std::span<const std::byte>(bytes));
    auto before = read_all<float>(tensor);
    for (float& value : before) value *= 8;
    CHECK(max_abs_difference(read_all<float>(detail::scaled_by_power(tensor, 3)), before) == 0);
  }
}

TEST_SUITE_END();
