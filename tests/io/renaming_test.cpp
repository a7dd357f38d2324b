// SPDX-License-Identifier: MIT
#include "rwkv/io/renaming.hpp"

#include "io/files.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

constexpr detail::Renaming names[] = {{"token_embd.weight", "emb.weight"}, {"attn_norm.*", "ln1.*"}};

Checkpoint with_mixes(const TensorView& tensor, detail::LastRow last = detail::LastRow::needed) {
  Checkpoint official("file");
  detail::add_mixes(official, "stored", tensor, "x_", "rwk", last);
  return official;
}

}  // namespace

TEST_SUITE_BEGIN("io/renaming");

TEST_CASE("a name is renamed as a whole, or up to its star") {
  CHECK(detail::official_name(names, "token_embd.weight") == "emb.weight");
  CHECK(detail::official_name(names, "attn_norm.weight") == "ln1.weight");
  CHECK(detail::official_name(names, "attn_norm.bias") == "ln1.bias");
  for (const char* unknown : {"", "token_embd.weights", "token_embd", "attn_norm", "attn_norm_2.weight"}) {
    CAPTURE(unknown);
    CHECK(detail::official_name(names, unknown).empty());
  }
}

TEST_CASE("mixes that are rows of a tensor stay where they are") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  for (const Shape& shape : {Shape{3, 2}, Shape{3, 1, 2}, Shape{3, 1, 1, 2}}) {
    const TensorView tensor = make_tensor(shape, values);
    const Checkpoint official = with_mixes(tensor);
    REQUIRE(official.entries().size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      const auto& [name, row] = official.entries()[i];
      CHECK(name == std::string("x_") + "rwk"[i]);
      CHECK(row.shape == Shape{1, 1, 2});
      CHECK(row.data == tensor.data + 8 * i);
    }
  }
  CHECK(with_mixes(make_tensor({2, 3}, values), detail::LastRow::optional).entries().size() == 2);
}

TEST_CASE("mixes of another number or form are refused by the name in the file") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  for (const Shape& shape : {Shape{6}, Shape{2, 3}, Shape{6, 1}, Shape{3, 2, 1}, Shape{1, 3, 2}}) {
    const std::string found = "file: tensor 'stored': expected 3 rows of n_embd single numbers, found f32 ";
    CHECK_THROWS_WITH_AS(with_mixes(make_tensor(shape, values)), (found + to_string(shape)).c_str(), FormatError);
  }
  CHECK_THROWS_AS(with_mixes(make_tensor({1, 6}, values), detail::LastRow::optional), FormatError);
  const std::vector<std::byte> blocks(3 * 34);
  CHECK_THROWS_AS(with_mixes(make_tensor(DType::q8_0, {3, 32}, std::span<const std::byte>(blocks))), FormatError);
}

TEST_SUITE_END();
