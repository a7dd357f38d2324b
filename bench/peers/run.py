#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times `rwkv bench` and llama.cpp in turns on the same synthetic weights, and prints their ratio.

llama.cpp is the prebuilt library in npm's package node-llama-cpp, which also has the sources that its headers are
taken from. Needs npm, git, a C++ compiler, libeigen3-dev. Everything is put in --work.

    python3 bench/peers/run.py --rwkv build/release/bin/rwkv --shapes v7-0.1B --dtypes bf16 q8_0 q4_0
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

PACKAGE = "node-llama-cpp@3.22.1"
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def run(command, **options):
    result = subprocess.run([str(part) for part in command], text=True, capture_output=True, **options)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def prepare(work):
    """The programs llama_cpp and write_synthetic in the folder `work`, and the folder of llama.cpp's backends."""
    work.mkdir(parents=True, exist_ok=True)
    package = work / "node_modules" / "node-llama-cpp"
    if not package.exists():
        run(["npm", "install", "--ignore-scripts", "--no-fund", "--no-audit", PACKAGE], cwd=work)
    libraries = work / "node_modules" / "@node-llama-cpp" / "linux-x64" / "bins" / "linux-x64"
    sources = work / "llama.cpp"
    if not sources.exists():
        run(["git", "clone", "--quiet", package / "llama" / "gitRelease.bundle", sources])
    needed = [next(libraries.glob(pattern)) for pattern in ("libllama.v*.so", "libggml.v*.so", "libggml-base.so")]
    compiler = ["g++", "-std=c++20", "-O2"]
    run([*compiler, f"-I{sources}/include", f"-I{sources}/ggml/include", HERE / "llama_cpp.cpp", *needed,
         f"-Wl,-rpath,{libraries}", "-o", work / "llama_cpp"])
    run([*compiler, f"-I{ROOT}/include", "-I/usr/include/eigen3", HERE / "write_synthetic.cpp", "-lpthread", "-o",
         work / "write_synthetic"])
    return libraries


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rwkv", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "rwkv")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "peers")
    parser.add_argument("--shapes", nargs="+", default=["v7-0.1B"], help="of RWKV-7: llama.cpp has no older than 6")
    parser.add_argument("--dtypes", nargs="+", default=["bf16", "q8_0", "q4_0"])
    parser.add_argument("--rwkv-flags", default="", help="for rwkv only: --rwkv-flags='--interleave --isa avx2'")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--gen", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    libraries = prepare(work)

    counts = [str(arguments.prompt), str(arguments.gen)]
    flags = arguments.rwkv_flags.split()
    print("| model | decode: rwkv, llama.cpp tokens/s | ratio (least .. most) | prompt: rwkv, llama.cpp | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for shape in arguments.shapes:
        for dtype in arguments.dtypes:
            model = work / f"{shape}-{dtype}.gguf"
            if not model.exists():
                run([work / "write_synthetic", shape, dtype, model])
            ours, theirs = [], []
            for _ in range(arguments.runs):
                ours.append(json.loads(run([arguments.rwkv, "bench", "-m", model, "--threads", arguments.threads,
                                            "--prompt", counts[0], "--gen", counts[1], "--json", *flags])))
                theirs.append(json.loads(run([work / "llama_cpp", model, libraries, arguments.threads, *counts])))
            cells = [f"{shape} {dtype}"]
            for key in ("decode_tokens_per_second", "prompt_tokens_per_second"):
                pairs = [(a[key], b[key]) for a, b in zip(ours, theirs)]
                if any(b == 0 for _, b in pairs):
                    cells += ["-", "-"]
                    continue
                cells.append(", ".join(f"{statistics.median(column):.1f}" for column in zip(*pairs)))
                cells.append(spread([a / b for a, b in pairs]))
            print("| " + " | ".join(cells) + " |", flush=True)
            model.unlink()


if __name__ == "__main__":
    main()
