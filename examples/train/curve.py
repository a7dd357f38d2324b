#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws the logs of train.py as one picture: bits per byte of the validation text over the tokens that were read.

    curve.py RWKV-7=run7/log.csv RWKV-4=run4/log.csv --out curve.svg"""
import argparse
import csv

WIDTH, HEIGHT, LEFT, BELOW, ABOVE = 720, 360, 56, 44, 16
COLOURS = ["#1b6ca8", "#c8553d", "#3a7d44"]


def read(path, tokens_per_step):
    with open(path, newline="") as file:
        return [(int(step) * tokens_per_step / 1e6, float(bits)) for step, _, _, bits in csv.reader(file)]


def ticks(low, high, step):
    return [step * i for i in range(int(low / step), int(high / step) + 2) if low <= step * i <= high]


def draw(curves):
    right = max(x for _, points in curves for x, _ in points)
    low, high = min(y for _, points in curves for _, y in points) - 0.02, 1.8
    at_x = lambda x: LEFT + x / right * (WIDTH - LEFT - 16)
    at_y = lambda y: ABOVE + (high - min(y, high)) / (high - low) * (HEIGHT - ABOVE - BELOW)
    text = lambda x, y, words, more="": f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for y in ticks(low, high, 0.1):
        lines.append(f'<path d="M{LEFT} {at_y(y):.1f}H{WIDTH - 16}" stroke="#ddd"/>')
        lines.append(text(LEFT - 8, at_y(y) + 4, f"{y:.1f}", 'text-anchor="end"'))
    for x in ticks(0, right, 5):
        lines.append(text(at_x(x), HEIGHT - BELOW + 18, f"{x:g}", 'text-anchor="middle"'))
    lines.append(text(WIDTH / 2, HEIGHT - 8, "million tokens read", 'text-anchor="middle"'))
    middle = (HEIGHT - BELOW) / 2
    lines.append(text(14, middle, "bits per byte, unseen book", f'text-anchor="middle" transform="rotate(-90 14 {middle})"'))
    for i, (name, points) in enumerate(curves):
        path = "M" + "L".join(f"{at_x(x):.1f} {at_y(y):.1f}" for x, y in points)
        lines.append(f'<path d="{path}" fill="none" stroke="{COLOURS[i]}" stroke-width="2"/>')
        lines.append(text(WIDTH - 20, ABOVE + 16 + 16 * i, f"{name}: {points[-1][1]:.3f}",
                          f'text-anchor="end" fill="{COLOURS[i]}"'))
    return "\n".join(lines + ["</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", metavar="NAME=LOG.csv")
    parser.add_argument("--tokens-per-step", type=int, default=8192)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    logs = [log.split("=", 1) for log in options.logs]
    with open(options.out, "w") as file:
        file.write(draw([(name, read(path, options.tokens_per_step)) for name, path in logs]))


if __name__ == "__main__":
    main()
