#!/usr/bin/env python3
"""Writes portable_math.json: the bits that core/portable_math.hpp must give everywhere. Its formulas in floats of Python,
which fuses nothing, with tables and constants from 50 decimal digits.

Usage: python3 tests/data/make_portable_math.py
"""
import json
import math
import pathlib
import random
from decimal import Decimal, getcontext
from fractions import Fraction

getcontext().prec = 50
LN2 = Decimal(2).ln()
TABLES = [[float((-LN2 * i / 512 ** (k + 1)).exp()) for i in range(512)] for k in range(3)]
LN2_28 = math.floor(LN2 * 2**28) / 2**28  # of 0.69 the first bit is that of 1/2: 28 bits


def exp_minus(x):
    power = int(x * (float(1 / LN2) * 2.0**52))
    rest = 1 - (power & (2**25 - 1)) * (LN2_28 / 2.0**52)
    a, b, c = (TABLES[k][(power >> (43 - 9 * k)) & 511] for k in range(3))
    return a * b * (c * rest) * 2.0 ** -(power >> 52)


def fma(a, b, c):
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def log2(x):
    m, n = math.frexp(x)
    if m < math.sqrt(0.5):
        m, n = 2 * m, n - 1
    z = (m - 1) / (m + 1)
    total = 1 / 23
    for k in range(21, 0, -2):
        total = fma(total, z * z, 1 / k)
    return fma(float(2 / LN2) * z, total, float(n))


def main():
    random.seed(1)
    xs = [0.0, 1.0, 707.9] + [random.uniform(0, 20) for _ in range(300)] + [math.exp(random.uniform(-40, 6.5)) for _ in range(100)]
    ys = [1.0, 2.0, math.sqrt(0.5), 1 - 2**-53] + [random.uniform(0.5, 2) for _ in range(100)] + [
        math.exp(random.uniform(-700, 700)) for _ in range(100)]
    data = dict(exp_minus=[[x.hex(), exp_minus(x).hex()] for x in xs], log2=[[y.hex(), log2(y).hex()] for y in ys])
    text = json.dumps(data, separators=(",", ":")).replace('],["', '],\n["') + "\n"
    (pathlib.Path(__file__).parent / "portable_math.json").write_text(text)


if __name__ == "__main__":
    main()
