// SPDX-License-Identifier: MIT
// What tells a model apart from all others of its sizes, so that no State goes to the wrong one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rwkv/arch/builder.hpp"
#include "rwkv/arch/config.hpp"
#include "rwkv/core/sorted_order.hpp"
#include "rwkv/core/tensor.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/time_mixing_names.hpp"

RWKV_NAMESPACE_BEGIN

/// Metadata of files that keep the fingerprint of the model they were made from: a quantised copy changes every byte,
/// and goes on with the States of the original.
inline constexpr std::string_view fingerprint_key = "rwkv.fingerprint";

namespace detail {

inline constexpr std::string_view hex_digits = "0123456789abcdef";
inline constexpr std::size_t fingerprint_length = 16;

/// FNV-1a of 64 bits (Fowler, Noll, Vo: draft-eastlake-fnv, section 2).
class Fnv1a {
public:
  void add(std::span<const std::byte> bytes) noexcept {
    for (const std::byte byte : bytes) hash_ = (hash_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3u;
  }
  /// With a zero behind it: "ab" and "c" are not "a" and "bc".
  void add(std::string_view text) noexcept {
    add(std::as_bytes(std::span(text)));
    const std::byte end{0};
    add(std::span(&end, 1));
  }
  [[nodiscard]] std::string hex() const {
    std::string text(fingerprint_length, '0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = hex_digits[hash_ >> (60 - 4 * i) & 15];
    return text;
  }

private:
  std::uint64_t hash_ = 0xcbf29ce484222325u;
};

/// All of a small tensor, 32 pieces of a large one: its first and its last bytes, the others evenly between them.
/// Reading a page of a mapped file is what takes the time, and a matrix of the smallest models has hundreds of them.
inline void add_sample(Fnv1a& hash, const TensorView& tensor) noexcept {
  constexpr std::size_t max_whole = 64 << 10, n_pieces = 32, n_piece = 128;
  const std::span<const std::byte> bytes(tensor.data, static_cast<std::size_t>(tensor.n_bytes()));
  if (bytes.size() <= max_whole) return hash.add(bytes);
  const std::size_t step = (bytes.size() - n_piece) / (n_pieces - 1);
  for (std::size_t i = 0; i < n_pieces - 1; ++i) hash.add(bytes.subspan(i * step, n_piece));
  hash.add(bytes.last(n_piece));
}

/// All values, as f32: converters widen vectors, which changes their type and not their values.
inline void add_values(Fnv1a& hash, const TensorView& vector) noexcept {
  for (Index i = 0; i < vector.n_elements(); ++i) {
    const auto value = read_element<float>(vector.dtype, vector.data, i);
    hash.add(std::as_bytes(std::span(&value, 1)));
  }
}

/// Whether some files hold a function of this vector, so that the reader's values are those of the official file but
/// for rounding.
[[nodiscard]] constexpr bool is_reconstructed(std::string_view name) noexcept {
  const std::string_view part = time_mixing_part(name);
  return part == "time_decay" || part == "time_first";
}

}  // namespace detail

/// 16 hexadecimal digits: the fingerprint that the checkpoint's metadata give, or else a hash over the generation and,
/// in alphabetical order, every tensor of the model: its name and official shape, of vectors the values as f32, and of
/// all others the type and the bytes. Of the `time_decay` and `time_first` of time mixing only name and shape count:
/// rwkv.cpp stores functions of them. So the hash does not depend on the format of the file.
///
/// Training, adapters and quantisation change it. It tells apart what happens to models, and is no proof: of a tensor
/// above 64 KiB only a sample counts, 32 pieces of 128 bytes, and an edit between them is not seen.
///
/// The sizes of the Config are those of the shapes. Its group_norm_eps does not count: it is no part of the model, but
/// the caller's correction of what files leave unsaid, and whoever makes it keeps the States.
/// Throws ModelError if the metadata give something else than 16 hexadecimal digits.
[[nodiscard]] inline std::string model_fingerprint(const Checkpoint& checkpoint, const Construction& construction) {
  if (const auto kept = checkpoint.metadata().find(std::string(fingerprint_key)); kept != checkpoint.metadata().end()) {
    const std::string& text = kept->second;
    const bool is_hex = text.find_first_not_of(detail::hex_digits) == std::string::npos;
    if (is_hex && text.size() == detail::fingerprint_length) return text;
    throw ModelError({.path = checkpoint.path(),
                      .item = "metadata " + in_quotes(fingerprint_key),
                      .expected = "16 hexadecimal digits",
                      .found = in_quotes(text)});
  }
  const std::vector<TensorSpec>& tensors = construction.asked;
  detail::Fnv1a hash;
  hash.add(name(construction.config.generation));
  // The order of constructors may change, fingerprints may not.
  const auto by_name = [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; };
  for (const std::size_t i : sorted_order(tensors.size(), by_name)) {
    const TensorSpec& spec = tensors[i];
    const TensorView& tensor = checkpoint.at(spec.name);
    hash.add(spec.name);
    hash.add(to_string(spec.shape));
    if (detail::is_reconstructed(spec.name)) continue;
    if (spec.role == TensorRole::vector) {
      detail::add_values(hash, tensor);
    } else {
      hash.add(name(tensor.dtype));
      detail::add_sample(hash, tensor);
    }
  }
  return hash.hex();
}

RWKV_NAMESPACE_END
