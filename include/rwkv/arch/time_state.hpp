// SPDX-License-Identifier: MIT
// The trained beginning of a State, as state-tuned models have it in their tensors `time_state`.
#pragma once

#include <string_view>

#include "rwkv/arch/config.hpp"
#include "rwkv/core/tensor.hpp"

RWKV_NAMESPACE_BEGIN

/// The name of the tensor in the time mixing of a layer, and that of the tensor of the State that begins with it.
inline constexpr std::string_view time_state_name = "time_state", time_state_target = "S";

/// The matrices S of WKV from `time_state` [H, N, N]. Training programs hold it as [H, value, key], whichever way round
/// the generation has its State: RWKV-7 takes it as it is, RWKV-5 and 6 transpose it when they load it.
[[nodiscard]] inline TensorView from_time_state(const TensorView& time_state, Generation generation) {
  return generation >= Generation::v7 ? time_state : transposed(time_state);
}

RWKV_NAMESPACE_END
