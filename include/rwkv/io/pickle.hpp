// SPDX-License-Identifier: MIT
// Python pickles as data: the opcodes build a graph of plain values. Nothing is imported, called or run.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rwkv/core/error.hpp"
#include "rwkv/io/byte_reader.hpp"

RWKV_NAMESPACE_BEGIN

/// A value, by its position in PickleGraph::values. Lists and dictionaries may contain themselves.
using PickleRef = std::uint32_t;

struct PickleNone {};
struct PickleOther {};  ///< bytes, integers of more than 64 bits: known, but of no use for tensors
struct PickleTuple {
  std::vector<PickleRef> items;
};
struct PickleList {
  std::vector<PickleRef> items;  ///< also those of a set
};
struct PickleDict {
  std::vector<PickleRef> items;  ///< key, value, key, value, ...
};
struct PickleGlobal {
  std::string_view name;  ///< "module.name", one of the allowed ones
};
struct PickleCall {
  std::string_view function;  ///< the global that would make this object; it is not called
  PickleRef arguments;        ///< a tuple
};
struct PicklePersistent {
  PickleRef id;  ///< what stands for an object outside of the pickle
};
struct PickleClass {
  std::string_view module, name;  ///< of a class outside of the allowed globals; it is not imported
};
struct PickleObject {
  PickleRef type;                  ///< a PickleClass, of which this would be an instance; it is not made
  std::optional<PickleRef> state;  ///< its attributes, mostly a dictionary
};
using PickleValue =
    std::variant<PickleNone, PickleOther, bool, std::int64_t, double, std::string_view, PickleTuple, PickleList,
                 PickleDict, PickleGlobal, PickleCall, PicklePersistent, PickleClass, PickleObject>;

/// The values of a pickle. Texts point into the bytes it was read from.
struct PickleGraph {
  std::deque<PickleValue> values;  // grows without a second copy
  PickleRef top = 0;

  /// The value if it is of that type, or null.
  template <class Type>
  [[nodiscard]] const Type* get(PickleRef ref) const noexcept {
    return std::get_if<Type>(&values[ref]);
  }
};

/// A global that a pickle may name.
struct PickleAllowed {
  std::string_view name;     ///< "module.name"
  bool is_callable = false;  ///< may occur in REDUCE
};

namespace detail {

/// 'module.name', for messages.
[[nodiscard]] inline std::string class_in_quotes(const PickleClass& type) {
  constexpr std::size_t max_shown = 100;  // of each, so that of two long ones the name is seen, too
  return in_quotes(std::string(first_characters(type.module, max_shown)) + "." +
                   std::string(first_characters(type.name, max_shown)));
}

/// What `torch.save(module)` writes, where that is not wanted or cannot be used.
[[noreturn]] inline void refuse_pickled_module(std::string_view path, const PickleClass& type,
                                               std::string_view problem) {
  throw UnsupportedError(
      {.path = path,
       .problem = "holds a whole pickled module, an object of class " + class_in_quotes(type) + std::string(problem),
       .expected = "a dictionary of tensors",
       .hint = "Load it where its class is known and save model.state_dict() instead."});
}

/// The stack machine of Python's `pickletools`, for the opcodes that PyTorch writes.
class PickleMachine {
public:
  PickleMachine(ByteReader& input, std::span<const PickleAllowed> allowed, std::uint64_t max_bytes, bool allow_objects)
      : input_(input),
        allowed_(allowed),
        max_values_(std::min<std::uint64_t>(max_bytes / value_bytes, never_stored)),
        allow_objects_(allow_objects) {}

  [[nodiscard]] PickleGraph run() {
    while (true) {
      opcode_position_ = input_.position();
      opcode_ = input_.read<std::uint8_t>();
      if (opcode_ == '.') break;  // STOP
      step();
    }
    graph_.top = pop();
    return std::move(graph_);
  }

private:
  static constexpr PickleRef never_stored = std::numeric_limits<PickleRef>::max();
  /// A value and the smallest block of the heap for its items.
  static constexpr std::uint64_t value_bytes = sizeof(PickleValue) + 32;
  /// Containers that are open at the same time; checkpoints have about five.
  static constexpr std::size_t max_marks = 64;

  void step() {
    switch (opcode_) {
      case 0x80: check_protocol(); break;                                   // PROTO
      case 0x95: input_.take(8); break;                                     // FRAME: a hint for streams
      case '(': mark(); break;                                              // MARK
      case '0': discard(); break;                                           // POP
      case 'N': push(PickleNone{}); break;                                  // NONE
      case 0x88: push(true); break;                                         // NEWTRUE
      case 0x89: push(false); break;                                        // NEWFALSE
      case 'J': push(std::int64_t{input_.read<std::int32_t>()}); break;     // BININT
      case 'K': push(std::int64_t{input_.read<std::uint8_t>()}); break;     // BININT1
      case 'M': push(std::int64_t{input_.read<std::uint16_t>()}); break;    // BININT2
      case 0x8a: push_long(); break;                                        // LONG1
      case 'G': push_double(); break;                                       // BINFLOAT
      case 'X': push(input_.text(input_.read<std::uint32_t>())); break;     // BINUNICODE
      case 0x8c: push(input_.text(input_.read<std::uint8_t>())); break;     // SHORT_BINUNICODE
      case 0x8d: push(input_.text(input_.read<std::uint64_t>())); break;    // BINUNICODE8
      case 'B': skip(input_.read<std::uint32_t>()); break;                  // BINBYTES
      case 'C': skip(input_.read<std::uint8_t>()); break;                   // SHORT_BINBYTES
      case ')': push(PickleTuple{}); break;                                 // EMPTY_TUPLE
      case ']': push(PickleList{}); break;                                  // EMPTY_LIST
      case '}': push(PickleDict{}); break;                                  // EMPTY_DICT
      case 0x8f: push(PickleList{}); break;                                 // EMPTY_SET
      case 0x85: push(PickleTuple{pop_last(1)}); break;                     // TUPLE1
      case 0x86: push(PickleTuple{pop_last(2)}); break;                     // TUPLE2
      case 0x87: push(PickleTuple{pop_last(3)}); break;                     // TUPLE3
      case 't': push(PickleTuple{pop_to_mark()}); break;                    // TUPLE
      case 'a': append(pop_last(1)); break;                                 // APPEND
      case 'e': append(pop_to_mark()); break;                               // APPENDS
      case 's': set_items(pop_last(2)); break;                              // SETITEM
      case 'u': set_items(pop_to_mark()); break;                            // SETITEMS
      case 0x90: append(pop_to_mark()); break;                              // ADDITEMS
      case 'c': read_global(); break;                                       // GLOBAL
      case 0x93: pop_global(); break;                                       // STACK_GLOBAL
      case 'Q': push_persistent(); break;                                   // BINPERSID
      case 'R':                                                             // REDUCE
      case 0x81: reduce(); break;                                           // NEWOBJ: the same for a class
      case 'b': build(); break;                                             // BUILD
      case 'q': memoize(input_.read<std::uint8_t>()); break;                // BINPUT
      case 'r': memoize(input_.read<std::uint32_t>()); break;               // LONG_BINPUT
      case 0x94: memoize(static_cast<std::uint32_t>(memo_.size())); break;  // MEMOIZE
      case 'h': recall(input_.read<std::uint8_t>()); break;                 // BINGET
      case 'j': recall(input_.read<std::uint32_t>()); break;                // LONG_BINGET
      default: fail("an opcode that no checkpoint needs");
    }
  }

  [[noreturn]] void fail(std::string_view problem, std::string_view expected = {}, std::string_view found = {},
                         std::string_view hint = {}) const {
    constexpr char hex[] = "0123456789abcdef";
    const char code[] = {'0', 'x', hex[opcode_ >> 4], hex[opcode_ & 15], '\0'};
    throw FormatError({input_.path(),
                       std::string(input_.item()) + ": opcode " + code + " at byte " + std::to_string(opcode_position_),
                       problem, expected, found, hint});
  }

  /// Values are few bytes in the file and many in memory, so their number is limited.
  void push(PickleValue value) {
    if (graph_.values.size() >= max_values_) fail("the pickle makes more objects than a file of this size justifies");
    graph_.values.push_back(std::move(value));
    stack_.push_back(static_cast<PickleRef>(graph_.values.size() - 1));
  }

  /// How many values lie above the last mark.
  [[nodiscard]] std::size_t n_available() const noexcept {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }

  [[nodiscard]] std::vector<PickleRef> pop_last(std::size_t n) {
    if (n_available() < n) fail("takes more from the stack than there is");
    std::vector<PickleRef> items(stack_.end() - static_cast<std::ptrdiff_t>(n), stack_.end());
    stack_.resize(stack_.size() - n);
    return items;
  }

  [[nodiscard]] std::vector<PickleRef> pop_to_mark() {
    if (marks_.empty()) fail("needs a mark on the stack");
    std::vector<PickleRef> items = pop_last(n_available());
    marks_.pop_back();
    return items;
  }

  PickleRef pop() {
    if (n_available() == 0) fail("takes more from the stack than there is");
    const PickleRef ref = stack_.back();
    stack_.pop_back();
    return ref;
  }

  /// The value on top of the stack, which stays there.
  [[nodiscard]] PickleValue& top() {
    if (n_available() == 0) fail("takes more from the stack than there is");
    return graph_.values[stack_.back()];
  }

  void mark() {
    if (marks_.size() == max_marks) fail("nested too deeply");
    marks_.push_back(stack_.size());
  }

  void discard() {
    if (n_available() == 0 && !marks_.empty()) {
      marks_.pop_back();
    } else {
      pop();
    }
  }

  void skip(std::uint64_t n) {
    input_.take(n);
    push(PickleOther{});
  }

  void check_protocol() {
    const int protocol = input_.read<std::uint8_t>();
    if (protocol < 2 || protocol > 5) fail("unknown pickle protocol", "2 to 5", std::to_string(protocol));
  }

  void push_long() {
    const auto bytes = input_.take(input_.read<std::uint8_t>());
    if (bytes.size() > 8) return push(PickleOther{});
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) bits |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    const auto unused = static_cast<int>(64 - 8 * bytes.size());  // the sign is the top bit of the last byte
    push(bytes.empty() ? std::int64_t{0} : static_cast<std::int64_t>(bits << unused) >> unused);
  }

  void push_double() {  // big-endian, alone in this format
    std::uint64_t bits = 0;
    for (const std::byte byte : input_.take(8)) bits = (bits << 8) | std::to_integer<std::uint64_t>(byte);
    push(std::bit_cast<double>(bits));
  }

  void append(const std::vector<PickleRef>& items) {
    auto* const list = std::get_if<PickleList>(&top());
    if (list == nullptr) fail("appends to something that is no list");
    list->items.insert(list->items.end(), items.begin(), items.end());
  }

  void set_items(const std::vector<PickleRef>& items) {
    auto* const dict = std::get_if<PickleDict>(&top());
    if (dict == nullptr) fail("sets items of something that is no dictionary");
    if (items.size() % 2 != 0) fail("sets a key without a value");
    dict->items.insert(dict->items.end(), items.begin(), items.end());
  }

  [[nodiscard]] std::string_view read_line() {
    const auto rest = input_.rest();
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) fail("the name of a global does not end");
    const std::string_view line = input_.text(static_cast<std::uint64_t>(end - rest.begin()));
    input_.take(1);
    return line;
  }

  void read_global() {
    const std::string_view module = read_line();
    push_global(module, read_line());
  }

  void pop_global() {
    const auto* const name = graph_.get<std::string_view>(pop());
    const auto* const module = graph_.get<std::string_view>(pop());
    if (name == nullptr || module == nullptr) fail("needs two texts, a module and a name");
    push_global(*module, *name);
  }

  void push_global(std::string_view module, std::string_view name) {
    for (const PickleAllowed& each : allowed_) {
      if (each.name.size() == module.size() + 1 + name.size() && each.name[module.size()] == '.' &&
          each.name.starts_with(module) && each.name.ends_with(name)) {
        return push(PickleGlobal{each.name});
      }
    }
    const PickleClass type{module, name};
    if (!is_class_position()) {
      fail("global " + class_in_quotes(type) + " is not allowed, a checkpoint needs tensors only", "", "",
           "If this is a whole module, save model.state_dict() instead.");
    }
    if (!allow_objects_) refuse_pickled_module(input_.path(), type, "");
    push(type);
  }

  /// Where pickles of objects name a class: NEWOBJ instantiates it without arguments, `copyreg._reconstructor` takes it
  /// as its first argument, or (legacy files) it follows the text 'module' in a persistent id.
  [[nodiscard]] bool is_class_position() const {
    if (!stack_.empty()) {
      const auto* const text = graph_.get<std::string_view>(stack_.back());
      const auto* const global = graph_.get<PickleGlobal>(stack_.back());
      if (text != nullptr && *text == "module") return true;
      if (global != nullptr && is_reconstructor(global->name)) return true;
    }
    auto rest = input_.rest();
    const auto starts_with = [&rest](int code) { return !rest.empty() && std::to_integer<int>(rest[0]) == code; };
    const std::size_t memo_length = starts_with('q') ? 2 : starts_with('r') ? 5 : starts_with(0x94) ? 1 : 0;
    rest = rest.subspan(std::min(memo_length, rest.size()));
    return rest.size() >= 2 && rest[0] == std::byte{')'} && rest[1] == std::byte{0x81};
  }

  /// _reconstructor(class, object, None) makes an object as NEWOBJ does.
  [[nodiscard]] static bool is_reconstructor(std::string_view global) noexcept {
    return global == "copyreg._reconstructor" || global == "copy_reg._reconstructor";
  }

  void reduce() {
    const PickleRef arguments = pop();
    const PickleRef function = pop();
    const auto* const tuple = graph_.get<PickleTuple>(arguments);
    if (const auto* const type = graph_.get<PickleClass>(function)) {
      if (opcode_ == 'R' || tuple == nullptr || !tuple->items.empty()) fail("calls " + class_in_quotes(*type));
      return push(PickleObject{function, {}});
    }
    const auto* const global = graph_.get<PickleGlobal>(function);
    if (tuple == nullptr || global == nullptr) fail("needs a global and a tuple");
    const bool is_callable = std::any_of(allowed_.begin(), allowed_.end(), [&](const PickleAllowed& each) {
      return each.is_callable && each.name == global->name;
    });
    if (!is_callable) fail("calls " + in_quotes(global->name) + ", which is no function");
    if (is_reconstructor(global->name)) return reconstruct(*tuple);
    if (global->name != "collections.OrderedDict") return push(PickleCall{global->name, arguments});
    if (!tuple->items.empty()) fail("makes an OrderedDict from arguments");
    push(PickleDict{});
  }

  void reconstruct(const PickleTuple& arguments) {
    if (arguments.items.size() != 3 || graph_.get<PickleClass>(arguments.items[0]) == nullptr) {
      fail("makes an object without a class");
    }
    push(PickleObject{arguments.items[0], {}});
  }

  /// Legacy files name a class with its source text, once: ('module', class, file, source).
  void push_persistent() {
    const PickleRef id = pop();
    const auto* const tuple = graph_.get<PickleTuple>(id);
    if (tuple != nullptr && tuple->items.size() >= 2 && graph_.get<PickleClass>(tuple->items[1]) != nullptr) {
      const auto* const kind = graph_.get<std::string_view>(tuple->items[0]);
      if (kind != nullptr && *kind == "module") return stack_.push_back(tuple->items[1]);
    }
    push(PicklePersistent{id});
  }

  /// Sets the attributes of the object below. Those of a dictionary, such as `_metadata`, do not matter.
  void build() {
    const PickleRef state = pop();
    if (auto* const object = std::get_if<PickleObject>(&top())) {
      object->state = state;
    } else if (!std::holds_alternative<PickleDict>(top())) {
      fail("sets attributes of something that has none");
    }
  }

  void memoize(std::uint32_t slot) {
    static_cast<void>(top());
    // Writers number the slots from 0, so there are fewer than bytes read; the table stays in proportion to the file.
    if (slot > opcode_position_) fail("memo slot " + std::to_string(slot) + " is out of proportion");
    if (slot >= memo_.size()) memo_.resize(slot + std::size_t{1}, never_stored);
    memo_[slot] = stack_.back();
  }

  void recall(std::uint32_t slot) {
    if (slot >= memo_.size() || memo_[slot] == never_stored) {
      fail("reads memo slot " + std::to_string(slot) + ", which was never stored");
    }
    stack_.push_back(memo_[slot]);
  }

  ByteReader& input_;
  std::span<const PickleAllowed> allowed_;
  std::uint64_t max_values_;
  bool allow_objects_;
  PickleGraph graph_;
  std::vector<PickleRef> stack_;
  std::vector<std::size_t> marks_;  // how high the stack was
  std::vector<PickleRef> memo_;
  std::size_t opcode_position_ = 0;
  std::uint8_t opcode_ = 0;
};

}  // namespace detail

/// Reads one pickle of protocol 2 to 5 and leaves `input` behind its STOP. The opcodes are those that PyTorch writes
/// (Python's `pickletools` describes them all); `allowed` are the globals the pickle may name. The graph takes about
/// `max_bytes` of memory at most. Nothing recurses, whatever the depth of the graph.
///
/// With `allow_objects` the pickle may also name other classes where an object of them is made without arguments, as
/// `torch.save(module)` does. Such an object is a PickleObject and nothing else: its name and its attributes.
///
/// Throws FormatError if the pickle is not well-formed, uses another opcode or names another global, with its position;
/// UnsupportedError if it holds an object and may not.
[[nodiscard]] inline PickleGraph read_pickle(ByteReader& input, std::span<const PickleAllowed> allowed,
                                             std::uint64_t max_bytes, bool allow_objects = false) {
  return detail::PickleMachine(input, allowed, max_bytes, allow_objects).run();
}

RWKV_NAMESPACE_END
