#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Remakes the fixtures of this folder: python3 tests/data/make_fixtures.py FAIRY-TALES.VALID.TXT.GZ (needs numpy).

v4.safetensors            a random RWKV-4 with official names, in float32
v4.expected.safetensors   tokens, logits after each and the final state, in float64
fairy-tales.txt           20 kB of the text that the demo models were measured on, from its first tale

The model is evaluated here by the formulas of Peng et al. (2023), token by token, with sums that are not stabilised (the
keys are small enough for that in float64): nothing is shared with the library that is tested against it.
"""
import gzip
import json
import os
import struct
import sys

import numpy as np

N_LAYER, C, A, F, V = 2, 10, 12, 26, 17
TOKENS = [3, 0, 16, 7, 7, 1, 12, 5, 9, 3, 14, 2, 8, 15, 4, 11, 6, 13, 10, 0, 1, 2, 3]


def write(path, tensors):
    dtypes = {"float32": "F32", "float64": "F64", "int32": "I32"}
    header, end = {}, 0
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    for name in order:
        array = tensors[name]
        header[name] = {"dtype": dtypes[str(array.dtype)], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(tensors[name].tobytes())


def make_model(random):
    def normal(*shape, scale=1.0, centre=0.0):
        return (centre + scale * random.standard_normal(shape)).astype(np.float32)

    w = {"emb.weight": normal(V, C), "head.weight": normal(V, C, scale=1.5)}
    norms = ["ln_out", "blocks.0.ln0"]
    for i in range(N_LAYER):
        block = f"blocks.{i}."
        norms += [block + "ln1", block + "ln2"]
        w[block + "att.time_decay"] = normal(A, scale=1.5)
        w[block + "att.time_first"] = normal(A)
        for mix in "kvr":
            w[f"{block}att.time_mix_{mix}"] = normal(1, 1, C, scale=0.4, centre=0.5)
        for mix in "kr":
            w[f"{block}ffn.time_mix_{mix}"] = normal(1, 1, C, scale=0.4, centre=0.5)
        for name, rows, columns in (("att.key", A, C), ("att.value", A, C), ("att.receptance", A, C), ("att.output", C, A),
                                    ("ffn.key", F, C), ("ffn.receptance", C, C), ("ffn.value", C, F)):
            w[f"{block}{name}.weight"] = normal(rows, columns, scale=1 / np.sqrt(columns))
    for name in norms:
        w[name + ".weight"] = normal(C, scale=0.2, centre=1.0)
        w[name + ".bias"] = normal(C, scale=0.2)
    return w


def evaluate(weights):
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    sigmoid = lambda x: 1 / (1 + np.exp(-x))

    def norm(x, name):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[name + ".weight"] + w[name + ".bias"]

    def mixed(name, x, before):
        return x * w[name].reshape(-1) + before * (1 - w[name].reshape(-1))

    carried = {}  # the normalised input of the previous token
    sums = {i: (np.zeros(A), np.zeros(A)) for i in range(N_LAYER)}
    logits = []
    for token in TOKENS:
        x = norm(w["emb.weight"][token], "blocks.0.ln0")
        for i in range(N_LAYER):
            att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
            z, before = norm(x, f"blocks.{i}.ln1"), carried.get(att, np.zeros(C))
            carried[att] = z
            k, v, r = (w[att + name + ".weight"] @ mixed(f"{att}time_mix_{name[0]}", z, before)
                       for name in ("key", "value", "receptance"))
            numerator, denominator = sums[i]
            present = np.exp(w[att + "time_first"] + k)
            x = x + w[att + "output.weight"] @ (sigmoid(r) * (numerator + present * v) / (denominator + present))
            decay = np.exp(-np.exp(w[att + "time_decay"]))
            sums[i] = decay * numerator + np.exp(k) * v, decay * denominator + np.exp(k)
            z, before = norm(x, f"blocks.{i}.ln2"), carried.get(ffn, np.zeros(C))
            carried[ffn] = z
            k = w[ffn + "key.weight"] @ mixed(ffn + "time_mix_k", z, before)
            r = w[ffn + "receptance.weight"] @ mixed(ffn + "time_mix_r", z, before)
            x = x + sigmoid(r) * (w[ffn + "value.weight"] @ np.maximum(k, 0) ** 2)
        logits.append(w["head.weight"] @ norm(x, "ln_out"))
    expected = {"tokens": np.array(TOKENS, np.int32), "logits": np.array(logits)}
    for i in range(N_LAYER):
        expected[f"blocks.{i}.att.xx"] = carried[f"blocks.{i}.att."]
        expected[f"blocks.{i}.ffn.xx"] = carried[f"blocks.{i}.ffn."]
        expected[f"blocks.{i}.numerator"], expected[f"blocks.{i}.denominator"] = sums[i]
    return expected


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    model = make_model(np.random.default_rng(20))
    write(os.path.join(folder, "v4.safetensors"), model)
    write(os.path.join(folder, "v4.expected.safetensors"), evaluate(model))
    text = gzip.open(sys.argv[1]).read()
    begin = text.index(b"Once upon a time")
    with open(os.path.join(folder, "fairy-tales.txt"), "wb") as file:
        file.write(text[begin:begin + 20000])


if __name__ == "__main__":
    main()
