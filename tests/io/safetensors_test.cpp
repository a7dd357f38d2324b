// SPDX-License-Identifier: MIT
#include "rwkv/io/safetensors.hpp"

#include "io/files.hpp"
#include "rwkv/io/pth.hpp"

using namespace rwkv;
using namespace rwkv_test;
using namespace std::string_literals;

namespace {

Checkpoint read_bytes(const std::string& bytes) {
  const TemporaryFile file(".safetensors");
  write_file(file.path(), bytes);
  return read_safetensors(map(file.path()));
}

/// A file with this header and n bytes of data.
Checkpoint read_header(const std::string& header, std::size_t n_bytes = 0) {
  return read_bytes(u64(header.size()) + header + std::string(n_bytes, '\1'));
}

void check_refused(const std::string& header, std::size_t n_bytes, const char* phrase) {
  CAPTURE(header.substr(0, 200));
  CHECK_THROWS_WITH_AS(read_header(header, n_bytes), doctest::Contains(phrase), FormatError);
}

}  // namespace

TEST_SUITE_BEGIN("io/safetensors");

TEST_CASE("what is written is read again: every type, scalars, empty tensors, metadata, escapes") {
  Checkpoint checkpoint;
  for (const DTypeInfo& type : dtype_infos) {
    if (type.block_elements != 1) continue;
    const std::vector<std::byte> bytes(static_cast<std::size_t>(3 * type.block_bytes), std::byte{1});
    checkpoint.add(std::string(type.name), make_tensor<std::byte>(type.dtype, {3, 1}, bytes));
  }
  checkpoint.add("scalar", make_tensor({}, std::vector<float>{7}));
  checkpoint.add("empty", make_tensor({2, 0}, std::vector<float>{}));
  checkpoint.add("\"quotes\"\\ \n \xc3\xa9 \xf0\x9f\x90\xa6", make_tensor({1}, std::vector<float>{8}));
  checkpoint.metadata() = {{"format", "pt"}, {"text", "line\n\"\\ \xe2\x82\xac"}};

  const TemporaryFile file(".safetensors"), again(".safetensors");
  write_safetensors(checkpoint, file.path());
  const Checkpoint found = read_safetensors(map(file.path()));
  check_same(found, checkpoint);
  CHECK(found.metadata() == checkpoint.metadata());
  for (std::size_t i = 0; i < found.entries().size(); ++i) {
    CAPTURE(found.entries()[i].name);
    CHECK(found.entries()[i].name == checkpoint.entries()[i].name);
    const TensorView& tensor = found.entries()[i].tensor;
    CHECK(reinterpret_cast<std::uintptr_t>(tensor.data) % static_cast<std::size_t>(info(tensor.dtype).block_bytes) ==
          0);
  }
  write_safetensors(found, again.path());
  CHECK(read_file(again.path()) == read_file(file.path()));
}

TEST_CASE("an empty checkpoint is a valid file") {
  const TemporaryFile file(".safetensors");
  write_safetensors(Checkpoint{}, file.path());
  CHECK(read_safetensors(map(file.path())).entries().empty());
  CHECK(read_file(file.path()) == u64(8) + "{}      ");
}

TEST_CASE("a file may be written over the one it was read from") {
  const TemporaryFile file(".safetensors");
  Checkpoint checkpoint;
  checkpoint.add("x", make_tensor({2}, std::vector<float>{1, 2}));
  write_safetensors(checkpoint, file.path());
  const Checkpoint mapped = read_safetensors(map(file.path()));
  write_safetensors(mapped, file.path());
  check_same(read_safetensors(map(file.path())), checkpoint);
}

TEST_CASE("names that JSON cannot hold are refused, and no file appears") {
  for (const std::string name : {"\xff", "__metadata__"}) {
    Checkpoint checkpoint;
    checkpoint.add(name, make_tensor({1}, std::vector<float>{1}));
    const TemporaryFile file(".safetensors");
    CHECK_THROWS_AS(write_safetensors(checkpoint, file.path()), ArgumentError);
    CHECK(!std::filesystem::exists(file.path()));
  }
}

TEST_CASE("headers of another form are refused") {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  CHECK_NOTHROW(read_header(good, 8));
  CHECK_NOTHROW(read_header(good + "   ", 8));
  CHECK_NOTHROW(read_header(R"({"__metadata__":{"a":"b"}})"));
  CHECK_NOTHROW(read_header(R"({"\ud83d\udc26":{"data_offsets":[0,4],"shape":[],"dtype":"F32"}})", 4));
  check_refused(good + "x", 8, "not valid JSON");
  check_refused(good.substr(0, good.size() - 1), 8, "not valid JSON");
  check_refused(R"([1])", 0, "expected a JSON object");
  check_refused(R"({"a":1})", 0, "tensor 'a': expected an object, found a number");
  check_refused(R"({"a":null})", 0, "tensor 'a': expected an object, found null");
  check_refused(R"({"a":true})", 0, "expected an object, found true or false");
  check_refused(R"({"a":"F32"})", 0, "expected an object, found a string");
  check_refused(R"({"a":[1]})", 0, "expected an object, found a list");
  check_refused(R"({"a":{"dtype":{}}})", 0, "tensor 'a': expected a string, found an object");
  check_refused(R"({"a":{"shape":[[1]]}})", 0, "expected a number, found a list");
  check_refused(R"({"a":{"shape":[{}]}})", 0, "expected a number, found an object");
  check_refused(R"({"a":{"dtype":["F32"]}})", 0, "expected a string, found a list");
  check_refused(R"({"a":{"dtype":5}})", 0, "expected a string, found a number");
  check_refused(R"({"a":{"more":5}})", 0, "'more' is unknown");
  check_refused(R"({"a":{"dtype":"F32","shape":[2]}})", 8, "needs dtype, shape and two data_offsets");
  check_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "two data_offsets");
  check_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", 8, "two data_offsets");
  check_refused(R"({"a":{"shape":[1,1,1,1,1,1,1,1,1]}})", 0, "too long");
  check_refused(R"({"a":{"shape":[-1]}})", 0, "expected a count, found -1");
  check_refused(R"({"a":{"shape":[1.5]}})", 0, "expected a count, found 1.5");
  check_refused(R"({"a":{"shape":[18446744073709551616]}})", 0, "expected a count, found 18446744073709551616");
  check_refused(R"({"__metadata__":{"a":1}})", 0, "header: expected a string, found a number");
  check_refused(R"({"__metadata__":{"a":{}}})", 0, "expected a string, found an object");
  check_refused(R"({"__metadata__":5})", 0, "expected an object, found a number");
  for (const char bracket : {'[', '{'}) {
    check_refused("{\"a\":" + std::string(1'000'000, bracket), 0, "safetensors");
    check_refused("{\"a\":{\"shape\":" + std::string(1'000'000, bracket), 0, "tensor 'a'");
  }
}

TEST_CASE("a header with a zero byte is refused, and so is a name that is far too long") {
  check_refused(std::string("{}\0{}", 5), 0, "not valid JSON at byte 2");
  check_refused(R"({")" + std::string(2000, 'x') + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0,
                "a name of at most 1024 bytes");
}

TEST_CASE("duplicate keys are refused on every level") {
  const std::string entry = R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  check_refused("{\"a\":" + entry + ",\"a\":" + entry + "}", 0, "'a': the name occurs twice");
  check_refused(R"({"a":{"dtype":"F32","dtype":"F32"}})", 0, "'dtype' occurs twice");
  check_refused(R"({"__metadata__":{"x":"1","x":"2"}})", 0, "'x' occurs twice");
  check_refused(R"({"__metadata__":{},"__metadata__":{}})", 0, "'__metadata__' occurs twice");
}

TEST_CASE("tensors lie in the data and do not overlap, and bytes of no tensor are let be") {
  const auto entry = [](const std::string& name, const std::string& shape, std::uint64_t begin, std::uint64_t end) {
    return "\"" + name + "\":{\"dtype\":\"U8\",\"shape\":" + shape + ",\"data_offsets\":[" + std::to_string(begin) +
           "," + std::to_string(end) + "]}";
  };
  const auto a = entry("a", "[2]", 0, 2), b = entry("b", "[3]", 2, 5);
  CHECK_NOTHROW(read_header("{" + b + "," + a + "," + entry("c", "[0]", 2, 2) + "}", 5));
  CHECK_NOTHROW(read_header("{" + a + "," + b + "}", 6));
  CHECK_NOTHROW(read_header("{" + b + "}", 5));
  check_refused("{" + a + "," + entry("b", "[3]", 1, 4) + "}", 4, "'b': overlaps");
  check_refused("{" + a + "," + entry("b", "[2]", 0, 2) + "}", 2, "overlaps");
  check_refused("{" + a + "}", 1, "'a': data_offsets reach out of the data");
  check_refused("{" + entry("a", "[1]", 2, 1) + "}", 2, "reach out");
  check_refused("{" + entry("a", "[3]", 0, 2) + "}", 2, "expected 3 bytes for [3], found 2 bytes");
  check_refused("{" + entry("a", "[4294967296,4294967296,4294967296]", 0, 0) + "}", 0, "a possible shape");
  check_refused("{" + entry("a", "[18446744073709551615]", 0, 1) + "}", 1, "a possible shape");
  check_refused("{" + entry("a", "[1]", 18446744073709551614u, 18446744073709551615u) + "}", 1, "reach out");
}

TEST_CASE("types: what exists elsewhere is unsupported, what does not is an error") {
  const auto header = [](const std::string& dtype) {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":[0],"data_offsets":[0,0]}})";
  };
  CHECK_THROWS_WITH_AS(read_header(header("F8_E4M3")), doctest::Contains("'a': dtype F8_E4M3"), UnsupportedError);
  check_refused(header("F31"), 0, "found 'F31'");
}

TEST_CASE("impossible header lengths are refused") {
  for (const std::uint64_t length : {std::uint64_t{3}, std::uint64_t{1} << 60, ~std::uint64_t{0}, ~std::uint64_t{7}}) {
    CHECK_THROWS_WITH_AS(read_bytes(u64(length) + "{}"), doctest::Contains("longer than the file"), FormatError);
  }
  CHECK_THROWS_AS(read_bytes("1234567"), FormatError);
  CHECK_THROWS_AS(read_bytes(u64(0)), FormatError);
}

TEST_CASE("the reference files hold the tensors of the PyTorch files") {
  RWKV_NEEDS_SHARED();
  const auto expect_same = [](const std::string& safetensors, const std::string& pth) {
    CAPTURE(safetensors);
    check_same(read_safetensors(map(shared_file("testdata/odd-valid/" + safetensors + ".safetensors"))),
               read_pth(map(shared_file("testdata/odd-valid/" + pth + ".pth"))));
  };
  expect_same("f32", "plain");
  expect_same("f32-metadata-escapes", "plain");
  expect_same("f16", "f16");
  expect_same("bf16", "bf16");
}

TEST_CASE("a reference model survives writing and reading") {
  RWKV_NEEDS_SHARED();
  for (const std::string name :
       {"testdata/odd-valid/f32-metadata-escapes.safetensors", "spec/golden/models/v7.safetensors"}) {
    const Checkpoint checkpoint = read_safetensors(map(shared_file(name)));
    const TemporaryFile file(".safetensors");
    write_safetensors(checkpoint, file.path());
    const Checkpoint again = read_safetensors(map(file.path()));
    check_same(again, checkpoint);
    CHECK(again.metadata() == checkpoint.metadata());
  }
}

TEST_SUITE_END();
