// SPDX-License-Identifier: MIT
#include "rwkv/arch/wkv7.hpp"

#include "support/golden.hpp"
#include "support/support.hpp"
#include "support/wkv_forms.hpp"

using namespace rwkv;
using rwkv_test::check_against_reference;
using rwkv_test::check_chunk_lengths;
using rwkv_test::check_cuts;
using rwkv_test::check_threads;
using rwkv_test::for_each_form;
using rwkv_test::Golden;
using rwkv_test::max_abs_difference;
using rwkv_test::random_values;

namespace {

/// Inputs, state and outputs of one run of the operator.
template <class Scalar>
struct Run {
  Index n_tokens = 0;
  Index n_head = 0;
  Index head_size = 0;
  std::vector<Scalar> r, w, k, v, kk, a, y, state;

  Wkv7Call<Scalar> call() {
    y.assign(r.size(), std::numeric_limits<Scalar>::quiet_NaN());  // whatever is not written shows
    return {n_tokens, n_head,    head_size, r.data(), w.data(),    k.data(),
            v.data(), kk.data(), a.data(),  y.data(), state.data()};
  }
};

const double strongest_decay = std::exp(-0.60653);

/// Removal keys of unit length, but every seventh zero.
template <class Scalar>
void normalize_heads(std::vector<Scalar>& kk, Index head_size) {
  const auto n = static_cast<std::size_t>(head_size);
  for (std::size_t head = 0; head * n < kk.size(); ++head) {
    double sum = 0;
    for (std::size_t c = 0; c < n; ++c)
      sum += static_cast<double>(kk[head * n + c]) * static_cast<double>(kk[head * n + c]);
    const double scale = head % 7 == 3 ? 0 : 1 / std::sqrt(sum);
    for (std::size_t c = 0; c < n; ++c) kk[head * n + c] = static_cast<Scalar>(kk[head * n + c] * scale);
  }
}

template <class Scalar>
Run<Scalar> random_run(Index n_tokens, Index n_head, Index head_size) {
  const Index n = n_head * head_size;
  Run<Scalar> run{n_tokens,
                  n_head,
                  head_size,
                  random_values<Scalar>(n_tokens * n, 1),
                  random_values<Scalar>(n_tokens * n, 2, 3.0),
                  random_values<Scalar>(n_tokens * n, 3),
                  random_values<Scalar>(n_tokens * n, 4),
                  random_values<Scalar>(n_tokens * n, 5),
                  random_values<Scalar>(n_tokens * n, 6, 3.0),
                  {},
                  random_values<Scalar>(n * head_size, 7)};
  const auto sigmoid = [](Scalar x) { return 1 / (1 + std::exp(-static_cast<double>(x))); };
  for (Scalar& w : run.w) w = static_cast<Scalar>(std::exp(-0.60653 * sigmoid(w)));
  for (Scalar& a : run.a) a = static_cast<Scalar>(sigmoid(a));
  normalize_heads(run.kk, head_size);
  return run;
}

/// The goldens have a = -kk and b = kk a of the original kernel.
template <class Scalar>
Run<Scalar> golden_run(const Golden& golden) {
  Run<Scalar> run;
  const Shape& shape = golden.checkpoint().at("r").shape;
  run.n_tokens = shape[0];
  run.n_head = shape[1];
  run.head_size = shape[2];
  run.r = golden.values<Scalar>("r");
  run.w = golden.values<Scalar>("decay");
  run.k = golden.values<Scalar>("k");
  run.v = golden.values<Scalar>("v");
  const auto a = golden.values("a"), b = golden.values("b");
  for (std::size_t i = 0; i < a.size(); ++i) {
    run.kk.push_back(static_cast<Scalar>(-a[i]));
    run.a.push_back(static_cast<Scalar>(a[i] == 0 ? 0 : b[i] / -a[i]));
  }
  run.state = golden.values<Scalar>("state0");
  return run;
}

/// Outputs and state by the equation, as it is written.
struct Expected {
  std::vector<double> y, state;
};

template <class Scalar>
Expected reference(const Run<Scalar>& run) {
  const auto n_tokens = static_cast<std::size_t>(run.n_tokens), n_head = static_cast<std::size_t>(run.n_head);
  const auto n = static_cast<std::size_t>(run.head_size);
  Expected result{std::vector<double>(run.r.size()), {run.state.begin(), run.state.end()}};
  for (std::size_t t = 0; t < n_tokens; ++t) {
    for (std::size_t h = 0; h < n_head; ++h) {
      const std::size_t at = (t * n_head + h) * n;
      for (std::size_t j = 0; j < n; ++j) {
        double* const s = result.state.data() + (h * n + j) * n;
        const auto of = [](const std::vector<Scalar>& values, std::size_t i) { return static_cast<double>(values[i]); };
        double removed = 0;
        for (std::size_t c = 0; c < n; ++c) removed += s[c] * of(run.kk, at + c);
        for (std::size_t c = 0; c < n; ++c) {
          s[c] = s[c] * of(run.w, at + c) - removed * of(run.kk, at + c) * of(run.a, at + c) +
                 of(run.v, at + j) * of(run.k, at + c);
          result.y[at + j] += s[c] * of(run.r, at + c);
        }
      }
    }
  }
  return result;
}

struct Wkv7 {
  template <class Scalar>
  using Call = Wkv7Call<Scalar>;
  template <class Scalar>
  static void sequence(std::span<const Call<Scalar>> calls, Workspace& workspace) {
    wkv7_sequence(calls, workspace);
  }
  template <class Scalar>
  static void chunked(std::span<const Call<Scalar>> calls, Index chunk_length, Workspace& workspace) {
    wkv7_chunked(calls, chunk_length, workspace);
  }
  template <class Scalar>
  static void chosen(std::span<const Call<Scalar>> calls, Workspace& workspace) {
    wkv7(calls, workspace);
  }
};

/// The largest |value - expected| in units of what rounding may do to it. A step rounds every value a few times, each
/// time by half a unit of the largest, and its matrix makes no vector longer than about itself: T steps add up T such
/// errors at most. An output is a sum over N keys besides, whose roundings add up as the square root of N.
template <class Scalar>
double error_in_bounds(const Run<Scalar>& run, const Expected& expected) {
  const auto largest = [](const std::vector<double>& values) {
    double result = 1;
    for (const double value : values) result = std::max(result, std::abs(value));
    return result;
  };
  const double n_roundings = 8 + static_cast<double>(run.n_tokens) + std::sqrt(static_cast<double>(run.head_size));
  const double unit = n_roundings * std::numeric_limits<Scalar>::epsilon() / 2;
  return std::max(max_abs_difference(run.y, expected.y) / (unit * largest(expected.y)),
                  max_abs_difference(run.state, expected.state) / (unit * largest(expected.state)));
}

template <class Scalar>
void check_golden(const std::string& name, double output_bound, double state_bound) {
  const Golden golden("testdata/ops/" + name + ".safetensors");
  CAPTURE(name);
  for_each_form<Wkv7, Scalar>(2, [&](const auto& form, Workspace& workspace) {
    auto run = golden_run<Scalar>(golden);
    apply(form, run, workspace);
    CHECK(max_abs_difference(run.y, golden.values("y")) <= output_bound);
    CHECK(max_abs_difference(run.state, golden.values("state")) <= state_bound);
  });
}

}  // namespace

TEST_SUITE_BEGIN("arch/wkv7");

TEST_CASE("float: every form on every instruction set gives the operator goldens") {
  RWKV_NEEDS_SHARED();
  // Twice what the original kernel loses when it is compiled for float (maxdiff_same_kernel_float32 of
  // ops/manifest.json): the forms add up in other orders.
  check_golden<float>("wkv7", 2 * 3.41e-5, 2 * 1.65e-6);
  check_golden<float>("wkv7-state", 2 * 1.92e-5, 2 * 2.15e-6);
}

TEST_CASE("double: every form gives the operator goldens to 1e-12") {
  RWKV_NEEDS_SHARED();
  // The bounds for float are about 1e-4; a unit of double is 2e-9 of one of float.
  for (const char* name : {"wkv7", "wkv7-state"}) check_golden<double>(name, 1e-12, 1e-12);
}

TEST_CASE("every form is the equation within its roundings, for every shape") {
  for (const Index head_size : {1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 70}) {
    for (const Index n_tokens : {0, 1, 2, 3, 7, 16, 17, 33}) {
      check_against_reference<Wkv7>(random_run<float>(n_tokens, 2, head_size));
      check_against_reference<Wkv7>(random_run<double>(n_tokens, 2, head_size));
    }
  }
  check_against_reference<Wkv7>(random_run<float>(130, 2, 64));
}

TEST_CASE("the strongest decay and no decay, with keys removed in full and not at all") {
  for (const double decay : {strongest_decay, 1 - 1e-7, 1.0}) {
    for (const float rate : {0.0f, 1.0f}) {
      auto run = random_run<float>(130, 2, 64);
      std::fill(run.w.begin(), run.w.end(), static_cast<float>(decay));
      std::fill(run.a.begin(), run.a.end(), rate);
      check_against_reference<Wkv7>(run);
      std::fill(run.kk.begin(), run.kk.end(), 0.0f);
      check_against_reference<Wkv7>(run);
    }
  }
}

TEST_CASE("every chunk length gives the same") { check_chunk_lengths<Wkv7>(random_run<float>(40, 1, 64)); }

TEST_CASE("the output may replace the values") {
  for_each_form<Wkv7, float>(1, [&](const auto& form, Workspace& workspace) {
    for (const Index head_size : {10, 64}) {
      auto run = random_run<float>(40, 2, head_size), in_place = run;
      apply(form, run, workspace);
      auto call = in_place.call();
      call.y = in_place.v.data();
      form.run(std::span<const Wkv7Call<float>>(&call, 1), workspace);
      CHECK(in_place.v == run.y);
      CHECK(in_place.state == run.state);
    }
  });
}

TEST_CASE("the same bits for any number of threads, and for calls together or one by one") {
  // Of decoding and of prompts, one of them empty.
  check_threads<Wkv7, Run>({random_run<float>(1, 3, 64), random_run<float>(100, 2, 64), random_run<float>(0, 5, 64),
                            random_run<float>(9, 7, 10), random_run<float>(40, 3, 48)});
}

TEST_CASE("a sequence may be cut into calls anywhere: the recurrence keeps every bit, chunks their precision") {
  check_cuts<Wkv7>(random_run<float>(40, 2, 64));
}

TEST_CASE("no calls are no work, and chunks have a length of 1 to 64") {
  Workspace workspace({2});
  wkv7<float>({}, workspace);
  auto run = random_run<float>(3, 1, 8);
  const auto call = run.call();
  for (const Index chunk_length : {0, 65}) {
    CHECK_THROWS_WITH_AS(wkv7_chunked<float>(std::span(&call, 1), chunk_length, workspace),
                         doctest::Contains("expected 1 to 64"), ArgumentError);
  }
}

TEST_SUITE_END();
