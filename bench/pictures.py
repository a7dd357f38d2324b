#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures with `rwkv bench` and draws, as SVG beside this file:

context.svg  tokens a second of decode after contexts of growing length, each with a context of 100 in turns
batch.svg    tokens a second of decode of several sequences together

    python3 bench/pictures.py context batch --rwkv build/compiled/bin/rwkv

A point is the median of some runs, the bar on it goes from the least to the most. Weights are random."""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
WIDTH, HEIGHT, LEFT, RIGHT, ABOVE, BELOW = 720, 380, 70, 132, 44, 66
COLOURS = ["#3b82c4", "#d0722f"]  # readable on white and on black, as is the grey of everything else
GREY = "#7d858e"


def bench(options, shape, *flags):
    command = [options.rwkv, "bench", "--synthetic", shape, "--prompt", "0", "--json", *map(str, flags)]
    result = subprocess.run(command, text=True, capture_output=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stderr}")
    print(result.stdout, file=sys.stderr)  # so that a figure in a picture can be looked up
    return json.loads(result.stdout)


def short(number):
    return f"{number // 1024} k" if number >= 1024 else str(number)


def ticks(highest):
    """Round numbers from 0 to the first one that is not below the highest value."""
    least = highest / 6
    power = 10 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least)
    return [step * i for i in range(math.ceil(highest / step) + 1)]


def text(x, y, words, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>'


def draw(title, x_label, caption, curves):
    """curves: [(name, {x: values of the runs})]; powers of two along x, tokens a second along y."""
    xs = sorted({x for _, points in curves for x in points})
    y_ticks = ticks(max(max(values) for _, points in curves for values in points.values()))
    at_x = lambda x: LEFT + 12 + math.log2(x / xs[0]) / math.log2(xs[-1] / xs[0]) * (WIDTH - LEFT - RIGHT - 24)
    at_y = lambda y: ABOVE + (1 - y / y_ticks[-1]) * (HEIGHT - ABOVE - BELOW)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             f'font-size="13" fill="{GREY}">',
             text(LEFT, 22, title, 'font-size="15" font-weight="bold"')]
    for y in y_ticks:
        lines.append(f'<path d="M{LEFT} {at_y(y):.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-opacity="0.3"/>')
        lines.append(text(LEFT - 8, at_y(y) + 4, f"{y:g}", 'text-anchor="end"'))
    for x in xs:
        lines.append(text(at_x(x), HEIGHT - BELOW + 18, short(x), 'text-anchor="middle"'))
    middle = (LEFT + WIDTH - RIGHT) / 2
    lines.append(text(middle, HEIGHT - BELOW + 38, x_label, 'text-anchor="middle"'))
    lines.append(text(middle, HEIGHT - 8, caption, 'text-anchor="middle" font-size="11"'))
    middle = (ABOVE + HEIGHT - BELOW) / 2
    lines.append(text(16, middle, "tokens/s", f'text-anchor="middle" transform="rotate(-90 16 {middle})"'))
    label_y = -math.inf
    ends = sorted(zip(curves, COLOURS), key=lambda each: -statistics.median(each[0][1][xs[-1]]))
    for i, ((name, points), colour) in enumerate(ends):  # from the top, so that labels can give way downwards
        beside = 6 * i - 3  # bars of two curves must not hide each other
        medians = [(at_x(x) + beside, at_y(statistics.median(points[x]))) for x in xs]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in medians)
        lines.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, (point_x, point_y) in zip(xs, medians):
            bar = f"M{point_x:.1f} {at_y(min(points[x])):.1f}V{at_y(max(points[x])):.1f}"
            lines.append(f'<path d="{bar}" stroke="{colour}" stroke-width="2" stroke-opacity="0.5"/>')
            lines.append(f'<circle cx="{point_x:.1f}" cy="{point_y:.1f}" r="3.5" fill="{colour}"/>')
        label_y = max(medians[-1][1] + 4, label_y + 34)
        lines.append(text(WIDTH - RIGHT + 4, label_y, name, f'fill="{colour}"'))
        lines.append(text(WIDTH - RIGHT + 4, label_y + 15, f"{statistics.median(points[xs[-1]]):.0f} tokens/s",
                          f'fill="{colour}"'))
    return "\n".join(lines + ["</svg>\n"])


def conditions(result):
    return f"{result['model']}, {result['threads']} threads, {result['isa']}"


def context(options):
    """The smallest model: what a context costs cannot hide behind the weights, and 128 k tokens are read in seconds."""
    lengths = [1024 << i for i in range(8)]
    after, base = {length: [] for length in lengths}, {length: [] for length in lengths}
    for _ in range(options.runs):
        for length in lengths:
            result = bench(options, options.context_model, "--gen", 1000, "--context", length)
            rate = result["context_decode_tokens_per_second"]
            after[length].append(rate)
            base[length].append(rate * result["context_decode_seconds_ratio"])
    return draw("Decode after a long text", "tokens in the context", f"{conditions(result)}, {result['dtype']}",
                [("after the context", after), ("after 100 tokens", base)])


def batch(options):
    sizes = [1, 2, 4, 8, 16, 32]
    curves = {dtype: {size: [] for size in sizes} for dtype in ("q8_0", "bf16")}
    for _ in range(options.runs):
        for size in sizes:
            for dtype, points in curves.items():
                result = bench(options, options.batch_model, "--dtype", dtype, "--gen", 20, "--batch", size)
                points[size].append(result["decode_tokens_per_second"])
    return draw("Decode of several sequences together", "sequences", conditions(result), list(curves.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pictures = {"context": context, "batch": batch}
    parser.add_argument("pictures", nargs="+", choices=pictures)
    parser.add_argument("--rwkv", default=HERE.parent / "build" / "compiled" / "bin" / "rwkv")
    parser.add_argument("--context-model", default="v7-nano", help="a shape that `rwkv bench --synthetic` knows")
    parser.add_argument("--batch-model", default="v7-0.1B")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    for name in options.pictures:
        (HERE / f"{name}.svg").write_text(pictures[name](options))


if __name__ == "__main__":
    main()
