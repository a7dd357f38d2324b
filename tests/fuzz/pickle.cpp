// SPDX-License-Identifier: MIT
// The pickle of a PyTorch checkpoint without the zip around it. Every storage is there.
#include <memory>
#include <vector>

#include "fuzz.hpp"
#include "rwkv/io/pickle.hpp"
#include "rwkv/io/torch_tensors.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::byte> storage(std::size_t{1} << 18);
  return rwkv_fuzz::only_errors([&] {
    const auto bytes = rwkv_fuzz::bytes_of(data, size);
    const auto file = std::make_shared<const rwkv::MappedFile>(bytes, "input");
    rwkv::ByteReader input(file->path(), "data.pkl", bytes);
    const auto graph =
        rwkv::read_pickle(input, rwkv::detail::torch_globals, rwkv::detail::max_pickle_bytes(*file), true);
    const auto find = [](std::string_view) { return std::optional(std::span<const std::byte>(storage)); };
    rwkv_fuzz::touch(rwkv::detail::TorchTensors(file, graph, find).read());
  });
}
