// SPDX-License-Identifier: MIT
// Which tensors a pickled object of PyTorch holds, and what they are called: state dicts, lists, whole modules.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/core/function_ref.hpp"
#include "rwkv/io/checkpoint.hpp"
#include "rwkv/io/pickle.hpp"

RWKV_NAMESPACE_BEGIN

namespace detail {

/// Walks the top object of a pickle. The path (for messages) and the graph must outlive it.
class TorchObject {
public:
  using Visit = FunctionRef<void(std::string, const PickleCall&)>;

  TorchObject(std::string_view path, const PickleGraph& graph) : path_(path), graph_(graph) {}

  /// Calls visit(name, call) for every tensor, with the `_rebuild_tensor_v2` that makes it: void(string, PickleCall).
  ///
  /// The names are the keys of a dictionary, "0", "1", ... in a list or tuple, those of `state_dict()` in a module.
  /// Dictionaries may hold other values, which are left out. Throws FormatError if there is no tensor with a name, or
  /// something else in the place of a tensor; UnsupportedError for a module without tensors.
  void for_each_tensor(Visit visit) {
    std::size_t n_tensors = 0;
    const auto count = [&](std::string name, const PickleCall& call) {
      ++n_tensors;
      visit(std::move(name), call);
    };
    if (const auto* const object = graph_.get<PickleObject>(graph_.top)) {
      const PickleClass& type = *graph_.get<PickleClass>(object->type);
      if (!is_module(graph_.top)) refuse_top(kind(graph_.top));
      visit_module(graph_.top, "", 0, count);
      if (n_tensors == 0) refuse_pickled_module(path_, type, " without parameters");
    } else if (const std::vector<PickleRef>* const items = sequence(graph_.top); items != nullptr && !items->empty()) {
      visit_sequence(*items, count);
    } else {
      visit_dict(find_state_dict(), count);
    }
    if (n_tensors == 0) fail("", "the checkpoint holds no tensors with names");
  }

private:
  /// Modules inside of modules; real ones have about five levels.
  static constexpr int max_depth = 64;
  /// Entries of dictionaries that are looked at. A module may occur many times in another, and that one in the next: a
  /// short file, but a walk without end.
  static constexpr std::uint64_t max_steps = 10'000'000;

  void visit_dict(const PickleDict& dict, Visit visit) {
    for_each_entry(&dict, [&](std::string_view key, PickleRef value) {
      if (const PickleCall* const call = tensor_call(value)) visit(std::string(key), *call);
    });
  }

  void visit_sequence(const std::vector<PickleRef>& items, Visit visit) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      const PickleCall* const call = tensor_call(items[i]);
      if (call == nullptr) {
        throw FormatError({.path = path_,
                           .item = "entry " + std::to_string(i) + " of the pickled list",
                           .expected = "a tensor",
                           .found = kind(items[i]),
                           .hint = "If this is a State, save the list that RWKV.forward returned."});
      }
      visit(std::to_string(i), *call);
    }
  }

  /// In the order of `state_dict()`: parameters, buffers, modules inside. `prefix` is empty or ends with a dot.
  void visit_module(PickleRef module, const std::string& prefix, int depth, Visit visit) {
    if (depth > max_depth) fail("module " + in_quotes(prefix), "is nested too deeply");
    const auto visit_tensor = [&](std::string_view key, PickleRef value) {
      if (is_none(value)) return;
      const PickleCall* const call = tensor_call(value);
      if (call == nullptr) fail(tensor_item(joined(prefix, key)), "is neither a tensor nor None");
      visit(joined(prefix, key), *call);
    };
    for_each_entry(attribute<PickleDict>(module, "_parameters"), visit_tensor);
    const std::vector<PickleRef>* const transient = transient_buffers(module);
    for_each_entry(attribute<PickleDict>(module, "_buffers"), [&](std::string_view key, PickleRef value) {
      if (!contains(transient, key)) visit_tensor(key, value);
    });
    for_each_entry(attribute<PickleDict>(module, "_modules"), [&](std::string_view key, PickleRef value) {
      if (is_none(value)) return;
      if (!is_module(value)) fail("module " + in_quotes(joined(prefix, key)), "is neither a module nor None");
      visit_module(value, joined(prefix, key) + ".", depth + 1, visit);
    });
  }

  /// Names that no tensor can have are not made: every module inside would repeat them.
  [[nodiscard]] std::string joined(const std::string& prefix, std::string_view key) const {
    if (prefix.size() + key.size() > Checkpoint::max_name)
      fail("module " + in_quotes(prefix), "holds names that are too long");
    return prefix + std::string(key);
  }

  /// What distinguishes a module from other objects. Subclasses have more attributes, all have these.
  [[nodiscard]] bool is_module(PickleRef ref) {
    return attribute<PickleDict>(ref, "_parameters") != nullptr && attribute<PickleDict>(ref, "_modules") != nullptr;
  }

  /// The names of the buffers that `state_dict()` leaves out, or null: a set, which protocol 2 makes by a call.
  [[nodiscard]] const std::vector<PickleRef>* transient_buffers(PickleRef module) {
    constexpr std::string_view name = "_non_persistent_buffers_set";
    if (const auto* const set = attribute<PickleList>(module, name)) return &set->items;
    const auto* const call = attribute<PickleCall>(module, name);
    if (call == nullptr || !call->function.ends_with(".set")) return nullptr;
    const auto& arguments = graph_.get<PickleTuple>(call->arguments)->items;
    return arguments.empty() ? nullptr : sequence(arguments[0]);
  }

  [[nodiscard]] bool contains(const std::vector<PickleRef>* items, std::string_view text) {
    return items != nullptr && std::any_of(items->begin(), items->end(), [&](PickleRef item) {
             step();
             const auto* const other = graph_.get<std::string_view>(item);
             return other != nullptr && *other == text;
           });
  }

  /// An attribute of an object if it is of that type, or null.
  template <class Type>
  [[nodiscard]] const Type* attribute(PickleRef ref, std::string_view name) {
    const auto* const object = graph_.get<PickleObject>(ref);
    if (object == nullptr || !object->state) return nullptr;
    const Type* found = nullptr;
    for_each_entry(graph_.get<PickleDict>(*object->state), [&](std::string_view key, PickleRef value) {
      if (key == name) found = graph_.get<Type>(value);
    });
    return found;
  }

  /// Calls visit(key, value) for the entries with a text as key; for none if there is no dictionary.
  void for_each_entry(const PickleDict* dict, FunctionRef<void(std::string_view, PickleRef)> visit) {
    for (std::size_t i = 0; dict != nullptr && i + 1 < dict->items.size(); i += 2) {
      step();
      if (const auto* const key = graph_.get<std::string_view>(dict->items[i])) visit(*key, dict->items[i + 1]);
    }
  }

  void step() {
    if (++n_steps_ > max_steps) fail("the pickled object", "has more parts than any model");
  }

  /// The top dictionary, or the one that a training framework wrapped: {"state_dict": {...}, "epoch": 3, ...}.
  [[nodiscard]] const PickleDict& find_state_dict() const {
    const auto* dict = graph_.get<PickleDict>(graph_.top);
    if (dict == nullptr) refuse_top(kind(graph_.top));
    constexpr int max_wrappers = 8;  // a dictionary may contain itself
    for (int i = 0; i < max_wrappers && !has_tensors(*dict); ++i) {
      const PickleDict* const inner = find_wrapped(*dict);
      if (inner == nullptr) break;
      dict = inner;
    }
    return *dict;
  }

  [[nodiscard]] bool has_tensors(const PickleDict& dict) const {
    for (std::size_t i = 1; i < dict.items.size(); i += 2) {
      if (tensor_call(dict.items[i]) != nullptr) return true;
    }
    return false;
  }

  [[nodiscard]] const PickleDict* find_wrapped(const PickleDict& dict) const {
    for (const std::string_view wanted : {"state_dict", "model_state_dict", "model", "module", "weights"}) {
      for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
        const auto* const key = graph_.get<std::string_view>(dict.items[i]);
        const auto* const inner = graph_.get<PickleDict>(dict.items[i + 1]);
        if (key != nullptr && *key == wanted && inner != nullptr) return inner;
      }
    }
    return nullptr;
  }

  /// The call that makes this tensor, or null. A parameter is the tensor in its first argument.
  [[nodiscard]] const PickleCall* tensor_call(PickleRef ref) const {
    const auto* call = graph_.get<PickleCall>(ref);
    if (call != nullptr && call->function == "torch._utils._rebuild_parameter") {
      const auto& arguments = graph_.get<PickleTuple>(call->arguments)->items;
      call = arguments.empty() ? nullptr : graph_.get<PickleCall>(arguments[0]);
    }
    return call != nullptr && call->function == "torch._utils._rebuild_tensor_v2" ? call : nullptr;
  }

  /// The items of a list or tuple, or null.
  [[nodiscard]] const std::vector<PickleRef>* sequence(PickleRef ref) const {
    if (const auto* const list = graph_.get<PickleList>(ref)) return &list->items;
    if (const auto* const tuple = graph_.get<PickleTuple>(ref)) return &tuple->items;
    return nullptr;
  }

  [[nodiscard]] bool is_none(PickleRef ref) const { return graph_.get<PickleNone>(ref) != nullptr; }

  /// What a value is, for messages.
  [[nodiscard]] std::string kind(PickleRef ref) const {
    if (tensor_call(ref) != nullptr) return "a single tensor";
    if (is_none(ref)) return "None";
    if (const auto* const items = sequence(ref)) {
      const bool is_list = graph_.get<PickleList>(ref) != nullptr;
      return std::string(items->empty() ? "an empty " : "a ") + (is_list ? "list" : "tuple");
    }
    if (graph_.get<PickleDict>(ref) != nullptr) return "a dictionary";
    if (graph_.get<std::string_view>(ref) != nullptr) return "a text";
    if (graph_.get<bool>(ref) != nullptr) return "a truth value";
    if (graph_.get<std::int64_t>(ref) != nullptr || graph_.get<double>(ref) != nullptr) return "a number";
    const auto* const object = graph_.get<PickleObject>(ref);
    if (object == nullptr) return "something else";
    return "an object of class " + class_in_quotes(*graph_.get<PickleClass>(object->type));
  }

  [[noreturn]] void refuse_top(std::string_view found) const {
    throw FormatError(
        {.path = path_, .item = "the pickled object", .expected = "a dictionary or a list of tensors", .found = found});
  }

  [[noreturn]] void fail(std::string_view item, std::string_view problem) const {
    throw FormatError({.path = path_, .item = item, .problem = problem});
  }

  std::string_view path_;
  const PickleGraph& graph_;
  std::uint64_t n_steps_ = 0;
};

}  // namespace detail

RWKV_NAMESPACE_END
