// SPDX-License-Identifier: MIT
// What the tests of the operators with a matrix for each head share: all their forms on all instruction sets.
//
// A test has a Run<Scalar>: inputs, `state` and outputs `y`, `n_tokens`, call(); functions reference(run), which gives
// what is expected, and error_in_bounds(run, expected), which is at most 1 if `run` is right; and an Operator with the
// functions of the library: Call<Scalar>, sequence, chunked, chosen.
#pragma once

#include <string>

#include "rwkv/workspace.hpp"
#include "support/support.hpp"

namespace rwkv_test {

using rwkv::Index;
using rwkv::Workspace;

template <class Operator, class Scalar>
struct Form {
  using Call = typename Operator::template Call<Scalar>;
  std::string name;
  void (*run)(std::span<const Call>, Workspace&);
  bool is_recurrence = false;  // the same bits wherever the sequence is cut
};

template <class Operator, class Scalar>
void one_by_one(std::span<const typename Operator::template Call<Scalar>> calls, Workspace& workspace) {
  for (const auto& call : calls) {
    for (Index t = 0; t < call.n_tokens; ++t) {
      const auto step = tokens_of(call, t, 1);
      Operator::template sequence<Scalar>(std::span(&step, 1), workspace);
    }
  }
}

template <class Operator, class Scalar, Index chunk_length>
void by_chunks(std::span<const typename Operator::template Call<Scalar>> calls, Workspace& workspace) {
  Operator::template chunked<Scalar>(calls, chunk_length, workspace);
}

template <class Operator, class Scalar>
const Form<Operator, Scalar> forms[] = {
    {"sequence", Operator::template sequence<Scalar>, true}, {"one by one", one_by_one<Operator, Scalar>, true},
    {"chunks of 1", by_chunks<Operator, Scalar, 1>},         {"chunks of 3", by_chunks<Operator, Scalar, 3>},
    {"chunks of 16", by_chunks<Operator, Scalar, 16>},       {"chunks of 64", by_chunks<Operator, Scalar, 64>},
    {"chosen form", Operator::template chosen<Scalar>}};

/// Calls function(workspace) for each instruction set that computes with this type: double has the portable one only.
template <class Scalar, class Function>
void for_each_isa(int n_threads, Function&& function) {
  for (const rwkv::Isa isa : rwkv::all_isas) {
    if (!is_available(isa) || (sizeof(Scalar) == sizeof(double) && isa != rwkv::Isa::scalar)) continue;
    CAPTURE(name(isa));
    Workspace workspace({n_threads, isa});
    function(workspace);
  }
}

template <class Operator, class Scalar, class Run>
void apply(const Form<Operator, Scalar>& form, Run& run, Workspace& workspace) {
  const auto call = run.call();
  form.run(std::span(&call, 1), workspace);
}

/// Calls function(form, workspace) for every form on every instruction set.
template <class Operator, class Scalar, class Function>
void for_each_form(int n_threads, Function&& function) {
  for_each_isa<Scalar>(n_threads, [&](Workspace& workspace) {
    for (const auto& form : forms<Operator, Scalar>) {
      CAPTURE(form.name);
      function(form, workspace);
    }
  });
}

template <class Operator, class Scalar, template <class> class Run>
void check_against_reference(const Run<Scalar>& start) {
  CAPTURE(start.n_tokens);
  CAPTURE(start.head_size);
  const auto expected = reference(start);
  for_each_form<Operator, Scalar>(1, [&](const auto& form, Workspace& workspace) {
    auto run = start;
    apply(form, run, workspace);
    CHECK(error_in_bounds(run, expected) <= 1);
  });
}

/// All lengths of a chunk up to one more than there are tokens.
template <class Operator, template <class> class Run>
void check_chunk_lengths(const Run<float>& start) {
  const auto expected = reference(start);
  for_each_isa<float>(1, [&](Workspace& workspace) {
    for (Index chunk_length = 1; chunk_length <= start.n_tokens + 1; ++chunk_length) {
      CAPTURE(chunk_length);
      auto run = start;
      const auto call = run.call();
      Operator::template chunked<float>(std::span(&call, 1), chunk_length, workspace);
      CHECK(error_in_bounds(run, expected) <= 1);
    }
  });
}

/// The same bits for any number of threads, and for calls together or one by one.
template <class Operator, template <class> class Run>
void check_threads(const std::vector<Run<float>>& batch) {
  for_each_form<Operator, float>(1, [&](const auto& form, Workspace& alone) {
    auto expected = batch;
    for (auto& run : expected) apply(form, run, alone);
    for (const int n_threads : {1, 2, 3, 7}) {
      Workspace workspace({n_threads, alone.isa()});
      auto runs = batch;
      std::vector<typename Operator::template Call<float>> calls;
      for (auto& run : runs) calls.push_back(run.call());
      form.run(calls, workspace);
      for (std::size_t i = 0; i < runs.size(); ++i) {
        CHECK(runs[i].y == expected[i].y);
        CHECK(runs[i].state == expected[i].state);
      }
    }
  });
}

/// A sequence cut into two calls anywhere: the recurrence keeps every bit, chunks their precision.
template <class Operator, template <class> class Run>
void check_cuts(const Run<float>& start) {
  const auto expected = reference(start);
  for_each_form<Operator, float>(1, [&](const auto& form, Workspace& workspace) {
    auto whole = start;
    apply(form, whole, workspace);
    for (Index cut = 0; cut <= start.n_tokens; ++cut) {
      CAPTURE(cut);
      auto run = start;
      const auto call = run.call();
      const auto first = tokens_of(call, 0, cut), second = tokens_of(call, cut, start.n_tokens - cut);
      form.run(std::span(&first, 1), workspace);
      form.run(std::span(&second, 1), workspace);
      if (form.is_recurrence) CHECK(run.y == whole.y);
      CHECK(error_in_bounds(run, expected) <= 1);
    }
  });
}

}  // namespace rwkv_test
