// SPDX-License-Identifier: MIT
#include "rwkv/io/web_rwkv.hpp"

#include "io/files.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/safetensors.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

Checkpoint read_model(const std::string& name) {
  return read_safetensors(map(shared_file("spec/golden/models/" + name + ".safetensors")));
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t position = text.find(from);
  if (position != std::string::npos) text.replace(position, from.size(), to);
}

/// What the converter of web-rwkv makes of an official model, but for the rounding to F16.
Checkpoint spelled_for_web_rwkv(const Checkpoint& official) {
  return official.transformed([](Checkpoint::Entry entry) {
    const std::string part = entry.name.substr(entry.name.rfind('.') + 1);
    for (const char* matrix : {"time_maa_w1", "time_maa_w2", "time_decay_w1", "time_decay_w2", "w1", "w2", "a1", "a2",
                               "v1", "v2", "g1", "g2", "time_state"}) {
      if (part == matrix) entry.tensor = transposed(entry.tensor);
    }
    replace(entry.name, "time_maa", "time_mix");
    replace(entry.name, "time_faaaa", "time_first");
    return entry;
  });
}

Checkpoint reopened(const Checkpoint& checkpoint) {
  const TemporaryFile file(".st");
  write_safetensors(checkpoint, file.path());
  return open_checkpoint(file.path());
}

/// The model with a State trained for it: two heads of three channels in every layer, all numbers different.
Checkpoint with_time_state(const Checkpoint& model) {
  Checkpoint tuned(model.path());
  for (const auto& [name, tensor] : model.entries()) {
    tuned.add(name, tensor);
    if (!name.ends_with(".att.key.weight")) continue;
    const std::string layer = name.substr(0, name.find("att."));
    tuned.add(layer + "att.time_state", make_tensor({2, 3, 3}, random_values<float>(18, tuned.entries().size())));
  }
  return tuned;
}

TensorView zeros(Shape shape) {
  return make_tensor(shape, std::vector<float>(static_cast<std::size_t>(*shape.checked_n_elements())));
}

/// The shape of "blocks.0.att.w1" in the opened file.
Shape opened_shape(Shape w1, Shape embedding, Shape a1) {
  Checkpoint checkpoint;
  checkpoint.add("emb.weight", zeros(embedding));
  checkpoint.add("blocks.0.att.w1", zeros(w1));
  checkpoint.add("blocks.1.att.a1", zeros(a1));
  return detail::from_web_rwkv(checkpoint).at("blocks.0.att.w1").shape;
}

}  // namespace

TEST_SUITE_BEGIN("io/web_rwkv");

TEST_CASE("a model in the spelling of web-rwkv becomes the official one") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v4", "v5_2", "v6", "v7"}) {
    CAPTURE(name);
    const Checkpoint official = read_model(name);
    const Checkpoint web = spelled_for_web_rwkv(official);
    CHECK((first_difference(web, official) == "") == (name == "v4"));
    check_same(reopened(web), official);
  }
}

TEST_CASE("a trained State is turned with the matrices of its file, and only there") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v5_2", "v6", "v7"}) {
    CAPTURE(name);
    const Checkpoint official = with_time_state(read_model(name));
    REQUIRE(official.contains("blocks.1.att.time_state"));
    check_same(reopened(spelled_for_web_rwkv(official)), official);
    check_same(reopened(official), official);
  }
}

TEST_CASE("official files stay as they are") {
  RWKV_NEEDS_SHARED();
  int n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(shared_file("spec/golden/models"))) {
    const std::string path = entry.path().string();
    if (!path.ends_with(".safetensors")) continue;
    CAPTURE(path);
    check_same(open_checkpoint(path), read_safetensors(map(path)));
    ++n_files;
  }
  CHECK(n_files == 32);
}

TEST_CASE("one matrix that is transposed beyond doubt decides for the file") {
  CHECK(opened_shape({2, 4}, {3, 4}, {2, 4}) == Shape{4, 2});
  CHECK(opened_shape({4, 2}, {3, 4}, {4, 2}) == Shape{4, 2});
  CHECK(opened_shape({4, 4}, {3, 4}, {4, 4}) == Shape{4, 4});  // no doubt: nothing is known
  CHECK(opened_shape({2, 4}, {12}, {2, 4}) == Shape{2, 4});    // no n_embd to compare with
  CHECK(opened_shape({0, 4}, {3, 4}, {0, 4}) == Shape{4, 0});
}

TEST_CASE("the bonus is linear only beside a gate and by channel") {
  for (const bool has_gate : {false, true}) {
    for (const Shape& shape : {Shape{2}, Shape{2, 1}, Shape{2, 3}}) {
      Checkpoint checkpoint;
      checkpoint.add("blocks.0.att.time_first", zeros(shape));
      if (has_gate) checkpoint.add("blocks.0.att.gate.weight", zeros({6, 6}));
      const bool is_linear = has_gate && shape == Shape{2, 3};
      CHECK(detail::from_web_rwkv(checkpoint).contains("blocks.0.att.time_faaaa") == is_linear);
      CHECK(detail::from_web_rwkv(checkpoint).contains("blocks.0.att.time_first") != is_linear);
    }
  }
}

TEST_CASE("what cannot be turned or named is refused") {
  Checkpoint vector("x.st");
  vector.add("blocks.0.att.time_mix_w1", zeros({5}));
  CHECK_THROWS_WITH_AS(static_cast<void>(detail::from_web_rwkv(vector)),
                       "x.st: tensor 'blocks.0.att.time_maa_w1': expected a matrix, found shape [5]", FormatError);
  Checkpoint twice;
  for (const std::string name : {"time_mix_x", "time_mix_k", "time_maa_k"}) {
    twice.add("blocks.0.att." + name, zeros({1}));
  }
  CHECK_THROWS_WITH_AS(static_cast<void>(detail::from_web_rwkv(twice)), doctest::Contains("occurs twice"), FormatError);
}

TEST_SUITE_END();
