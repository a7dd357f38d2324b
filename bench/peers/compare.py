#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the GGUF files of `rwkv convert` load in llama.cpp and give the same logits there.

Each model is converted to each type; both programs read the same tokens one by one, then go on with the most likely
ones. Printed: the largest difference of a logit over the largest logit, and how many most likely tokens agree. What is
compared is exact but for rounding where the type is f32 (llama.cpp rounds activations to the type of the weights, to
8 bits for blocks). Ends with status 1 if a model does not load, or differs by more than --tolerance in f32.

Needs what run.py needs, and everything is put in --work, too.

    python3 bench/peers/compare.py --rwkv build/release/bin/rwkv examples/models/fairy-tales-v7.safetensors
"""
import argparse
import array
import json
import pathlib
import random
import struct
import sys

from run import HERE, ROOT, prepare, run


def read_logits(path):
    """The tensor `logits` of a safetensors file: (n_tokens, n_vocab), numbers."""
    data = path.read_bytes()
    n_header = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8:8 + n_header])["logits"]
    begin, end = (8 + n_header + offset for offset in entry["data_offsets"])
    return entry["shape"], array.array("f", data[begin:end])


def best(logits, n_vocab):
    return [max(range(i, i + n_vocab), key=logits.__getitem__) - i for i in range(0, len(logits), n_vocab)]


def continue_greedily(rwkv, model, tokens, n_generated, work):
    """The most likely tokens, each after all before it, in the way of our program."""
    found, state = [], work / "state.safetensors"
    out = work / "step.safetensors"
    todo, state_in = tokens, []
    for _ in range(n_generated):
        run([rwkv, "logits", "-m", model, "--exact", "--tokens", ",".join(map(str, todo)), *state_in, "--state-out",
             state, "--out", out])
        (_, n_vocab), logits = read_logits(out)
        found.append(best(logits[-n_vocab:], n_vocab)[0])
        todo, state_in = found[-1:], ["--state-in", state]
    return found


def compare(arguments, llama_logits, libraries, model, dtype):
    """A row of the table, and the largest difference."""
    work = arguments.work
    gguf = work / f"compare-{dtype}.gguf"
    run([arguments.rwkv, "convert", model, gguf, "--dtype", dtype, "--quiet"])
    n_vocab = json.loads(run([arguments.rwkv, "inspect", gguf, "--json"]))["n_vocab"]
    random.seed(1)
    tokens = [random.randrange(1, n_vocab) for _ in range(arguments.tokens)]
    ours, theirs = work / "ours.safetensors", work / "theirs.f32"
    listed = ",".join(map(str, tokens))
    run([arguments.rwkv, "logits", "-m", gguf, "--exact", "--mode", "step", "--tokens", listed, "--out", ours])
    generated = json.loads(run([llama_logits, gguf, libraries, listed, arguments.gen, theirs]))
    expected = continue_greedily(arguments.rwkv, gguf, tokens, arguments.gen, work)
    _, a = read_logits(ours)
    b = array.array("f", theirs.read_bytes())
    if len(a) != len(b):
        sys.exit(f"{model}: {len(a)} logits here, {len(b)} in llama.cpp")
    difference = max(abs(x - y) for x, y in zip(a, b)) / max(map(abs, a))
    same = sum(x == y for x, y in zip(best(a, n_vocab), best(b, n_vocab)))
    n_greedy = next((i for i, (x, y) in enumerate(zip(expected, generated)) if x != y), arguments.gen)
    gguf.unlink()
    return (f"| {pathlib.Path(model).stem} | {dtype} | {difference:.1e} | {same} of {arguments.tokens} | "
            f"{n_greedy} of {arguments.gen} |"), difference


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="of RWKV-6 or 7")
    parser.add_argument("--rwkv", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "rwkv")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "peers")
    parser.add_argument("--dtypes", nargs="+", default=["f32", "f16", "bf16", "q8_0", "q4_0"])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--gen", type=int, default=16)
    parser.add_argument("--tolerance", type=float, default=1e-4,
                        help="for f32: a few hundred roundings of 6e-8 each; 1e-4 leaves room for models that enlarge them")
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()
    libraries = prepare(arguments.work)
    needed = [next(libraries.glob(pattern)) for pattern in ("libllama.v*.so", "libggml.v*.so", "libggml-base.so")]
    sources, llama_logits = arguments.work / "llama.cpp", arguments.work / "llama_logits"
    run(["g++", "-std=c++20", "-O2", f"-I{sources}/include", f"-I{sources}/ggml/include", HERE / "llama_logits.cpp", *needed,
         f"-Wl,-rpath,{libraries}", "-o", llama_logits])
    print("| model | type | largest difference | same most likely token | greedy tokens until they differ |")
    print("| --- | --- | --- | --- | --- |")
    is_good = True
    for model in arguments.models:
        for dtype in arguments.dtypes:
            row, difference = compare(arguments, llama_logits, libraries, model, dtype)
            print(row, flush=True)
            is_good = is_good and (dtype != "f32" or difference <= arguments.tolerance)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
