// SPDX-License-Identifier: MIT
#include "rwkv/arch/wkv5.hpp"

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
  bool one_decay = false;  ///< RWKV-5: w is one row for all tokens
  std::vector<Scalar> r, k, v, w, u, y, state;

  Wkv5Call<Scalar> call() {
    y.assign(r.size(), std::numeric_limits<Scalar>::quiet_NaN());  // whatever is not written shows
    const Index w_stride = one_decay ? 0 : n_head * head_size;
    return {n_tokens, n_head,   head_size, r.data(), k.data(),    v.data(),
            w.data(), w_stride, u.data(),  y.data(), state.data()};
  }
};

/// Decays as models have them, from almost 0 to almost 1, and a fifth of them at the ends: 0, 1e-30, 1 - 1e-7, 1.
template <class Scalar>
void set_decays(std::vector<Scalar>& decays) {
  constexpr double ends[] = {0, 1e-30, 1 - 1e-7, 1};
  Random random(5);
  for (Scalar& w : decays) {
    const double drawn = std::exp(-std::exp(2 * random.normal() - 1)), chance = 20 * random.uniform();
    w = static_cast<Scalar>(chance < 4 ? ends[static_cast<int>(chance)] : drawn);
  }
}

template <class Scalar>
Run<Scalar> random_run(Index n_tokens, Index n_head, Index head_size, bool one_decay = false) {
  const Index n = n_head * head_size;
  Run<Scalar> run{n_tokens,
                  n_head,
                  head_size,
                  one_decay,
                  random_values<Scalar>(n_tokens * n, 1),
                  random_values<Scalar>(n_tokens * n, 2),
                  random_values<Scalar>(n_tokens * n, 3),
                  std::vector<Scalar>(static_cast<std::size_t>(one_decay ? n : n_tokens * n)),
                  random_values<Scalar>(n, 4),
                  {},
                  random_values<Scalar>(n * head_size, 6)};
  set_decays(run.w);
  return run;
}

/// The state of the goldens is [value, key].
template <class Scalar>
std::vector<Scalar> transposed_heads(const std::vector<Scalar>& state, Index head_size) {
  std::vector<Scalar> result(state.size());
  const auto n = static_cast<std::size_t>(head_size);
  for (std::size_t i = 0; i < state.size(); ++i) result[i / n / n * n * n + i % n * n + i / n % n] = state[i];
  return result;
}

template <class Scalar>
Run<Scalar> golden_run(const Golden& golden) {
  Run<Scalar> run;
  const Shape& shape = golden.checkpoint().at("r").shape;
  run.n_tokens = shape[0];
  run.n_head = shape[1];
  run.head_size = shape[2];
  run.r = golden.values<Scalar>("r");
  run.k = golden.values<Scalar>("k");
  run.v = golden.values<Scalar>("v");
  run.w = golden.values<Scalar>("decay");
  run.u = golden.values<Scalar>("u");
  run.one_decay = run.w.size() != run.r.size();
  run.state = transposed_heads(golden.values<Scalar>("state0"), run.head_size);
  return run;
}

/// Outputs and state by the equation, as it is written, and for each of them the sum of the magnitudes of its terms,
/// which is what rounding errors are measured by.
struct Expected {
  struct Term {
    double value, magnitude;
  };
  std::vector<Term> y, state;
};

template <class Scalar>
Expected reference(const Run<Scalar>& run) {
  const auto n_tokens = static_cast<std::size_t>(run.n_tokens), n_head = static_cast<std::size_t>(run.n_head);
  const auto n = static_cast<std::size_t>(run.head_size);
  const auto term = [](Scalar x) { return Expected::Term{static_cast<double>(x), std::abs(static_cast<double>(x))}; };
  const auto times = [](Expected::Term a, Expected::Term b) {
    return Expected::Term{a.value * b.value, a.magnitude * b.magnitude};
  };
  const auto plus = [](Expected::Term a, Expected::Term b) {
    return Expected::Term{a.value + b.value, a.magnitude + b.magnitude};
  };
  Expected result{std::vector<Expected::Term>(run.r.size()), {}};
  for (const Scalar x : run.state) result.state.push_back(term(x));
  for (std::size_t t = 0; t < n_tokens; ++t) {
    for (std::size_t h = 0; h < n_head; ++h) {
      const std::size_t at = (t * n_head + h) * n;
      for (std::size_t c = 0; c < n; ++c) {
        const auto w = term(run.w[(run.one_decay ? h * n : at) + c]), u = term(run.u[h * n + c]);
        for (std::size_t j = 0; j < n; ++j) {
          Expected::Term& s = result.state[(h * n + c) * n + j];
          const auto kv = times(term(run.k[at + c]), term(run.v[at + j]));
          result.y[at + j] = plus(result.y[at + j], times(term(run.r[at + c]), plus(s, times(u, kv))));
          s = plus(times(w, s), kv);
        }
      }
    }
  }
  return result;
}

struct Wkv5 {
  template <class Scalar>
  using Call = Wkv5Call<Scalar>;
  template <class Scalar>
  static void sequence(std::span<const Call<Scalar>> calls, Workspace& workspace) {
    wkv5_sequence(calls, workspace);
  }
  template <class Scalar>
  static void chunked(std::span<const Call<Scalar>> calls, Index chunk_length, Workspace& workspace) {
    wkv5_chunked(calls, chunk_length, workspace);
  }
  template <class Scalar>
  static void chosen(std::span<const Call<Scalar>> calls, Workspace& workspace) {
    wkv5(calls, workspace);
  }
};

/// The largest |value - expected| in units of what rounding may do to it: each term of a sum over N keys and T tokens
/// passes at most N + T additions, T decays, and in the chunked forms T more products of decays, each of which rounds
/// by half a unit of the term. Products of decays below the smallest number are 0, as they should.
template <class Scalar>
double error_in_bounds(const Run<Scalar>& run, const Expected& expected) {
  const double n_roundings = static_cast<double>(run.head_size + 3 * run.n_tokens + 8);
  const double relative = n_roundings * std::numeric_limits<Scalar>::epsilon() / 2;
  const auto largest = [relative](const std::vector<Scalar>& values, const std::vector<Expected::Term>& terms) {
    if (values.size() != terms.size()) return std::numeric_limits<double>::infinity();
    double result = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double error = std::abs(static_cast<double>(values[i]) - terms[i].value);
      result = std::max(result, std::isnan(error) ? 1e300 : error / (relative * terms[i].magnitude + 1e-30));
    }
    return result;
  };
  return std::max(largest(run.y, expected.y), largest(run.state, expected.state));
}

template <class Scalar>
void check_golden(const std::string& name, double output_bound, double state_bound) {
  const Golden golden("testdata/ops/" + name + ".safetensors");
  CAPTURE(name);
  for_each_form<Wkv5, Scalar>(2, [&](const auto& form, Workspace& workspace) {
    auto run = golden_run<Scalar>(golden);
    apply(form, run, workspace);
    CHECK(max_abs_difference(run.y, golden.values("y")) <= output_bound);
    CHECK(max_abs_difference(transposed_heads(run.state, run.head_size), golden.values("state")) <= state_bound);
  });
}

}  // namespace

TEST_SUITE_BEGIN("arch/wkv5");

TEST_CASE("float: every form on every instruction set gives the operator goldens") {
  RWKV_NEEDS_SHARED();
  // Three times what the original kernel loses when it is compiled for float (maxdiff_same_kernel_float32 of
  // ops/manifest.json): the forms add up in other orders, and a product of the constant
  // decays of RWKV-5 rounds alike in every chunk.
  check_golden<float>("wkv5", 3 * 1.06e-4, 3 * 2.95e-5);
  check_golden<float>("wkv5-state", 3 * 3.00e-5, 3 * 4.11e-6);
  check_golden<float>("wkv6", 3 * 2.07e-5, 3 * 1.75e-6);
  check_golden<float>("wkv6-state", 3 * 1.76e-5, 3 * 1.29e-6);
}

TEST_CASE("double: every form gives the operator goldens to 1e-12") {
  RWKV_NEEDS_SHARED();
  // The bounds for float are about 1e-4; a unit of double is 2e-9 of one of float.
  for (const char* name : {"wkv5", "wkv5-state", "wkv6", "wkv6-state"}) check_golden<double>(name, 1e-12, 1e-12);
}

TEST_CASE("every form is the equation within its roundings, for every shape, with decays of 0 to 1") {
  for (const Index head_size : {1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 70}) {
    for (const Index n_tokens : {0, 1, 2, 3, 7, 16, 17, 33}) {
      check_against_reference<Wkv5>(random_run<float>(n_tokens, 2, head_size));
      check_against_reference<Wkv5>(random_run<double>(n_tokens, 2, head_size));
    }
    check_against_reference<Wkv5>(random_run<float>(20, 2, head_size, true));
    check_against_reference<Wkv5>(random_run<double>(20, 2, head_size, true));
  }
  check_against_reference<Wkv5>(random_run<float>(130, 2, 64));
}

TEST_CASE("every chunk length gives the same") { check_chunk_lengths<Wkv5>(random_run<float>(40, 1, 64)); }

TEST_CASE("a decay of 0 forgets exactly, a decay of 1 keeps exactly") {
  for_each_form<Wkv5, float>(1, [&](const auto& form, Workspace& workspace) {
    auto run = random_run<float>(20, 1, 64);
    std::fill(run.w.begin(), run.w.end(), 0.0f);
    apply(form, run, workspace);
    for (std::size_t c = 0; c < 64; ++c) {
      for (std::size_t j = 0; j < 64; ++j) CHECK(run.state[c * 64 + j] == run.k[19 * 64 + c] * run.v[19 * 64 + j]);
    }
    auto still = random_run<float>(20, 1, 64);
    std::fill(still.w.begin(), still.w.end(), 1.0f);
    std::fill(still.k.begin(), still.k.end(), 0.0f);
    const auto before = still.state;
    apply(form, still, workspace);
    CHECK(still.state == before);
  });
}

TEST_CASE("the same bits for any number of threads, and for calls together or one by one") {
  // Of decoding and of prompts, one of them empty.
  check_threads<Wkv5, Run>({random_run<float>(1, 3, 64), random_run<float>(100, 2, 64), random_run<float>(0, 5, 64),
                            random_run<float>(9, 7, 10), random_run<float>(40, 3, 48)});
}

TEST_CASE("a sequence may be cut into calls anywhere: the recurrence keeps every bit, chunks their precision") {
  check_cuts<Wkv5>(random_run<float>(40, 2, 64));
}

TEST_CASE("no calls are no work, and chunks have a length") {
  Workspace workspace({2});
  wkv5<float>({}, workspace);
  auto run = random_run<float>(3, 1, 8);
  const auto call = run.call();
  CHECK_THROWS_WITH_AS(wkv5_chunked<float>(std::span(&call, 1), 0, workspace), doctest::Contains("found 0"),
                       ArgumentError);
}

TEST_SUITE_END();
