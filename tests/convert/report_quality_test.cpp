// SPDX-License-Identifier: MIT
#include "rwkv/convert/report_quality.hpp"

#include <algorithm>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/open.hpp"
#include "rwkv/io/write.hpp"
#include "rwkv/quant/cast.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::TemporaryFile;

namespace {

Checkpoint small_model() {
  return synthetic({Generation::v7, 2, 64, 64, 128, 2, 32, 96, {0, 32, 32, 32, 32}}, DType::f32, 5);
}

Checkpoint with_type(const Checkpoint& checkpoint, const std::string& name, DType dtype) {
  ThreadPool threads(1);
  return checkpoint.transformed([&](Checkpoint::Entry entry) {
    if (entry.name == name) entry.tensor = cast(entry.tensor, dtype, threads);
    return entry;
  });
}

const std::vector<Token> text{1, 5, 7, 95, 2, 8, 8, 3, 40, 41, 42};

}  // namespace

TEST_SUITE_BEGIN("convert/report_quality");

TEST_CASE("a copy in the same types is the same") {
  const Checkpoint source = small_model();
  const QualityReport report = report_quality(source, source, text, {});
  CHECK(report.text.n == 10);
  CHECK(report.text.mean_kl == 0);
  CHECK(report.text.top1_agreement == 1);
  CHECK(report.text.perplexity_ratio == 1);
  CHECK(report.source_bytes == report.copy_bytes);
  CHECK(report.bits_per_weight == 32);
  CHECK(report.tensors.empty());
}

TEST_CASE("tensors of other types, the worst first, and their sizes") {
  const Checkpoint source = small_model();
  const Checkpoint copy =
      with_type(with_type(source, "head.weight", DType::q8_0), "blocks.1.ffn.key.weight", DType::q4_0);
  const QualityReport report = report_quality(source, copy, text, {});
  REQUIRE(report.tensors.size() == 2);
  CHECK(report.tensors[0].name == "blocks.1.ffn.key.weight");
  CHECK(report.tensors[0].dtype == DType::q4_0);
  CHECK(report.tensors[1].name == "head.weight");
  CHECK(report.tensors[0].error > 10 * report.tensors[1].error);  // 4 bits fewer: 16 times the step
  CHECK(report.text.mean_kl > 0);
  CHECK(report.source_bytes - report.copy_bytes == 96 * 64 * 4 - 96 * 64 * 34 / 32 + 128 * 64 * 4 - 128 * 64 * 18 / 32);
}

TEST_CASE("a copy from a file that drops axes of length 1") {
  const Checkpoint source = small_model();
  const TemporaryFile file(".gguf");
  write_checkpoint(planned(source), FileFormat::gguf, file.path());
  const Checkpoint copy = open_checkpoint(file.path());
  const auto has_other_shape = [&](const auto& entry) { return copy.at(entry.name).shape != entry.tensor.shape; };
  REQUIRE(std::ranges::any_of(source.entries(), has_other_shape));
  const QualityReport report = report_quality(source, copy, text, {});
  CHECK(report.text.mean_kl < 1e-9);  // of f32, but the converter folds a scale
  CHECK(report.tensors.empty());
}

TEST_CASE("another model is refused") {
  const Checkpoint source = small_model();
  const Checkpoint other = synthetic({Generation::v7, 2, 64, 64, 128, 2, 32, 97, {0, 32, 32, 32, 32}}, DType::f32, 5);
  CHECK_THROWS_WITH_AS((void)report_quality(source, other, text, {}), doctest::Contains("expected shape [96, 64]"),
                       ModelError);
}

TEST_SUITE_END();
