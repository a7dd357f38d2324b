// SPDX-License-Identifier: MIT
// rwkv inspect --html, as a user runs it and as a browser shows it.
#include <csignal>
#include <nlohmann/json.hpp>

#include "examples/program.hpp"
#include "rwkv/arch/synthetic.hpp"
#include "rwkv/io/write.hpp"
#include "rwkv/load.hpp"
#include "rwkv/state/state_file.hpp"
#include "support/small_models.hpp"

using namespace rwkv_test;

namespace {

constexpr int error = 1, wrong_usage = 2;

using nlohmann::json;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

json data_of(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"data\">";
  const std::size_t first = page.find(begin) + begin.size();
  return json::parse(page.substr(first, page.find("</script>", first) - first));
}

/// The page that the program makes with these arguments.
std::string page_of(const std::string& arguments) {
  const TemporaryFile out(".html");
  const Result result = program("inspect --html " + out.path() + " " + arguments);
  CAPTURE(arguments);
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  CHECK(result.out.empty());
  CHECK(result.err.empty());
  return read_file(out.path());
}

/// A small model of a generation over bytes, in a file.
class ByteModel {
public:
  explicit ByteModel(rwkv::Generation generation) {
    rwkv::Config config = small_model(generation);
    config.n_vocab = 256;
    if (config.n_ctx > 0) config.n_ctx = std::max<rwkv::Index>(config.n_ctx, 12);
    rwkv::write_safetensors(rwkv::synthetic(config, rwkv::DType::f32, 5), file_.path());
  }
  [[nodiscard]] const std::string& path() const { return file_.path(); }

private:
  TemporaryFile file_{".safetensors"};
};

/// The text of the tokens of a page.
std::string text_of(const json& data) {
  std::string text;
  for (const json& token : data["text"]["tokens"]) text += token[0].is_array() ? token[0][0] : token[0];
  return text;
}

/// What a browser makes of a page, with a script of the test's own after that of the page, or nothing where there is no
/// browser. Anything that the page logs is an error.
std::optional<std::string> shown(std::string page, const std::string& script = "") {
  for (const std::string browser : {"chromium", "chromium-browser", "google-chrome"}) {
    if (shell("command -v " + browser).status != 0) continue;
    const TemporaryFolder folder;
    page.insert(page.rfind("</body>"), "<script>" + script + "</script>");
    write_file(folder / "page.html", page);
    const Result result = shell(
        "timeout 120 " + browser + " --headless --no-sandbox --disable-gpu --user-data-dir=" + (folder / "profile") +
        " --enable-logging=stderr --virtual-time-budget=5000 --dump-dom file://" + (folder / "page.html"));
    CAPTURE(result.err);
    CHECK(result.status == 0);
    CHECK(count(result.err, "CONSOLE") == 0);
    return result.out.substr(0, result.out.find("<script type=\"application/json\""));  // without scripts and data
  }
  return std::nullopt;
}

#define RWKV_NEEDS_BROWSER(dom)                            \
  do {                                                     \
    if (!(dom)) {                                          \
      std::printf("SKIPPED: there is no Chromium here\n"); \
      return;                                              \
    }                                                      \
  } while (false)

}  // namespace

TEST_SUITE_BEGIN("examples/inspect_page");

TEST_CASE("the page of the model in the program has all pictures, and needs no other file") {
  const std::string page = page_of("");
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(page.ends_with("</html>\n"));
  for (const char* const outside : {" src=", "href", "url(", "@import", "fetch(", "XMLHttpRequest", "https:"}) {
    CAPTURE(outside);
    CHECK(page.find(outside) == page.npos);
  }
  CHECK(count(page, "http:") == count(page, "'http://www.w3.org/2000/svg'"));  // a name
  CHECK(page.find("default-src 'none'") != page.npos);
  const json data = data_of(page);
  CHECK(data["generation"] == "7");
  CHECK(data["half_life"]["source"] == "text");
  const json layers = data["half_life"]["layers"];
  REQUIRE(layers.size() == data["n_layer"]);
  for (const json& layer : layers) {
    double sum = 0;
    for (const json& share : layer["bins"]) sum += share.get<double>();
    CHECK(sum == doctest::Approx(1).epsilon(0.01));
    CHECK(std::ranges::is_sorted(layer["quantiles"]));
    CHECK(layer["quantiles"][0] > 1.14);  // ln 2 e^(1/2)
  }
  CHECK(text_of(data).starts_with("Once upon a time"));
  CHECK(data["norms"]["layers"].size() == data["n_layer"]);
  CHECK(data["norms"]["layers"][0][0].size() == data["norms"]["after"].size());
  CHECK(data["state"]["layers"].size() == data["n_layer"]);
  CHECK(data["zeros"].size() == data["n_layer"]);
  for (const json& share : data["zeros"]) CHECK(share > 0.5);
}

TEST_CASE("bits per byte and perplexity are those of rwkv eval") {
  const std::string v4 = fixture("../../examples/models/fairy-tales-v4.safetensors");
  const TemporaryFile text(".txt");
  write_file(text.path(), "There was once a poor miller who had a beautiful daughter.\n");
  const json expected = json::parse(program("eval perplexity " + text.path() + " --json -m " + v4).out);
  const json found = data_of(page_of("-m " + v4 + " --prompt-file " + text.path()))["text"];
  CHECK(found["bits_per_byte"].get<double>() == doctest::Approx(expected["bits_per_byte"].get<double>()).epsilon(1e-5));
  CHECK(found["perplexity"].get<double>() == doctest::Approx(expected["perplexity"].get<double>()).epsilon(1e-5));
  CHECK(found["n_scored"] == expected["n_tokens"]);
  double bits = 0;
  for (const json& token : found["tokens"]) bits += token.size() > 2 ? token[2].get<double>() : 0;
  CHECK(bits == doctest::Approx(found["bits"].get<double>()).epsilon(1e-3));
}

TEST_CASE("every generation has a page, with what applies to it") {
  for (const rwkv::Config& config : small_models()) {
    CAPTURE(rwkv::name(config.generation));
    const ByteModel model(config.generation);
    const json data = data_of(page_of(model.path() + " -p 'ten bytes.'"));
    CHECK(data["generation"] == rwkv::name(config.generation));
    CHECK(text_of(data) == "ten bytes.");
    const bool is_first = config.generation == rwkv::Generation::v1;
    const char* const source = is_first ? "none" : config.generation < rwkv::Generation::v6 ? "weights" : "text";
    CHECK(data["half_life"]["source"] == source);
    CHECK(data.contains("state") == !is_first);
    CHECK(data["zeros"][0].is_null() == is_first);
    if (config.has_ffn_pre) CHECK(data["half_life"]["layers"][0].is_null());
    const json without = data_of(page_of(model.path()));
    CHECK_FALSE(without.contains("text"));
    CHECK_FALSE(without.contains("state"));
    CHECK(without["half_life"]["source"] == (std::string(source) == "text" ? "bias" : source));
  }
}

TEST_CASE("a text cannot break out of the data, and what is no UTF-8 is escaped") {
  const ByteModel model(rwkv::Generation::v4);
  const TemporaryFile text(".txt");
  const std::string hostile = "</script><script>alert(1)</script><!-- & \\x41\n\t";
  write_file(text.path(), hostile + "\xff\xc3\x01");
  const std::string page = page_of(model.path() + " --prompt-file " + text.path());
  CHECK(count(page, "</script>") == 3);
  CHECK(count(page, "<!--") == 1);
  CHECK(page.find("alert(1)</") == page.npos);
  const json data = data_of(page);
  CHECK(text_of(data) == hostile + "\\xff\\xc3\\x01");
  const json& tokens = data["text"]["tokens"];
  CHECK(tokens[hostile.size()][0] == json::array({"\\xff", true}));
  CHECK(tokens[hostile.size() - 2][0] == "\n");
}

TEST_CASE("a text that is too long is read as far as a page goes, which the page says") {
  const ByteModel model(rwkv::Generation::v7);
  const std::string piped = "yes | head -c 5000 | " + std::string(RWKV_PROGRAM) + " inspect " + model.path();
  const TemporaryFile out(".html");
  CHECK(shell(piped + " --prompt-file - --html " + out.path()).status == 0);
  const json data = data_of(read_file(out.path()));
  CHECK(data["text"]["n_tokens"] == 2000);
  CHECK(data["text"]["n_left_out"] == 3000);
  CHECK(data["text"]["tokens"].size() == 2000);
  CHECK(data["norms"]["after"].size() <= 256);
  CHECK(data["norms"]["after"].back() == 2000);
  const ByteModel limited(rwkv::Generation::v1);  // reads no more than its context
  CHECK(data_of(page_of(limited.path() + " -p 'more than twelve bytes'"))["text"]["n_left_out"] == 10);
}

TEST_CASE("wrong usage and what cannot be shown are told, and no file is left") {
  const ByteModel model(rwkv::Generation::v7);
  const TemporaryFolder folder;
  const std::string out = folder / "out.html", html = "inspect --html " + out + " ";
  check_error("inspect -p text", wrong_usage, "--html");
  check_error("inspect --prompt-file text", wrong_usage, "--html");
  check_error("inspect --html ''", wrong_usage, "must not be empty");
  check_error(html + "--json", wrong_usage, "--json");
  check_error(html + "-p a --prompt-file b", wrong_usage, "--prompt");
  check_error(html + model.path() + " -m " + model.path(), wrong_usage, "FILE");
  check_error(html + model.path() + " -p ''", wrong_usage, "text: is empty");
  check_error(html + model.path() + " --prompt-file /nonexistent", error, "/nonexistent");
  check_error(html + "/nonexistent", error, "/nonexistent");
  check_error("inspect --html " + (folder / "none/out.html") + " " + model.path(), error, "cannot create");
  check_error("inspect --html " + model.path() + " " + model.path(), wrong_usage, "--html and FILE are the same file");
  const TemporaryFile state(".state"), other(".safetensors");
  rwkv::save_state(rwkv::load_model(model.path()).new_state(), state.path());
  check_error(html + state.path(), wrong_usage, "found a State");
  rwkv::write_safetensors(rwkv::synthetic(small_model(rwkv::Generation::v7), rwkv::DType::f32, 1), other.path());
  const std::string vocabulary = fixture("../../examples/models/fairy-tales.vocab");
  check_error(html + other.path() + " -p text --tokenizer " + vocabulary, wrong_usage, "does not belong to the model");
  CHECK(folder.n_files() == 0);
  write_file(out, "as it was");
  check_error(html + "/nonexistent", error, "/nonexistent");
  CHECK(read_file(out) == "as it was");
  CHECK(program(html + model.path()).status == 0);  // a finished page takes its place
  CHECK(read_file(out).starts_with("<!doctype html>"));
  CHECK(folder.n_files() == 1);
}

TEST_CASE("a signal while a page is written leaves it whole or not at all") {
  const ByteModel model(rwkv::Generation::v7);
  const TemporaryFolder folder;
  const std::string out = folder / "out.html";
  // The text comes when it is known that the page can be written; the next temporary file is the page's.
  const std::string wait = "while kill -0 $! && set -- " + out + ".partial-* && [ ! -e $1 ]; do :; done 2>/dev/null; ";
  const Result result =
      shell("{ sleep 1; yes | head -c 2000; } | " + std::string(RWKV_PROGRAM) + " inspect --html " + out + " " +
            model.path() + " --prompt-file - & sleep 0.9; " + wait + "kill -TERM $!; wait $!");
  const bool is_written = result.status == 0;
  CAPTURE(result.status);
  CHECK((is_written || result.status == 128 + SIGTERM));
  CHECK(std::filesystem::exists(out) == is_written);
  CHECK(folder.n_files() == (is_written ? 1 : 0));
}

TEST_CASE("Ctrl-C ends the reading, and no file is left") {
  const TemporaryFolder folder;
  const std::string model = folder / "model.safetensors";
  rwkv::write_safetensors(rwkv::synthetic({rwkv::Generation::v4, 4, 512, 512, 2048, 0, 0, 256}, rwkv::DType::bf16, 1),
                          model);
  // 2000 tokens take tens of seconds this way.
  const Result result =
      shell("yes | head -c 2000 | timeout --preserve-status --signal=INT 1 " + std::string(RWKV_PROGRAM) +
            " inspect --threads 1 --isa scalar --html " + (folder / "out.html") + " " + model + " --prompt-file -");
  CHECK(result.status == 130);
  CHECK(result.err.empty());
  CHECK(folder.n_files() == 1);
}

TEST_CASE("a browser shows every token, curve and bar, and has nothing to complain about") {
  const std::string page = page_of("");
  const json data = data_of(page);
  const auto dom = shown(page);
  RWKV_NEEDS_BROWSER(dom);
  const auto n_layer = data["n_layer"].get<std::size_t>(), n_head = data["norms"]["layers"][0].size();
  CHECK(count(*dom, "data-place=") == data["text"]["tokens"].size());
  CHECK(count(*dom, "<polyline") == n_layer + n_head);
  CHECK(count(*dom, "<canvas") == 2 + n_head);
  CHECK(count(*dom, "<figure") == n_head);
  CHECK(count(*dom, "<tr class=\"layer\"") == n_layer);
  CHECK(count(*dom, "<tr class=\"candidate\"") == 2 * 5);
  CHECK(dom->find("<title>demo model: rwkv inspect</title>") != dom->npos);
  CHECK(dom->find("bits per byte") != dom->npos);
  CHECK(dom->find("NaN") == dom->npos);
  CHECK(dom->find("undefined") == dom->npos);
}

TEST_CASE("a browser shows the pages that differ, and those without a text") {
  using enum rwkv::Generation;  // no decay; with ffnPre; a decay for each head; matrices
  for (const rwkv::Generation generation : {v1, v3, v5_0, v6}) {
    CAPTURE(rwkv::name(generation));
    const bool is_first = generation == v1;
    const ByteModel model(generation);
    const auto dom = shown(page_of(model.path() + " -p '<b>ten'"));
    RWKV_NEEDS_BROWSER(dom);
    CHECK(count(*dom, "data-place=") == 6);
    CHECK(count(*dom, "&lt;</span>") == 1);
    CHECK((dom->find("There is no half-life to show") != dom->npos) == is_first);
    CHECK((dom->find("nothing to show") != dom->npos) == is_first);
    CHECK((dom->find("Nothing was counted") != dom->npos) == is_first);
    CHECK((count(*dom, "<polyline") > 0) == !is_first);
  }
  const auto dom = shown(page_of(ByteModel(rwkv::Generation::v6).path()));
  CHECK(count(*dom, "No text was read") == 4);  // for half-lives, too
  CHECK(count(*dom, "<canvas") == 2);
}

TEST_CASE("pictures answer to the pointer and to the keyboard") {
  const std::string script = R"(
    const key = (target, key) => target.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    const log = [];
    const read = () => log.push(document.querySelector('.readout').textContent);
    const canvas = document.querySelector('canvas');
    for (const each of ['ArrowRight', 'ArrowDown']) { key(canvas, each); read(); }
    const tokens = document.querySelectorAll('.token');
    tokens[3].focus();
    key(tokens[3], 'ArrowRight');
    log.push(document.querySelector('.detail').textContent);
    tokens[7].dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));
    log.push(document.querySelector('.detail').textContent);
    const select = document.querySelector('select');
    select.value = '1';
    select.dispatchEvent(new Event('change'));
    log.push(document.querySelector('.heads canvas').getAttribute('aria-label'));
    document.title = JSON.stringify(log);
  )";
  const std::string page = page_of("");
  const auto dom = shown(page, script);
  RWKV_NEEDS_BROWSER(dom);
  const std::size_t begin = dom->find("<title>") + 7;
  const json log = json::parse(dom->substr(begin, dom->find("</title>") - begin));
  REQUIRE(log.size() == 5);
  CHECK(log[0].get<std::string>().starts_with("Layer 0: "));
  CHECK(log[1].get<std::string>().starts_with("Layer 1: "));
  const json tokens = data_of(page)["text"]["tokens"];
  const auto head = [&](std::size_t place) {
    return "Token " + std::to_string(place + 1) + ": " + tokens[place][0].get<std::string>() + " (id " +
           std::to_string(tokens[place][1].get<int>()) + ")";
  };
  CHECK(log[2].get<std::string>().starts_with(head(4)));
  CHECK(log[3].get<std::string>().starts_with(head(7)));
  CHECK(log[4].get<std::string>().starts_with("Heat map of layer 1, head 0"));
}

TEST_SUITE_END();
