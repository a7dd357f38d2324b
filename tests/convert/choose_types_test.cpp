// SPDX-License-Identifier: MIT
#include "rwkv/convert/choose_types.hpp"

#include <numeric>

#include "rwkv/arch/synthetic.hpp"
#include "rwkv/convert/report_quality.hpp"
#include "rwkv/core/random.hpp"
#include "rwkv/quant/cast.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::random_values;

namespace {

constexpr DType all_types[] = {DType::q4_0, DType::iq4_nl, DType::q4_1, DType::q5_0,
                               DType::q5_1, DType::q6_k,   DType::q8_0};

/// An RWKV-7 whose matrices are of whole blocks of 32.
Checkpoint small_model() {
  return synthetic({Generation::v7, 2, 64, 64, 128, 2, 32, 96, {0, 32, 32, 32, 32}}, DType::f32, 5);
}

/// Its head times 8: what an error of it changes in the logits is 8 times as much.
Checkpoint model_of_loud_head() {
  return small_model().transformed([](Checkpoint::Entry entry) {
    if (entry.name != "head.weight") return entry;
    Buffer<float> values = read_all<float>(entry.tensor);
    for (float& x : values.span()) x *= 8;
    entry.tensor = make_tensor(entry.tensor.shape, std::vector<float>(values.begin(), values.end()));
    return entry;
  });
}

std::vector<Token> small_text() {
  std::vector<Token> text;
  for (Index i = 0; i < 200; ++i) text.push_back(static_cast<Token>((i * i + 3 * i) % 96));
  return text;
}

double mean_bits(const Checkpoint& checkpoint, const TensorTypes& types) {
  double bits = 0, n = 0;
  for (const auto& [name, dtype] : types) {
    const Shape& shape = checkpoint.at(name).shape;
    bits += 8 * static_cast<double>(checked_n_bytes(dtype, shape).value());
    n += static_cast<double>(shape.checked_n_elements().value());
  }
  return bits / n;
}

double divergence(const Checkpoint& checkpoint, const TensorTypes& types) {
  ThreadPool threads(1);
  const Checkpoint copy = checkpoint.transformed([&](Checkpoint::Entry entry) {
    const auto found = types.find(entry.name);
    if (found != types.end()) entry.tensor = cast(entry.tensor, found->second, threads);
    return entry;
  });
  return report_quality(checkpoint, copy, small_text(), {}, {.rounded_activations = false}).text.mean_kl;
}

}  // namespace

TEST_SUITE_BEGIN("convert/choose_types");

TEST_CASE("every matrix has a type, the mean is within the budget and close to it, and more bits diverge less") {
  const Checkpoint checkpoint = small_model();
  Workspace workspace;
  const auto text = small_text();
  double last = std::numeric_limits<double>::infinity();
  for (const double bits : {4.5, 5.0, 6.0, 8.5}) {
    CAPTURE(bits);
    const TensorTypes types = choose_types(checkpoint, bits, all_types, {}, text, workspace);
    CHECK(types.size() == 2 * 6 + 2);
    CHECK(mean_bits(checkpoint, types) <= bits);
    CHECK(mean_bits(checkpoint, types) > bits - 0.3);  // the smallest step of the largest matrix
    const double found = divergence(checkpoint, types);
    CHECK(found < last);
    last = found;
  }
}

TEST_CASE("a budget diverges less than one type of the same size for all") {
  const Checkpoint checkpoint = model_of_loud_head();
  Workspace workspace;
  const auto text = small_text();
  TensorTypes one = choose_types(checkpoint, 5.0, all_types, {}, text, workspace);
  const double budget = divergence(checkpoint, one);
  for (auto& [name, dtype] : one) dtype = DType::q4_1;
  CHECK(budget < divergence(checkpoint, one));
}

TEST_CASE("bits go to the matrix that matters") {
  const Checkpoint checkpoint = model_of_loud_head();
  Workspace workspace;
  const auto types = choose_types(checkpoint, 5.0, all_types, {}, small_text(), workspace);
  CHECK(info(types.at("head.weight")).block_bytes > info(DType::q4_0).block_bytes);
}

TEST_CASE("progress counts the readings, and the same choice comes from any number of threads") {
  const Checkpoint checkpoint = small_model();
  Workspace one({.n_threads = 1}), three({.n_threads = 3});
  Index n_read = 0;
  const auto text = small_text();
  const auto types = choose_types(checkpoint, 5.0, all_types, {}, text, one, [&](Index n) { n_read += n; });
  CHECK(n_read == 15 * 200);
  CHECK(types == choose_types(checkpoint, 5.0, all_types, {}, text, three));
}

TEST_CASE("a model that is in blocks already is refused, not left as it is") {
  ThreadPool threads(1);
  const Checkpoint blocks = small_model().transformed([&](Checkpoint::Entry entry) {
    if (entry.tensor.shape.rank() == 2) entry.tensor = cast(entry.tensor, DType::q8_0, threads);
    return entry;
  });
  Workspace workspace({1});
  const DType types[] = {DType::q4_0};
  CHECK_THROWS_WITH_AS(static_cast<void>(choose_types(blocks, 4.5, types, {}, small_text(), workspace)),
                       doctest::Contains("there is no matrix whose type could be chosen"), ArgumentError);
}

TEST_CASE("matrices that are in blocks already keep their types, which count in the mean") {
  ThreadPool threads(1);
  const auto is_in_blocks = [](const std::string& name) { return name.ends_with("att.key.weight"); };
  const Checkpoint mixed = small_model().transformed([&](Checkpoint::Entry entry) {
    if (is_in_blocks(entry.name)) entry.tensor = cast(entry.tensor, DType::q8_0, threads);
    return entry;
  });
  Workspace workspace({1});
  Index n_read = 0;
  const auto choose = [&](double bits) {
    return choose_types(mixed, bits, all_types, {}, small_text(), workspace, [&](Index n) { n_read += n; });
  };
  const TensorTypes types = choose(5.5);
  CHECK(n_read == (12 + 1) * 200);
  CHECK(types.size() == 2 * 6 + 2);
  for (const auto& [name, dtype] : types) CHECK((!is_in_blocks(name) || dtype == DType::q8_0));
  CHECK(mean_bits(mixed, types) <= 5.5);
  CHECK(mean_bits(mixed, types) > 5.2);
  // 2 of 64 x 64 at 8.5 bits, 6 of these, 4 of 64 x 128 and 2 of 64 x 96 at 4.5: a little more than 4.921 bits.
  const double least = 4.5 + 4 * 2 * 64 * 64 / (8 * 64 * 64. + 4 * 64 * 128. + 2 * 64 * 96.);
  CHECK_THROWS_WITH_AS((void)choose(4.9), doctest::Contains("expected at least 4.922, found 4.9. "), ArgumentError);
  CHECK(least > 4.921);
  CHECK(mean_bits(mixed, choose(4.922)) == doctest::Approx(least));
}

TEST_CASE("a matrix that none of the types fits keeps its own, which counts in the mean") {
  const Checkpoint checkpoint = synthetic({Generation::v4, 1, 256, 256, 288, 0, 0, 96}, DType::f16, 5);
  const DType types[] = {DType::q4_k};
  Workspace workspace({1});
  const TensorTypes found = choose_types(checkpoint, 16, types, {}, small_text(), workspace);
  CHECK(found.at("blocks.0.att.key.weight") == DType::q4_k);
  CHECK(found.at("blocks.0.ffn.value.weight") == DType::f16);  // rows of 288
  CHECK_THROWS_AS(
      (void)choose_types(checkpoint, mean_bits(checkpoint, found) - 0.01, types, {}, small_text(), workspace),
      ArgumentError);
}

TEST_CASE("what cannot be chosen") {
  const Checkpoint checkpoint = small_model();
  Workspace workspace;
  const auto text = small_text();
  CHECK_THROWS_WITH_AS((void)choose_types(checkpoint, 4.4, all_types, {}, text, workspace),
                       doctest::Contains("bits per weight: expected at least 4.500, found 4.4. "), ArgumentError);
  CHECK_THROWS_WITH_AS((void)choose_types(checkpoint, 5, {}, {}, text, workspace), doctest::Contains("found none"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS((void)choose_types(checkpoint, 5, all_types, {}, std::span(text).first(1), workspace),
                       doctest::Contains("at least 2 tokens"), ArgumentError);
}

TEST_CASE("relative errors, with importance and without") {
  const TensorView x = make_tensor({2, 2}, std::vector<float>{3, 4, 0, 0});
  const TensorView y = make_tensor({2, 2}, std::vector<float>{3, 3, 0, 0});
  CHECK(relative_error(x, y, {}) == doctest::Approx(1.0 / 5));
  CHECK(relative_error(x, y, std::vector<float>{1, 0.25f}) == doctest::Approx(std::sqrt(0.25 / 13)));
  CHECK(relative_error(y, y, {}) == 0);
  CHECK_THROWS_AS((void)relative_error(x, make_tensor({4}, std::vector<float>(4)), {}), ArgumentError);
}

TEST_SUITE_END();
