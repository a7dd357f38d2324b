// SPDX-License-Identifier: MIT
#include "rwkv/io/rwkvcpp_write.hpp"

#include "io/files.hpp"
#include "rwkv/io/open.hpp"

using namespace rwkv;
using namespace rwkv_test;

namespace {

Checkpoint golden(const std::string& name) { return open_checkpoint(shared_file("spec/golden/models/" + name)); }

Checkpoint written(const Checkpoint& official) {
  const TemporaryFile file(".bin");
  write_rwkvcpp(planned(official), file.path());
  return read_rwkvcpp(map(file.path()));
}

void check_refused(const Checkpoint& official, const char* phrase) {
  const TemporaryFile file(".bin");
  CHECK_THROWS_WITH_AS(write_rwkvcpp(planned(official), file.path()), doctest::Contains(phrase), UnsupportedError);
  CHECK(!std::filesystem::exists(file.path()));
}

/// The checkpoint with one more tensor.
Checkpoint with(Checkpoint checkpoint, const std::string& name, const TensorView& tensor) {
  checkpoint.add(name, tensor);
  return checkpoint;
}

}  // namespace

TEST_SUITE_BEGIN("io/rwkvcpp_write");

TEST_CASE("the bytes are those of the converter of rwkv.cpp") {
  RWKV_NEEDS_SHARED();
  for (const std::string model : {"v6", "v7"}) {
    CAPTURE(model);
    const TemporaryFile file(".bin");
    write_rwkvcpp(planned(golden(model + ".safetensors")), file.path());
    CHECK(read_file(file.path()) == read_file(shared_file("spec/golden/formats/" + model + "_F32.bin")));
  }
}

TEST_CASE("what is written is written again as the same bytes") {
  RWKV_NEEDS_SHARED();
  for (const std::string name :
       {"spec/golden/formats/v7_Q8_0.bin", "spec/golden/formats/v7_Q4_0.bin", "spec/golden/formats/v6_F16.bin",
        "spec/golden/formats/v5_2_F32.bin", "spec/golden/formats/v4_F32.bin", "spec/golden/formats/v4_F16.bin",
        "testdata/rwkv.cpp-tiny/tiny-rwkv-4v0-660K-FP32.bin", "testdata/rwkv.cpp-tiny/tiny-rwkv-5v2-730K-Q5_1.bin",
        "testdata/rwkv.cpp-tiny/tiny-rwkv-7v0-834K-Q5_0.bin", "testdata/rwkv.cpp-synthetic/v5.0-FP16.bin",
        "testdata/rwkv.cpp-synthetic/v6.0-FP16.bin"}) {
    CAPTURE(name);
    const std::string path = shared_file(name);
    const Checkpoint original = read_rwkvcpp(map(path));
    const TemporaryFile once(".bin"), twice(".bin");
    write_rwkvcpp(planned(original), once.path());
    write_rwkvcpp(planned(read_rwkvcpp(map(once.path()))), twice.path());
    CHECK(read_file(twice.path()) == read_file(once.path()));
    // Logarithms and exponentials of double precision give the same float again, so the reader sees no difference.
    check_same(read_rwkvcpp(map(once.path())), original);
  }
}

TEST_CASE("official models come back: all numbers, but for the rounding of decays and bonuses of RWKV-4 and 5") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v4/v4", "v5.0/v5.0", "v5.0-faaaa/v5.0-faaaa", "v5.1/v5.1", "v5.2/v5.2", "v6.0/v6.0",
                                 "v7.0/v7.0", "v7.0-h32/v7.0-h32"}) {
    CAPTURE(name);
    const Checkpoint official = open_checkpoint(shared_file("testdata/models/" + name + "-fp32.pth"));
    const Checkpoint found = written(official);
    CHECK(found.entries().size() == official.entries().size());
    for (const auto& entry : official.entries()) {
      CAPTURE(entry.name);
      const std::string_view part = detail::time_mixing_part(entry.name);
      const bool is_exponential = (part == "time_decay" || part == "time_first") &&
                                  !found.contains("blocks.0.att.r_k") && found.at(entry.name).dtype == DType::f64;
      const auto expected = read_all<double>(entry.tensor), values = read_all<double>(found.at(entry.name));
      // exp(-exp(x)) has few digits left where it is near 1. Of these models none is nearer than
      // 1 - 1e-4: half of a float's last digit there, 3e-8, is 3e-4 of what is left of 1.
      CHECK(max_abs_difference(values, expected) <= (is_exponential ? 1e-3 : 0.0));
    }
  }
}

TEST_CASE("types: bf16 vectors and low-rank matrices are widened, bf16 matrices have no place") {
  RWKV_NEEDS_SHARED();
  const Checkpoint bf16 = open_checkpoint(shared_file("testdata/models/v7.0/v7.0-bf16.pth"));
  check_refused(bf16, "rwkv.cpp has no type bf16. f32 holds the same numbers");
  const auto is_matrix = [](const Checkpoint::Entry& entry) {
    return entry.name.ends_with(".weight") && entry.tensor.shape.rank() == 2;
  };
  const Checkpoint found = written(bf16.transformed([&](Checkpoint::Entry entry) {
    if (is_matrix(entry)) entry.tensor = make_tensor(entry.tensor.shape, read_all<float>(entry.tensor).span());
    return entry;
  }));
  for (const auto& entry : bf16.entries()) {
    CAPTURE(entry.name);
    CHECK(found.at(entry.name).dtype == DType::f32);
    CHECK(max_abs_difference(read_all<float>(found.at(entry.name)), read_all<float>(entry.tensor)) == 0);
  }
}

TEST_CASE("models and tensors that rwkv.cpp does not know are refused before anything is written") {
  RWKV_NEEDS_SHARED();
  for (const std::string name : {"v1", "v2", "v3"}) {
    CAPTURE(name);
    check_refused(open_checkpoint(shared_file("testdata/models/" + name + "/" + name + "-fp32.pth")),
                  "expected RWKV-4 to 7, found another model");
  }
  check_refused(open_checkpoint(shared_file("testdata/models/v6.0-h32-state/v6.0-h32-state-fp32.pth")),
                "time_state': rwkv.cpp has no place for it");
  const Checkpoint v7 = golden("v7.safetensors");
  const TensorView one = make_tensor({1}, std::vector<float>{1});
  for (const std::string& name : {std::string("blocks.0.att.w3"), std::string("blocks.0"), std::string("blocks."),
                                  std::string("emb.bias"), std::string("a\nb"), std::string(900, 'x')}) {
    check_refused(with(v7, name, one), "rwkv.cpp has no place for it");
  }
  check_refused(v7.transformed([](Checkpoint::Entry entry) {
    if (entry.name == "blocks.1.att.x_v") entry.name = "blocks.9.ln1.weight";
    return entry;
  }),
                "'blocks.1.att.x_v': rwkv.cpp wants it");
}

TEST_SUITE_END();
