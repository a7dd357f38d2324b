#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns a checkpoint of train.py into a safetensors file, in bf16, and tells how well that predicts texts, the State
carried from the first token of each to the last.

    export.py run/model.pth --out fairy-tales-v7.safetensors --vocab fairy-tales.vocab --text valid.txt.gz more.txt"""
import argparse
import json
import struct

import torch

import rwkv_torch as rwkv
import train


def write(path, tensors, metadata):
    """Readers map the file, so the header is padded for the tensors to begin at a multiple of 64."""
    header, end = {"__metadata__": metadata}, 0
    for name, tensor in tensors.items():
        size = 2 * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.view(torch.int16).numpy().tobytes())  # numpy has no bf16


def config_of(tensors):
    n_vocab, n_embd = tensors["emb.weight"].shape
    n_layer = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    return rwkv.Config(7 if "blocks.0.att.r_k" in tensors else 4, n_layer, n_embd, 4 * n_embd, n_vocab)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--out", required=True)
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--text", nargs="+", default=[], help="to measure it on")
    parser.add_argument("--metadata", nargs="*", default=[], metavar="KEY=VALUE", help="to write into the file")
    options = parser.parse_args()
    tensors = {name: tensor.bfloat16().contiguous() for name, tensor in torch.load(options.checkpoint).items()}
    write(options.out, tensors, dict(pair.split("=", 1) for pair in options.metadata))
    tokens = train.read_vocabulary(options.vocab)
    parameters = {name: tensor.float() for name, tensor in tensors.items()}
    print(f"{sum(tensor.numel() for tensor in tensors.values())} parameters")
    for path in options.text:
        ids = train.encode(train.read(path), tokens)
        bits = train.bits_per_byte(parameters, config_of(tensors), ids, train.sizes_of(tokens))
        print(f"{path}: {bits:.5f} bits per byte, {len(ids)} tokens")


if __name__ == "__main__":
    main()
