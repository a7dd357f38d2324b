// SPDX-License-Identifier: MIT
// Reading the reference data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rwkv/io/safetensors.hpp"
#include "support/support.hpp"

namespace rwkv_test {

/// Named arrays of a `.safetensors` file of the reference data.
class Golden {
public:
  explicit Golden(const std::string& name)
      : Golden(rwkv::read_safetensors(std::make_shared<const rwkv::MappedFile>(shared_file(name)))) {}
  explicit Golden(rwkv::Checkpoint checkpoint) : checkpoint_(std::move(checkpoint)) {}

  [[nodiscard]] bool contains(const std::string& name) const { return checkpoint_.contains(name); }
  [[nodiscard]] const rwkv::Checkpoint& checkpoint() const { return checkpoint_; }
  [[nodiscard]] rwkv::Index rows(const std::string& name) const { return checkpoint_.at(name).shape[0]; }

  template <class Scalar = double>
  [[nodiscard]] std::vector<Scalar> values(const std::string& name) const {
    const auto buffer = rwkv::read_all<Scalar>(checkpoint_.at(name));
    return {buffer.begin(), buffer.end()};
  }

  [[nodiscard]] std::vector<rwkv::Token> tokens(const std::string& name = "tokens") const {
    const rwkv::TensorView& tensor = checkpoint_.at(name);
    std::vector<rwkv::Token> tokens(static_cast<std::size_t>(tensor.n_elements()));
    REQUIRE(tensor.dtype == rwkv::DType::i32);
    std::memcpy(tokens.data(), tensor.data, tokens.size() * 4);
    return tokens;
  }

private:
  rwkv::Checkpoint checkpoint_;
};

}  // namespace rwkv_test
