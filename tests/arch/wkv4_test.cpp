// SPDX-License-Identifier: MIT
#include "rwkv/arch/wkv4.hpp"

#include "rwkv/nn/reference.hpp"
#include "support/golden.hpp"
#include "support/support.hpp"

using namespace rwkv;
using rwkv_test::Golden;
using rwkv_test::max_abs_difference;
using rwkv_test::random_values;

namespace {

/// Inputs, state and outputs of one run of the operator.
template <class Scalar>
struct Run {
  Index n_tokens = 0;
  Index n_channels = 0;
  std::vector<Scalar> w, u, k, v, y, aa, bb, pp;

  Wkv4Call<Scalar> call() {
    y.resize(k.size());
    return {n_tokens, n_channels, w.data(), u.data(), k.data(), v.data(), y.data(), aa.data(), bb.data(), pp.data()};
  }
};

template <class Scalar>
Run<Scalar> random_run(Index n_tokens, Index n_channels, double key_scale = 2.0) {
  const auto n = static_cast<std::size_t>(n_channels);
  Run<Scalar> run{n_tokens,
                  n_channels,
                  random_values<Scalar>(n_channels, 1),
                  random_values<Scalar>(n_channels, 2),
                  random_values<Scalar>(n_tokens * n_channels, 3, key_scale),
                  random_values<Scalar>(n_tokens * n_channels, 4),
                  {},
                  std::vector<Scalar>(n),
                  std::vector<Scalar>(n),
                  std::vector<Scalar>(n, Scalar(wkv_empty_exponent))};
  for (Scalar& w : run.w) w = -std::exp(w);
  return run;
}

template <class Scalar>
Run<Scalar> golden_run(const Golden& golden) {
  Run<Scalar> run;
  run.n_tokens = golden.rows("k");
  run.n_channels = golden.rows("w");
  run.w = golden.values<Scalar>("w");
  run.u = golden.values<Scalar>("u");
  run.k = golden.values<Scalar>("k");
  run.v = golden.values<Scalar>("v");
  run.aa = golden.values<Scalar>("aa0");
  run.bb = golden.values<Scalar>("bb0");
  run.pp = golden.values<Scalar>("pp0");
  return run;
}

template <class Scalar>
using Way = void (*)(const Wkv4Call<Scalar>&, Workspace&);

template <class Scalar>
void recurrent(const Wkv4Call<Scalar>& call, Workspace& workspace) {
  wkv4_recurrent<Scalar>(std::span(&call, 1), workspace);
}
template <class Scalar>
void one_by_one(const Wkv4Call<Scalar>& call, Workspace& workspace) {
  for (Index t = 0; t < call.n_tokens; ++t) recurrent<Scalar>(tokens_of(call, t, 1), workspace);
}
template <class Scalar>
void scan_7(const Wkv4Call<Scalar>& call, Workspace& workspace) {
  wkv4_scan<Scalar>(call, 7, workspace);
}
template <class Scalar>
void scan_128(const Wkv4Call<Scalar>& call, Workspace& workspace) {
  wkv4_scan<Scalar>(call, 128, workspace);
}

/// aa e^pp and bb e^pp relative to the golden's exponent, so that another choice of pp makes no difference.
template <class Scalar>
double state_difference(const Run<Scalar>& run, const Golden& golden) {
  const auto aa = golden.values("aa"), bb = golden.values("bb"), pp = golden.values("pp");
  double largest = 0;
  for (std::size_t c = 0; c < pp.size(); ++c) {
    const double scale = std::exp(static_cast<double>(run.pp[c]) - pp[c]);
    const double size = std::max({1.0, std::abs(aa[c]), std::abs(bb[c])});
    largest = std::max(largest, std::abs(run.aa[c] * scale - aa[c]) / size);
    largest = std::max(largest, std::abs(run.bb[c] * scale - bb[c]) / size);
  }
  return largest;
}

/// Outputs: the bound of the case. State: the exponent is a running sum of up to T decays, each of which may round by
/// half a unit of it, and an error of the exponent is a relative error of the sums.
template <class Scalar>
void check_golden(const std::string& name, double output_bound) {
  const Golden golden("testdata/ops/" + name + ".safetensors");
  const Way<Scalar> ways[] = {recurrent<Scalar>, one_by_one<Scalar>, scan_7<Scalar>, scan_128<Scalar>};
  double largest_exponent = 1;
  for (const double pp : golden.values("pp")) largest_exponent = std::max(largest_exponent, std::abs(pp));
  const double half_unit = std::numeric_limits<Scalar>::epsilon() / 2;
  for (const Isa isa : all_isas) {
    if (!is_available(isa)) continue;
    Workspace workspace({2, isa});
    for (const Way<Scalar> way : ways) {
      CAPTURE(name);
      CAPTURE(static_cast<int>(isa));
      auto run = golden_run<Scalar>(golden);
      way(run.call(), workspace);
      CHECK(max_abs_difference(run.y, golden.values("y")) <= output_bound);
      CHECK(state_difference(run, golden) <= (static_cast<double>(run.n_tokens) + 4) * half_unit * largest_exponent);
    }
  }
}

}  // namespace

TEST_SUITE_BEGIN("arch/wkv4");

TEST_CASE("float: every way on every instruction set gives the operator goldens") {
  RWKV_NEEDS_SHARED();
  // Twice what the original kernel loses when it is compiled for float (maxdiff_same_kernel_float32 of
  // ops/manifest.json): the scan adds up its exponents in another order.
  check_golden<float>("wkv4-normal", 2 * 2.11e-6);
  check_golden<float>("wkv4-extreme", 2 * 2.80e-5);
  check_golden<float>("wkv4-long", 2 * 3.26e-5);
  check_golden<float>("wkv4-state", 2 * 2.90e-6);
}

TEST_CASE("double: every way gives the operator goldens to 1e-12") {
  RWKV_NEEDS_SHARED();
  for (const char* name : {"wkv4-normal", "wkv4-extreme", "wkv4-long", "wkv4-state"}) check_golden<double>(name, 1e-12);
}

TEST_CASE("the combination of segments is associative, not commutative, and has an identity") {
  Random random(11);
  const auto segment = [&] {
    return WkvSegment<double>{-std::exp(random.normal()), 20 * random.normal(), random.normal(), 1 + random.uniform()};
  };
  const auto value = [](const WkvSegment<double>& s) {  // comparable whatever the exponent
    return std::vector<double>{s.decay, s.numerator / s.denominator, std::log(s.denominator) + s.exponent};
  };
  for (int i = 0; i < 1000; ++i) {
    const auto a = segment(), b = segment(), c = segment();
    CHECK(max_abs_difference(value(combine(combine(a, b), c)), value(combine(a, combine(b, c)))) < 1e-12);
    const auto id = WkvSegment<double>::identity();
    CHECK(value(combine(id, a)) == value(a));
    CHECK(value(combine(a, id))[1] == value(a)[1]);
    CHECK(value(combine(a, id))[2] == value(a)[2]);
  }
  const auto first = WkvSegment<double>::token(-1, 0, 1), second = WkvSegment<double>::token(-1, 0, 2);
  CHECK(combine(first, second).numerator != combine(second, first).numerator);
}

TEST_CASE("folding tokens with the combination gives the state of the recurrence") {
  auto run = random_run<double>(50, 3, 20.0);
  Workspace workspace({1, Isa::scalar});
  recurrent(run.call(), workspace);
  for (std::size_t c = 0; c < 3; ++c) {
    auto sum = WkvSegment<double>::identity();
    for (std::size_t t = 0; t < 50; ++t) {
      sum = combine(sum, WkvSegment<double>::token(run.w[c], run.k[3 * t + c], run.v[3 * t + c]));
    }
    CHECK(sum.exponent == doctest::Approx(run.pp[c]).epsilon(1e-12));
    CHECK(sum.numerator == doctest::Approx(run.aa[c]).epsilon(1e-12));
    CHECK(sum.denominator == doctest::Approx(run.bb[c]).epsilon(1e-12));
  }
}

TEST_CASE("recurrence, scan and closed form agree in double at every length") {
  Workspace workspace({2, Isa::scalar});
  for (const Index n_tokens : {1, 2, 6, 7, 8, 14, 15, 100}) {
    auto run = random_run<double>(n_tokens, 5);
    const auto scanned_call = [&] { return random_run<double>(n_tokens, 5); };
    recurrent(run.call(), workspace);
    auto scanned = scanned_call();
    wkv4_scan(scanned.call(), 7, workspace);
    const auto matrix = [&](const std::vector<double>& values) {
      return map_matrix(MatrixView<const double>{values.data(), n_tokens, 5});
    };
    const reference::Matrix closed =
        reference::wkv(Eigen::Map<const reference::Vector>(run.w.data(), 5),
                       Eigen::Map<const reference::Vector>(run.u.data(), 5), matrix(run.k), matrix(run.v));
    CHECK((matrix(run.y) - closed).cwiseAbs().maxCoeff() < 1e-13);
    CHECK((matrix(scanned.y) - closed).cwiseAbs().maxCoeff() < 1e-13);
    CHECK(max_abs_difference(scanned.aa, run.aa) < 1e-13);
  }
}

TEST_CASE("the same bits for any number of threads, and for any share of the channels") {
  for (const Isa isa : all_isas) {
    if (!is_available(isa)) continue;
    std::vector<float> first;
    for (const int n_threads : {1, 2, 3, 7}) {
      Workspace workspace({n_threads, isa});
      for (const Index n_channels : {8, 100}) {  // scanned, and not
        auto run = random_run<float>(600, n_channels);
        const auto call = run.call();
        wkv4<float>(std::span(&call, 1), workspace);
        if (n_threads == 1) {
          first.insert(first.end(), run.y.begin(), run.y.end());
        } else if (n_channels == 8) {
          CHECK(std::equal(run.y.begin(), run.y.end(), first.begin()));
        } else {
          CHECK(std::equal(run.y.begin(), run.y.end(), first.begin() + 600 * 8));
        }
      }
    }
  }
}

TEST_CASE("a scan of no tokens changes nothing, and blocks have a length") {
  auto run = random_run<float>(0, 20);
  run.pp.assign(20, 1.0f);
  Workspace workspace({1});
  wkv4_scan(run.call(), 7, workspace);
  CHECK(run.pp == std::vector<float>(20, 1.0f));
  CHECK_THROWS_WITH_AS(wkv4_scan(run.call(), 0, workspace), doctest::Contains("found 0"), ArgumentError);
}

TEST_CASE("the first token gives its own value exactly, and the output may replace the values") {
  auto run = random_run<float>(9, 20);
  auto in_place = run;
  Workspace workspace({1, best_isa()});
  recurrent(run.call(), workspace);
  CHECK(std::equal(run.y.begin(), run.y.begin() + 20, run.v.begin()));
  auto call = in_place.call();
  call.y = in_place.v.data();
  recurrent(call, workspace);
  CHECK(in_place.v == run.y);
}

TEST_SUITE_END();
