// SPDX-License-Identifier: MIT
// Numbers with a fraction as text: std::to_string and printf ask the locale what the decimal point is.
#pragma once

#include <charconv>
#include <string>

#include "rwkv/version.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// The shortest decimal number that is read back as this one, float or double; "inf", "nan".
template <class Scalar>
[[nodiscard]] std::string to_text(Scalar number) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

/// The nearest number with so many decimals.
[[nodiscard]] inline std::string to_text(double number, int n_decimals) {
  char text[400];  // the largest has 309 digits before the point
  return {text, std::to_chars(text, text + sizeof text, number, std::chars_format::fixed, n_decimals).ptr};
}

}  // namespace detail

RWKV_NAMESPACE_END
