#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What it costs to compile a program that loads a model and generates text, examples/hello.cpp: user CPU seconds, the
least of some runs, and peak memory, at -O2. Once with the headers alone, once for rwkv::compiled, whose sources are
timed as well (they compile in parallel). --check ends with status 1 where a limit of the project is exceeded."""
import argparse
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMITS = {"headers": {"seconds": 20, "mb": 1500}, "compiled": {"seconds": 6, "mb": 1500}}


def compile_once(compiler, flags, source):
    """User CPU seconds and peak memory in MB of one compiler process with its children."""
    command = [compiler, "-std=c++20", "-O2", f"-I{ROOT / 'include'}", *flags, "-c", str(source), "-o", os.devnull]
    _, status, usage = os.wait4(os.spawnvp(os.P_NOWAIT, compiler, command), 0)
    if status != 0:
        sys.exit(f"failed: {' '.join(command)}")
    return usage.ru_utime, usage.ru_maxrss / 1024


def measure(compiler, runs, flags, source):
    results = [compile_once(compiler, flags, source) for _ in range(runs)]
    return {"seconds": round(min(r[0] for r in results), 2), "mb": round(max(r[1] for r in results))}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--eigen", default="/usr/include/eigen3", help="folder of Eigen, for the sources of the library")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    hello = ROOT / "examples" / "hello.cpp"
    results = {"headers": measure(options.compiler, options.runs, [], hello),
               "compiled": measure(options.compiler, options.runs, ["-DRWKV_COMPILED"], hello)}
    for source in sorted((ROOT / "cmake" / "compiled").glob("*.cpp")):
        flags = ["-DRWKV_COMPILED", "-DRWKV_DEFINITIONS=1", f"-I{options.eigen}"]
        results[f"library/{source.stem}"] = measure(options.compiler, 1, flags, source)
    if options.json:
        print(json.dumps({"compiler": options.compiler, **results}, indent=2))
    else:
        for name, result in results.items():
            print(f"{name:20} {result['seconds']:7.2f} s {result['mb']:6} MB")
    exceeded = [f"{name}: {results[name][key]} {key}, at most {limit}"
                for name, limits in LIMITS.items() for key, limit in limits.items() if results[name][key] > limit]
    if options.check and exceeded:
        sys.exit("\n".join(exceeded))


if __name__ == "__main__":
    main()
