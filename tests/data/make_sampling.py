#!/usr/bin/env python3
"""Writes sampling.json: what the samplers of text/sampler.hpp draw, computed with numpy by the definitions there, on full
vectors of float64, independently of the library.

Usage: python3 tests/data/make_sampling.py
"""
import json
import pathlib

import numpy as np

N_VOCAB, N_STEPS = 200, 100
MASK = (1 << 64) - 1


class Random:
    """xoshiro256** seeded through SplitMix64 (Blackman and Vigna 2021)."""

    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & MASK
            z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
            self.s.append(z ^ (z >> 31))

    def uniform(self):
        def rotated(x, k):
            return ((x << k) | (x >> (64 - k))) & MASK
        s = self.s
        result, shifted = (rotated((s[1] * 5) & MASK, 7) * 9) & MASK, (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = rotated(s[3], 45)
        return (result >> 11) * 2.0**-53


def logits_of_step(step):
    """Numbers that sampler_test.cpp makes in the same way: multiples of 2^-12 in [0, 16)."""
    h = ((np.arange(1, N_VOCAB + 1, dtype=np.uint64) * 0x9E3779B1) ^ ((step + 1) * 0x85EBCA77)) & 0xFFFFFFFF
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(0x2C1B3C6D)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(12)
    return (h >> np.uint64(16)).astype(np.float32) / np.float32(4096)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


class Sampler:
    def __init__(self, seed, **options):
        self.o = dict(temperature=1.0, top_p=0.85, top_k=0, top_a=0.0, top_a_power=2.0, min_p=0.0, presence_penalty=0.0,
                      frequency_penalty=0.0, penalty_decay=0.996, banned=[], logit_bias=[], repetition_penalty=1.0,
                      repetition_decay=1.0, temperature_first=False, typical_p=1.0, xtc_probability=0.0,
                      xtc_threshold=0.1, mirostat=0.0, mirostat_rate=0.1)
        assert set(options) <= set(self.o)
        self.o.update(options)
        self.random, self.text, self.mu = Random(seed), [], 2 * self.o["mirostat"]

    def logits(self, logits):
        o, x, n = self.o, logits.copy(), len(self.text)
        for token, bias in o["logit_bias"]:
            x[token] = np.float32(np.float64(x[token]) + bias)
        for token in set(self.text):
            ages = [n - 1 - i for i in range(n) if self.text[i] == token]
            t = 1 + (o["repetition_penalty"] - 1) * o["repetition_decay"] ** min(ages)
            value = np.float64(x[token])
            value = np.float64(np.float32(value / t if value > 0 else value * t))
            weight = sum(o["penalty_decay"] ** age for age in ages)
            x[token] = np.float32(value - (o["presence_penalty"] + weight * o["frequency_penalty"]))
        x[o["banned"]] = -np.inf
        return x.astype(np.float64)

    def probabilities(self, logits):
        o = self.o
        x, T = self.logits(logits), o["temperature"] if o["temperature"] > 0 else 1.0
        top_p = o["top_p"] if o["temperature"] > 0 else 0.0
        p = softmax(x / T if o["temperature_first"] else x)
        if o["typical_p"] < 1:  # equation 4 and the paragraph below it of Meister et al.
            some = p > 0
            information = -np.log(p, where=some, out=np.full(len(p), np.inf))
            order = np.argsort(np.abs(information - np.sum(p[some] * information[some])), kind="stable")
            n = int(np.argmax(np.cumsum(p[order]) >= o["typical_p"])) + 1
            p[order[n:]] = 0
            p /= p.sum()
        order = np.argsort(-p, kind="stable")
        keep = p > 0
        if top_p < 1:
            keep &= p >= p[order][np.argmax(np.cumsum(p[order]) >= top_p)]
        if o["top_k"] > 0:
            keep[order[o["top_k"]:]] = False
        keep &= (p >= o["top_a"] * p.max() ** o["top_a_power"]) & (p >= o["min_p"] * p.max()) | (p == p.max())
        p = np.where(keep, p, 0)
        if not o["temperature_first"]:
            p = p ** (1 / T)
        p /= p.sum()
        if o["xtc_probability"] > 0 and self.random.uniform() < o["xtc_probability"]:
            above = [token for token in order if p[token] >= o["xtc_threshold"]]
            p[above[:-1]] = 0
            p /= p.sum()
        if o["mirostat"] > 0:
            surprise = -np.log2(p, where=p > 0, out=np.full(len(p), -np.inf))
            surprise[p == 0] = np.inf
            p = np.where((surprise <= self.mu) | (surprise == surprise.min()), p, 0)
            p /= p.sum()
        return p

    def step(self, logits):
        p = self.probabilities(logits)
        order, u = np.argsort(-p, kind="stable"), self.random.uniform()
        token = int(order[np.argmax(np.cumsum(p[order]) > u)])
        self.text.append(token)
        self.mu -= self.o["mirostat_rate"] * (-np.log2(p[token]) - self.o["mirostat"])
        return token, p


CASES = [
    dict(),
    dict(temperature=0.7, top_p=0.95),
    dict(temperature=1.6, top_p=0.9, temperature_first=True),
    dict(temperature=0.5, top_p=1.0, top_k=30, temperature_first=True),
    dict(top_p=1.0, top_a=0.3),
    dict(top_p=1.0, top_a=0.2, top_a_power=1.5, temperature=1.3),
    dict(top_p=1.0, top_a=0.05, top_a_power=0.5, temperature=2.0),
    dict(top_p=1.0, min_p=0.1, temperature=1.5),
    dict(top_p=1.0, typical_p=0.5),
    dict(top_p=0.8, typical_p=0.3, temperature=1.2),
    dict(top_p=1.0, typical_p=0.9, temperature=2.0, temperature_first=True),
    dict(top_p=1.0, xtc_probability=1.0),
    dict(top_p=1.0, xtc_probability=0.5, xtc_threshold=0.05, temperature=1.5),
    dict(top_p=0.9, xtc_probability=0.3, xtc_threshold=0.02, min_p=0.02),
    dict(top_p=1.0, mirostat=3.0),
    dict(top_p=1.0, mirostat=5.0, mirostat_rate=0.3, temperature=1.5),
    dict(top_p=0.95, mirostat=1.5, xtc_probability=0.5),
    dict(top_p=1.0, repetition_penalty=1.3),
    dict(top_p=1.0, repetition_penalty=2.0, repetition_decay=0.9, logit_bias=[[5, -20.0], [7, -20.5]]),
    dict(top_p=1.0, repetition_penalty=0.8, banned=[3, 4]),
    dict(presence_penalty=0.5, frequency_penalty=1.5, penalty_decay=0.9),
    dict(temperature=1.1, top_p=0.99, top_k=100, min_p=0.001, typical_p=0.98, xtc_probability=0.2, xtc_threshold=0.08,
         mirostat=4.0, repetition_penalty=1.1, repetition_decay=0.99, presence_penalty=0.2, frequency_penalty=0.2,
         logit_bias=[[0, 3.25]], banned=[11]),
]


def main():
    cases = []
    for seed, options in enumerate(CASES):
        sampler, drawn = Sampler(seed, **options), []
        for step in range(N_STEPS):
            token, p = sampler.step(logits_of_step(step))
            drawn.append(token)
        kept = {int(i): float(p[i]) for i in np.nonzero(p)[0]}
        cases.append(dict(seed=seed, options=options, drawn=drawn, last=kept))
    text = json.dumps(dict(n_vocab=N_VOCAB, cases=cases), separators=(",", ":")).replace('{"seed"', '\n{"seed"')
    (pathlib.Path(__file__).parent / "sampling.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
