// SPDX-License-Identifier: MIT
#include "rwkv/io/pickle.hpp"

#include "io/files.hpp"

using namespace rwkv;
using namespace rwkv_test;
using namespace std::string_literals;

namespace {

constexpr PickleAllowed allowed[] = {{"collections.OrderedDict", true},
                                     {"some.function", true},
                                     {"some.Class"},
                                     {"copyreg._reconstructor", true},
                                     {"builtins.object"}};

PickleGraph parse(const std::string& bytes, bool allow_objects = false) {
  ByteReader input("test.pkl", "pickle", bytes_of(bytes));
  return read_pickle(input, allowed, std::uint64_t{1} << 20, allow_objects);
}

template <class Type>
Type parse_as(const std::string& bytes) {
  const PickleGraph graph = parse(bytes);
  const auto* value = graph.get<Type>(graph.top);
  REQUIRE(value != nullptr);
  return *value;
}

}  // namespace

TEST_SUITE_BEGIN("io/pickle");

TEST_CASE("numbers of every width") {
  CHECK(parse_as<std::int64_t>("K\xff."s) == 255);
  CHECK(parse_as<std::int64_t>("M\xff\xff."s) == 65535);
  CHECK(parse_as<std::int64_t>("J\xff\xff\xff\xff."s) == -1);
  CHECK(parse_as<std::int64_t>("\x8a\x00."s) == 0);
  CHECK(parse_as<std::int64_t>("\x8a\x01\x80."s) == -128);
  CHECK(parse_as<std::int64_t>("\x8a\x02\x80\x00."s) == 128);
  CHECK(parse_as<std::int64_t>("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."s) ==
        std::numeric_limits<std::int64_t>::min());
  CHECK_NOTHROW(parse_as<PickleOther>("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00."s));
  CHECK(parse_as<double>("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s) == 1.5);
  CHECK(parse_as<bool>("\x88."s));
}

TEST_CASE("texts, containers and protocols 2 and 4") {
  const PickleDict protocol2 =
      parse_as<PickleDict>("\x80\x02}q\x00("s + pickled_text("a") + "(K\x01K\x02t" + pickled_text("b") + "](Neu.");
  CHECK(protocol2.items.size() == 4);
  // Texts point into the bytes, so these must stay.
  const std::string bytes =
      "\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01"s + "a\x88\x8c\x01"s + "b\x89u."s;
  const PickleGraph graph = parse(bytes);
  const auto* dict = graph.get<PickleDict>(graph.top);
  REQUIRE(dict != nullptr);
  REQUIRE(dict->items.size() == 4);
  CHECK(*graph.get<std::string_view>(dict->items[2]) == "b");
  CHECK(*graph.get<bool>(dict->items[3]) == false);
  CHECK(parse_as<PickleList>("](K\x01K\x02"s + "eK\x03"s + "a.").items.size() == 3);
  CHECK(parse_as<PickleList>("\x8f(K\x01K\x02\x90."s).items.size() == 2);  // a set
}

TEST_CASE("a stack that is empty where a value is needed is refused") {
  for (const std::string& bytes : {"."s, "0."s, "\x85."s, "K\x01\x86."s, "t."s, "e."s, "(u."s, "]a."s, "K\x01(\x85."s,
                                   "R."s, "NR."s, "q\x00."s, "Q."s, "b."s, "\x93."s, "(."s, "}Ns."s}) {
    CAPTURE(bytes);
    CHECK_THROWS_AS(parse(bytes), FormatError);
  }
}

TEST_CASE("a container holds itself, and a value many references") {
  const PickleGraph graph = parse("}q\x00X\x01\x00\x00\x00"s + "ah\x00s."s);
  CHECK(graph.get<PickleDict>(graph.top)->items[1] == graph.top);
}

TEST_CASE("globals are data: a call is remembered, not made") {
  CHECK(parse_as<PickleGlobal>("csome\nClass\n.").name == "some.Class");
  const PickleGraph graph = parse("\x8c\x04some\x8c\x08"s + "function\x93(K\x05tR."s);
  const auto* call = graph.get<PickleCall>(graph.top);
  REQUIRE(call != nullptr);
  CHECK(call->function == "some.function");
  CHECK(graph.get<PickleTuple>(call->arguments)->items.size() == 1);
  CHECK(parse_as<PickleDict>("ccollections\nOrderedDict\n)R}b.").items.empty());
}

TEST_CASE("other globals and other calls are refused by name and place") {
  CHECK_THROWS_WITH_AS(parse("\x80\x02"s + "cos\nsystem\n(X\x02\x00\x00\x00lstR."s),
                       doctest::Contains("opcode 0x63 at byte 2: global 'os.system' is not allowed"), FormatError);
  CHECK_THROWS_WITH_AS(parse("csome\nClass\n)R."), doctest::Contains("calls 'some.Class'"), FormatError);
  CHECK_THROWS_WITH_AS(parse("csome.fun\nction\n)R."), doctest::Contains("some.fun.ction"), FormatError);
  CHECK_THROWS_WITH_AS(parse("csome\nfunc"), doctest::Contains("does not end"), FormatError);
  CHECK_THROWS_WITH_AS(parse("K\x01"s + ")R."), doctest::Contains("needs a global"), FormatError);
  CHECK_THROWS_WITH_AS(parse("(ios\nsystem\n."), doctest::Contains("opcode 0x69 at byte 1"), FormatError);
  CHECK_THROWS_WITH_AS(parse("\x80\x01."s), doctest::Contains("expected 2 to 5, found 1"), FormatError);
}

TEST_CASE("a pickled module is told from an attack") {
  for (const std::string& memo : {""s, "q\x00"s, "r\x00\x00\x00\x00"s, "\x94"s}) {
    CHECK_THROWS_WITH_AS(parse("csrc.model\nGPT\n" + memo + ")\x81}b."), doctest::Contains("'src.model.GPT'"),
                         UnsupportedError);
  }
  CHECK_THROWS_AS(parse("(X\x06\x00\x00\x00"s + "modulecsrc.model\nGPT\n"), UnsupportedError);
}

TEST_CASE("an object is the name of its class and its attributes") {
  const std::string attributes = "}" + pickled_text("x") + "K\x05sb.";
  for (const std::string& made :
       {"csrc.model\nGPT\n)\x81"s, "csrc.model\nGPT\nq\x00)\x81"s, "\x8c\x09src.model\x8c\x03GPT\x93\x94)\x81"s,
        "ccopyreg\n_reconstructor\n(csrc.model\nGPT\ncbuiltins\nobject\nNtR"s,
        "(X\x06\x00\x00\x00modulecsrc.model\nGPT\nX\x00\x00\x00\x00X\x00\x00\x00\x00tQ)\x81"s}) {
    CAPTURE(made);
    const std::string bytes = made + attributes;  // texts point into the bytes, so these must stay
    const PickleGraph graph = parse(bytes, true);
    const auto* object = graph.get<PickleObject>(graph.top);
    REQUIRE(object != nullptr);
    CHECK(graph.get<PickleClass>(object->type)->module == "src.model");
    CHECK(graph.get<PickleClass>(object->type)->name == "GPT");
    REQUIRE(object->state.has_value());
    CHECK(graph.get<PickleDict>(*object->state)->items.size() == 2);
    CHECK_THROWS_AS(parse(bytes), UnsupportedError);
  }
}

TEST_CASE("a class outside of the list is good for objects without arguments and nothing else") {
  struct Case {
    std::string bytes, phrase;
  };
  for (const Case& each :
       {Case{"cos\nsystem\n.", "global 'os.system' is not allowed"},
        Case{"cos\nsystem\nq\x00."s, "global 'os.system' is not allowed"},
        Case{"cos\nsystem\n)R.", "global 'os.system' is not allowed"},
        Case{"cos\nsystem\nK\x01\x85\x81."s, "global 'os.system' is not allowed"},
        Case{"cos\nsystem\nq\x00)\x81h\x00K\x01\x85R."s, "calls 'os.system'"},
        Case{"cos\nsystem\nq\x00)\x81h\x00K\x01\x85\x81."s, "calls 'os.system'"},
        Case{"cos\nsystem\nq\x00)\x81h\x00)R."s, "calls 'os.system'"},
        Case{"cos\nsystem\nq\x00)\x81h\x00}b."s, "sets attributes"}, Case{"cos\nsystem\n)\x81)R.", "needs a global"},
        Case{"cos\nsystem\n)\x81K\x01"s + "a.", "no list"},
        Case{"ccopyreg\n_reconstructor\n(cos\nsystem\ntR.", "an object without a class"},
        Case{"ccopyreg\n_reconstructor\n(cbuiltins\nobject\nNNtR.", "an object without a class"},
        Case{"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncos\nsystem\nNtR.", "'os.system'"}}) {
    CAPTURE(each.bytes);
    CHECK_THROWS_WITH_AS(parse(each.bytes, true), doctest::Contains(each.phrase.c_str()), FormatError);
  }
}

TEST_CASE("memo slots and lengths are in proportion to the file") {
  CHECK_THROWS_WITH_AS(parse("Nr\xff\xff\xff\xff."s), doctest::Contains("slot 4294967295"), FormatError);
  CHECK_THROWS_WITH_AS(parse("h\x07."s), doctest::Contains("never stored"), FormatError);
  CHECK_THROWS_WITH_AS(parse("\x8d\x00\x00\x00\x00\x00\x00\x00\x10."s),
                       doctest::Contains("expected 1152921504606846976"), FormatError);
  CHECK_THROWS_WITH_AS(parse(std::string(100'000, '}')), doctest::Contains("more objects"), FormatError);
  CHECK_THROWS_AS(parse(")" + std::string(100'000, '\x85') + "."), FormatError);
  CHECK_THROWS_WITH_AS(parse(std::string(100'000, '(')), doctest::Contains("nested too deeply"), FormatError);
  CHECK_THROWS_AS(parse("NNN"), FormatError);
}

TEST_CASE("random opcodes give a graph or an error") {
  const std::string opcodes = "\x80\x95(0N\x88\x89JKM\x8aGX\x8c\x8d" + std::string("BC)]}\x8f\x85\x86\x87taesu\x90") +
                              "c\x93QR\x81" + "bqr\x94hj.";
  Random random(3);
  int n_graphs = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes;
    for (std::uint64_t n = random.next() % 24; n-- > 0;) {
      bytes += random.next() % 4 == 0 ? static_cast<char>(random.next() % 6) : opcodes[random.next() % opcodes.size()];
    }
    CAPTURE(i);
    try {
      const PickleGraph graph = parse(bytes, i % 2 == 0);
      REQUIRE(graph.top < graph.values.size());
      ++n_graphs;
    } catch (const Error&) {
    }
  }
  CHECK(n_graphs > 20);  // most are nonsense, some are not
}

TEST_SUITE_END();
