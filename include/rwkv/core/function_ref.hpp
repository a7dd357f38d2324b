// SPDX-License-Identifier: MIT
// A parameter that takes any function without making who takes it a template.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

template <class Signature>
class FunctionRef;

/// A function, lambda or function object that the caller keeps alive during the call. Two pointers; never stored beyond
/// it, never null. It allocates nothing, unlike std::function.
template <class Result, class... Arguments>
class FunctionRef<Result(Arguments...)> {
public:
  template <class Function>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, FunctionRef> &&
           std::is_invocable_r_v<Result, Function&, Arguments...>) FunctionRef(Function&& function)
  noexcept  // NOLINT(google-explicit-constructor): that is its purpose
      : call_([](void* object, Arguments... arguments) -> Result {
          auto& function_here = *reinterpret_cast<std::add_pointer_t<Function>>(object);
          if constexpr (std::is_void_v<Result>) {
            function_here(std::forward<Arguments>(arguments)...);
          } else {
            return function_here(std::forward<Arguments>(arguments)...);
          }
        }) {
    if constexpr (std::is_function_v<std::remove_reference_t<Function>>) {
      object_ = reinterpret_cast<void*>(&function);
    } else {
      object_ = const_cast<void*>(static_cast<const void*>(std::addressof(function)));
    }
  }

  Result operator()(Arguments... arguments) const { return call_(object_, std::forward<Arguments>(arguments)...); }

private:
  void* object_;
  Result (*call_)(void*, Arguments...);
};

RWKV_NAMESPACE_END
