// SPDX-License-Identifier: MIT
#include "rwkv/arch/fingerprint.hpp"

#include <set>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/io/safetensors.hpp"
#include "rwkv/load.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::fixture;
using rwkv_test::shared_file;
using rwkv_test::TemporaryFile;

namespace {

constexpr Config small{Generation::v4, 2, 16, 16, 64, 0, 0, 100};

template <class Scalar = float>
std::string fingerprint(const Checkpoint& checkpoint) {
  return BasicModel<Scalar>(checkpoint).new_state().layout().fingerprint();
}

/// The checkpoint with one byte of one tensor flipped.
Checkpoint with_flipped_byte(const Checkpoint& checkpoint, const std::string& name, Index position) {
  return checkpoint.transformed([&](Checkpoint::Entry entry) {
    if (entry.name != name) return entry;
    auto bytes = std::make_shared<Buffer<std::byte>>(
        std::span(entry.tensor.data, static_cast<std::size_t>(entry.tensor.n_bytes())));
    (*bytes)[position] ^= std::byte{1};
    entry.tensor = {entry.tensor.dtype, entry.tensor.shape, bytes->data(), bytes};
    return entry;
  });
}

}  // namespace

TEST_SUITE_BEGIN("arch/fingerprint");

TEST_CASE("FNV-1a gives the published hashes") {
  // draft-eastlake-fnv, appendix C: the empty string, "a", "foobar".
  const auto hash = [](std::string_view text) {
    detail::Fnv1a fnv;
    fnv.add(std::as_bytes(std::span(text)));
    return fnv.hex();
  };
  CHECK(hash("") == "cbf29ce484222325");
  CHECK(hash("a") == "af63dc4c8601ec8c");
  CHECK(hash("foobar") == "85944171f73967e8");
}

TEST_CASE("fingerprints stay as they are: people have files of States") {
  CHECK(fingerprint(open_checkpoint(fixture("v4.safetensors"))) == "34e7dcc406768e74");
}

TEST_CASE("a model has the same fingerprint in every format, order and precision") {
  RWKV_NEEDS_SHARED();
  for (const std::string name :
       {"v4/v4-bf16", "v5.2/v5.2-fp32", "v6.0-h32-state/v6.0-h32-state-fp32", "v7.0/v7.0-fp16"}) {
    CAPTURE(name);
    const Checkpoint pth = open_checkpoint(shared_file("testdata/models/" + name + ".pth"));
    const TemporaryFile file(".safetensors");
    write_safetensors(pth, file.path());
    CHECK(fingerprint(open_checkpoint(file.path())) == fingerprint(pth));
    Checkpoint other("backward, with a counter");
    for (auto entry = pth.entries().rbegin(); entry != pth.entries().rend(); ++entry) {
      other.add(entry->name, entry->tensor);
    }
    other.add("step", make_tensor({1}, std::vector<float>{3}));
    CHECK(fingerprint(other) == fingerprint(pth));
    CHECK(fingerprint<double>(pth) == fingerprint<float>(pth));
  }
}

TEST_CASE("a file of rwkv.cpp has the fingerprint of the model that it was made from") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v4", "v5_2", "v6", "v7"}) {
    CAPTURE(name);
    CHECK(fingerprint(open_checkpoint(shared_file("spec/golden/formats/" + name + "_F32.bin"))) ==
          fingerprint(open_checkpoint(shared_file("spec/golden/models/" + name + ".safetensors"))));
  }
}

TEST_CASE("every byte of small tensors counts, and the type of matrices") {
  const Checkpoint model = synthetic(small, DType::f32, 1);
  std::set<std::string> all{fingerprint(model)};
  std::size_t n_changed = 0;
  for (const Checkpoint::Entry& entry : model.entries()) {
    CAPTURE(entry.name);
    const bool counts = !entry.name.ends_with(".time_decay") && !entry.name.ends_with(".time_first");
    for (const Index position : {Index{0}, entry.tensor.n_bytes() / 3, entry.tensor.n_bytes() - 4}) {
      CHECK(all.insert(fingerprint(with_flipped_byte(model, entry.name, position))).second == counts);
      ++n_changed;
    }
  }
  CHECK(n_changed == 3 * model.entries().size());
  CHECK(all.insert(fingerprint(synthetic(small, DType::f32, 2))).second);
  CHECK(all.insert(fingerprint(synthetic(small, DType::bf16, 1))).second);
}

TEST_CASE("of a large tensor 32 pieces count, the first and the last bytes among them") {
  constexpr Config large{Generation::v4, 1, 16, 16, 64, 0, 0, 1025};  // emb.weight and head.weight: 65600 bytes
  const Checkpoint model = synthetic(large, DType::f32, 1);
  const std::string before = fingerprint(model);
  constexpr Index n = 65600, step = (n - 128) / 31;
  for (const Index seen : {Index{0}, Index{127}, step, 30 * step + 127, n - 128, n - 1}) {
    CHECK(fingerprint(with_flipped_byte(model, "head.weight", seen)) != before);
  }
  for (const Index unseen : {Index{128}, step - 1, step + 128, n - 129}) {
    CHECK(fingerprint(with_flipped_byte(model, "head.weight", unseen)) == before);
  }
}

TEST_CASE("the type of vectors does not count: converters widen them") {
  const Checkpoint model = synthetic(small, DType::bf16, 1);
  const auto stored_as = [&model]<class Stored>(DType dtype, Stored) {
    return model.transformed([dtype](Checkpoint::Entry entry) {
      if (entry.tensor.dtype != DType::f32) return entry;
      std::vector<Stored> values;
      for (const float value : read_all<float>(entry.tensor)) {
        values.push_back(dtype == DType::bf16 ? static_cast<Stored>(f32_to_bf16(value))
                                              : static_cast<Stored>(bf16_to_f32(f32_to_bf16(value))));
      }
      entry.tensor = make_tensor(dtype, entry.tensor.shape, std::span<const Stored>(values));
      return entry;
    });
  };
  const std::string narrow = fingerprint(stored_as(DType::bf16, std::uint16_t{}));
  CHECK(fingerprint(stored_as(DType::f32, 0.0f)) == narrow);
  CHECK(fingerprint(stored_as(DType::f64, 0.0)) == narrow);
}

TEST_CASE("what the caller chooses: the variant counts, the epsilon does not") {
  const Config v6b{Generation::v6b, 1, 16, 16, 32, 2, 8, 20, {.mix = 4, .decay = 4}};
  const Checkpoint checkpoint = synthetic(v6b, DType::f32, 1);
  const auto layout = [&](Generation generation, double eps) {
    Config config = detect(checkpoint);
    config.generation = generation;
    config.group_norm_eps = eps;
    return Model(checkpoint, config).new_state().layout();
  };
  const StateLayout usual = layout(Generation::v6b, 64e-5);
  CHECK(layout(Generation::v6c, 64e-5).fingerprint() != usual.fingerprint());
  CHECK(layout(Generation::v6b, 1e-5) == usual);
}

TEST_CASE("a converted file keeps the fingerprint of its original in the metadata") {
  Checkpoint converted = synthetic(small, DType::bf16, 1);
  converted.metadata()["rwkv.fingerprint"] = "0123456789abcdef";
  CHECK(fingerprint(converted) == "0123456789abcdef");
  for (const std::string bad : {"", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef0", "0123456789abcde\n"}) {
    CAPTURE(bad);
    converted.metadata()["rwkv.fingerprint"] = bad;
    CHECK_THROWS_WITH_AS(static_cast<void>(fingerprint(converted)),
                         doctest::Contains("metadata 'rwkv.fingerprint': expected 16 hexadecimal digits, found '"),
                         ModelError);
  }
}

TEST_SUITE_END();
