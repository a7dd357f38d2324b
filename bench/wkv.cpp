// SPDX-License-Identifier: MIT
// Times the forms of the WKV operators of RWKV-5/6 and RWKV-7 on random inputs: head size 64, float.
//
//   bench_wkv [ISA]
//
// A measurement is one call of the operator from arch/, threads and all, repeated until it takes about a millisecond.
// The forms of a shape take turns. Printed are the median time of the token-by-token form over the turns, and for each
// chunk length the median of the ratio of the chunked form to the token-by-token form in the same turn, so that a
// change of the machine's speed hits both alike. Before anything is timed, each form must have given the same outputs.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "rwkv/arch/wkv5.hpp"
#include "rwkv/arch/wkv7.hpp"
#include "rwkv/core/random.hpp"

namespace {

using rwkv::Index;

constexpr Index head_size = 64;
constexpr int n_turns = 15;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// Inputs of both operators: normal values, decays of 0.55 to 1, removal keys of unit length, rates of 0 to 1.
struct Inputs {
  Index n_tokens, n_head;
  std::vector<float> r, k, v, w, u, kk, a, y, state;

  Inputs(Index tokens, Index heads) : n_tokens(tokens), n_head(heads) {
    rwkv::Random random(1);
    const auto n = static_cast<std::size_t>(n_tokens * n_head * head_size);
    for (auto* values : {&r, &k, &v, &u, &kk}) {
      values->resize(n);
      for (float& value : *values) value = static_cast<float>(random.normal());
    }
    for (float& value : kk) value = value > 0 ? 0.125f : -0.125f;  // 64 of them: length 1
    for (auto* values : {&w, &a}) {
      values->resize(n);
      for (float& value : *values) value = static_cast<float>(random.uniform());
    }
    for (float& value : w) value = 0.55f + 0.45f * value;
    y.resize(n);
    state.resize(static_cast<std::size_t>(n_head * head_size * head_size));
  }
};

/// An operator as this program needs it: its call on the inputs, and its forms.
struct Wkv5 {
  static constexpr const char* name = "wkv5";
  using Call = rwkv::Wkv5Call<float>;
  static Call call(Inputs& in) {
    return {in.n_tokens,           in.n_head,   head_size,   in.r.data(),    in.k.data(), in.v.data(), in.w.data(),
            in.n_head * head_size, in.u.data(), in.y.data(), in.state.data()};
  }
  static void sequence(const Call& call, rwkv::Workspace& workspace) {
    rwkv::wkv5_sequence<float>(std::span(&call, 1), workspace);
  }
  static void chunked(const Call& call, Index chunk_length, rwkv::Workspace& workspace) {
    rwkv::wkv5_chunked<float>(std::span(&call, 1), chunk_length, workspace);
  }
};
struct Wkv7 {
  static constexpr const char* name = "wkv7";
  using Call = rwkv::Wkv7Call<float>;
  static Call call(Inputs& in) {
    return {in.n_tokens, in.n_head,    head_size,   in.r.data(), in.w.data(),    in.k.data(),
            in.v.data(), in.kk.data(), in.a.data(), in.y.data(), in.state.data()};
  }
  static void sequence(const Call& call, rwkv::Workspace& workspace) {
    rwkv::wkv7_sequence<float>(std::span(&call, 1), workspace);
  }
  static void chunked(const Call& call, Index chunk_length, rwkv::Workspace& workspace) {
    rwkv::wkv7_chunked<float>(std::span(&call, 1), chunk_length, workspace);
  }
};

/// chunk_length 0: token by token.
template <class Operator>
void run(Inputs& inputs, Index chunk_length, rwkv::Workspace& workspace) {
  const auto call = Operator::call(inputs);
  if (chunk_length == 0) return Operator::sequence(call, workspace);
  Operator::chunked(call, chunk_length, workspace);
}

/// Throws unless the form gives the outputs of the token-by-token form, from a state of zeros.
template <class Operator>
void check(Inputs& inputs, Index chunk_length, rwkv::Workspace& workspace) {
  std::vector<float> expected;
  for (const Index length : {Index{0}, chunk_length}) {
    std::ranges::fill(inputs.state, 0.0f);
    run<Operator>(inputs, length, workspace);
    if (length == 0) expected = inputs.y;
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!(std::abs(inputs.y[i] - expected[i]) < 1e-2f)) throw std::runtime_error("a form gives other outputs");
  }
}

template <class Operator>
void measure(Index n_tokens, Index n_head, rwkv::Workspace& workspace) {
  constexpr Index lengths[] = {4, 8, 16, 32, 64};
  Inputs inputs(n_tokens, n_head);
  const auto seconds_for = [&](Index chunk_length, int n_repeats) {
    const double begin = now();
    for (int i = 0; i < n_repeats; ++i) run<Operator>(inputs, chunk_length, workspace);
    return (now() - begin) / n_repeats;
  };
  std::vector<double> seconds, ratios[std::size(lengths)];
  for (const Index length : lengths) check<Operator>(inputs, length, workspace);
  const int n_repeats = std::max(1, static_cast<int>(1e-3 / seconds_for(0, 3)));
  for (int turn = 0; turn < n_turns; ++turn) {
    const double sequence = seconds_for(0, n_repeats);
    seconds.push_back(sequence);
    for (std::size_t i = 0; i < std::size(lengths); ++i) {
      ratios[i].push_back(seconds_for(lengths[i], n_repeats) / sequence);
    }
  }
  std::printf("%s %8s %7d %4d %4d %9.1f", Operator::name, std::string(rwkv::name(workspace.isa())).c_str(),
              workspace.n_threads(), static_cast<int>(n_head), static_cast<int>(n_tokens), median(seconds) * 1e6);
  for (std::size_t i = 0; i < std::size(lengths); ++i) {
    std::printf("  %2d: %4.2f", static_cast<int>(lengths[i]), median(ratios[i]));
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) try {
  const rwkv::Isa isa = argc > 1 ? rwkv::isa_from_name(argv[1]) : rwkv::best_isa();
  std::printf("          isa threads    H    T  us a call  chunk length: time by chunks / time token by token\n");
  for (const int n_threads : {1, 2}) {
    rwkv::Workspace workspace({n_threads, isa});
    for (const Index n_head : {12, 32}) {
      for (const Index n_tokens : {1, 16, 64, 256}) measure<Wkv5>(n_tokens, n_head, workspace);
      for (const Index n_tokens : {1, 16, 64, 256}) measure<Wkv7>(n_tokens, n_head, workspace);
    }
  }
  return EXIT_SUCCESS;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_wkv: %s\n", error.what());
  return EXIT_FAILURE;
}
