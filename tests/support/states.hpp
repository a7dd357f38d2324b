// SPDX-License-Identifier: MIT
// States without models: what tests of State files and layouts need of a model is its layout.
#pragma once

#include <memory>

#include "rwkv/arch/tensor_list.hpp"
#include "rwkv/state.hpp"

namespace rwkv_test {

/// Gives new States like a model of this Config does.
template <class Scalar = float>
class LayoutOnly {
public:
  explicit LayoutOnly(const rwkv::Config& config) {
    rwkv::Construction construction{nullptr, config, *layout_};
    static_cast<void>(rwkv::make_network<Scalar>(rwkv::Builder(construction)));
    layout_->set_model(config.generation, "");
  }
  explicit LayoutOnly(rwkv::StateLayout layout) : layout_(std::make_shared<rwkv::StateLayout>(std::move(layout))) {}

  [[nodiscard]] rwkv::BasicState<Scalar> new_state() const { return rwkv::BasicState<Scalar>(layout_); }

private:
  std::shared_ptr<rwkv::StateLayout> layout_ = std::make_shared<rwkv::StateLayout>();
};

/// A State whose values are 1, 2, 3, ... in the order of its layout.
template <class Scalar>
rwkv::BasicState<Scalar> counted(rwkv::BasicState<Scalar> state) {
  Scalar value = 0;
  for (Scalar& each : state.values()) each = ++value;
  return state;
}

}  // namespace rwkv_test
