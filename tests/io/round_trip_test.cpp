// SPDX-License-Identifier: MIT
// Through every format and back, bit for bit. What formats do with the numbers of vectors is in tests/convert_test.cpp.
#include <cstring>
#include <vector>

#include "io/files.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/write.hpp"
#include "support/small_models.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

/// What is read of a checkpoint that was written in this format.
Checkpoint through(FileFormat format, const Checkpoint& checkpoint) {
  const TemporaryFile file(std::string(file_formats[static_cast<std::size_t>(format)].extension));
  write_checkpoint(planned(checkpoint), format, file.path());
  return open_checkpoint(file.path());
}

bool is_matrix(const std::string& name, const TensorView& tensor) {
  return name.ends_with(".weight") && tensor.shape.rank() == 2;
}

/// A model whose matrices are random bits in a type of single numbers: NaN, infinities, subnormal numbers and both
/// zeros are among them.
Checkpoint random_bits(const Config& config, DType dtype) {
  Random random(1);
  return synthetic(config, DType::f32, 1).transformed([&](Checkpoint::Entry entry) {
    if (!is_matrix(entry.name, entry.tensor)) return entry;
    std::vector<std::uint8_t> bits(static_cast<std::size_t>(*checked_n_bytes(dtype, entry.tensor.shape)));
    for (std::uint8_t& byte : bits) byte = static_cast<std::uint8_t>(random.next() >> 56);
    const std::uint32_t special = dtype == DType::f16    ? 0x7e01'8000u
                                  : dtype == DType::bf16 ? 0x7fc1'8000u
                                                         : 0x7fc00001u;
    std::memcpy(bits.data(), &special, sizeof special);  // a NaN that is not the usual one, and -0
    entry.tensor = make_tensor<std::uint8_t>(dtype, entry.tensor.shape, bits);
    return entry;
  });
}

/// Whether the matrices are the same, type, shape and bits; how many there are.
std::ptrdiff_t check_matrices(const Checkpoint& found, const Checkpoint& expected) {
  std::ptrdiff_t n = 0;
  for (const auto& entry : expected.entries()) {
    if (!is_matrix(entry.name, entry.tensor)) continue;
    CAPTURE(entry.name);
    CHECK(same_tensor(found.at(entry.name), entry.tensor));
    ++n;
  }
  return n;
}

/// A model of RWKV-7 whose rows are whole blocks of every type.
Config model_for_blocks() { return {Generation::v7, 1, 256, 256, 256, 4, 64, 8, {0, 32, 32, 32, 32}}; }

}  // namespace

TEST_SUITE_BEGIN("io/round_trip");

TEST_CASE(
    "matrices of f32 and f16 go from pth to safetensors to GGUF to rwkv.cpp to pth, those of bf16 past rwkv.cpp") {
  for (const Generation generation : {Generation::v6, Generation::v7}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      CAPTURE(name(generation));
      CAPTURE(name(dtype));
      const Checkpoint original = random_bits(small_model(generation), dtype);
      Checkpoint copy = through(FileFormat::pth, original);
      check_same(copy, original);
      copy = through(FileFormat::safetensors, copy);
      check_same(copy, original);
      copy = through(FileFormat::gguf, copy);
      CHECK(check_matrices(copy, original) == 2 + 2 * (generation == Generation::v6 ? 8 : 6));
      if (dtype == DType::bf16) {
        CHECK_THROWS_WITH_AS(through(FileFormat::rwkvcpp, copy), doctest::Contains("rwkv.cpp has no type bf16"),
                             UnsupportedError);
      } else {
        copy = through(FileFormat::rwkvcpp, copy);
      }
      check_matrices(through(FileFormat::pth, copy), original);
    }
  }
}

TEST_CASE("RWKV-4 and 5 go through rwkv.cpp, and GGUF has no room for them") {
  for (const Generation generation : {Generation::v4, Generation::v5_0, Generation::v5_1, Generation::v5_2}) {
    for (const DType dtype : {DType::f32, DType::f16}) {
      CAPTURE(name(generation));
      CAPTURE(name(dtype));
      const Checkpoint original = random_bits(small_model(generation), dtype);
      const Checkpoint copy = through(FileFormat::rwkvcpp, through(FileFormat::safetensors, original));
      CHECK(check_matrices(through(FileFormat::pth, copy), original) >= 2 + 2 * 7);
      CHECK_THROWS_AS(through(FileFormat::gguf, original), UnsupportedError);
    }
  }
}

TEST_CASE("all generations in f32, f16 and bf16 go through the files of PyTorch and safetensors, vectors too") {
  for (const Config& config : small_models()) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      CAPTURE(name(config.generation));
      CAPTURE(name(dtype));
      const Checkpoint original = random_bits(config, dtype);
      check_same(through(FileFormat::pth, through(FileFormat::safetensors, original)), original);
    }
  }
}

TEST_CASE("blocks of all types but iq4_nl go from GGUF to rwkv.cpp to GGUF, and nowhere else") {
  for (const DTypeInfo& type : dtype_infos) {
    if (type.block_elements == 1) continue;
    CAPTURE(type.name);
    const Checkpoint original = synthetic(model_for_blocks(), type.dtype, 1);
    const Checkpoint copy = through(FileFormat::gguf, original);
    CHECK(check_matrices(copy, original) == 2 + 6);
    if (type.dtype == DType::iq4_nl) {
      CHECK_THROWS_WITH_AS(through(FileFormat::rwkvcpp, copy), doctest::Contains("rwkv.cpp has no type iq4_nl"),
                           UnsupportedError);
    } else {
      check_matrices(through(FileFormat::gguf, through(FileFormat::rwkvcpp, copy)), original);
    }
    for (const FileFormat format : {FileFormat::pth, FileFormat::safetensors}) {
      CHECK_THROWS_AS(through(format, original), UnsupportedError);
    }
  }
}

TEST_SUITE_END();
