#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains an RWKV-7 (or with --generation 4 an RWKV-4) on a text and writes an official checkpoint.

    train.py --text tales.train.txt.gz --valid tales.valid.txt.gz --vocab fairy-tales.vocab --out run

Everything it needs to go on with later is in the folder `run`: start it again with the same words and it resumes. `run`
gets last.pt (parameters, optimiser, step), log.csv (step, seconds, loss, bits per byte), best.pth and model.pth (the
average of the last checkpoints) with official names in bf16."""
import argparse
import ast
import contextlib
import csv
import gzip
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import rwkv_torch as rwkv


def read(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        return file.read()


def read_vocabulary(path):
    """{bytes: id} of a file in the format of the World vocabulary."""
    tokens = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            number, rest = line.split(" ", 1)
            literal = ast.literal_eval(rest.rsplit(" ", 1)[0])
            tokens[literal.encode() if isinstance(literal, str) else literal] = int(number)
    return tokens


def sizes_of(tokens):
    """The number of bytes of each id."""
    sizes = np.zeros(max(tokens.values()) + 1, np.int64)
    for token, number in tokens.items():
        sizes[number] = len(token)
    return sizes


def encode(text, tokens):
    """Ids by the longest match."""
    longest, ids, at = max(map(len, tokens)), [], 0
    while at < len(text):
        for length in range(min(longest, len(text) - at), 0, -1):
            number = tokens.get(text[at:at + length])
            if number is not None:
                ids.append(number)
                at += length
                break
    return np.array(ids, dtype=np.int64)


@torch.no_grad()
def bits_per_byte(parameters, config, ids, sizes, streams=1, length=512):
    """Of a text whose tokens have sizes[id] bytes, cut into equal runs through each of which the State is carried. The
    first token of each is given, not counted."""
    run = -(-(len(ids) - 1) // streams)
    rows = math.ceil(run / length) * length  # the operators take whole pieces; -100 is not counted
    inputs, targets = np.zeros((streams, rows), np.int64), np.full((streams, rows), -100)
    for stream in range(streams):
        part = ids[stream * run:stream * run + run + 1]
        inputs[stream, :len(part) - 1], targets[stream, :len(part) - 1] = part[:-1], part[1:]
    n_bytes = sizes[targets[targets >= 0]].sum()
    inputs, targets = torch.from_numpy(inputs), torch.from_numpy(targets)
    state, loss = rwkv.new_state(config, streams), 0.0
    for first in range(0, rows, length):
        logits, state = rwkv.forward(parameters, config, inputs[:, first:first + length], state)
        loss += F.cross_entropy(logits.flatten(0, 1), targets[:, first:first + length].flatten(), reduction="sum").item()
    return loss / math.log(2) / n_bytes


def parameter_groups(parameters, weight_decay):
    """Weight decay for matrices only, twice the rate for the decays: RWKV-v7/train_temp/src/model.py."""
    decayed, fast, rest = [], [], []
    for name, tensor in parameters.items():
        if name.endswith((".w0", "time_decay")):
            fast.append(tensor)
        elif name.endswith(".weight") and tensor.dim() >= 2:
            decayed.append(tensor)
        else:
            rest.append(tensor)
    return [{"params": rest, "weight_decay": 0.0, "scale": 1.0}, {"params": fast, "weight_decay": 0.0, "scale": 2.0},
            {"params": decayed, "weight_decay": weight_decay, "scale": 1.0}]


def learning_rate(step, options):
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    share = min(1, (step - options.warmup) / max(1, options.steps - options.warmup))
    return options.lr_end + (options.lr - options.lr_end) * 0.5 * (1 + math.cos(math.pi * share))


def save(path, content):
    """Complete or not at all."""
    torch.save(content, path + ".part")
    os.replace(path + ".part", path)


def export(parameters):
    return {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in parameters.items()}


def batches(ids, options, step):
    """Random pieces of the text; the same ones for the same step, so that a resumed run goes on as it would have."""
    chance = np.random.default_rng((options.seed, step))
    starts = chance.integers(0, len(ids) - options.length - 1, options.batch)
    pieces = torch.from_numpy(np.stack([ids[start:start + options.length + 1] for start in starts]))
    return pieces[:, :-1], pieces[:, 1:]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("text", "valid", "vocab", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--generation", type=int, choices=(4, 7), default=7)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--lr-end", type=float, default=1e-4)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=200, help="steps between evaluations")
    parser.add_argument("--average", type=int, default=5, help="checkpoints that model.pth is the mean of")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bf16", action="store_true", help="matrix products in bf16, where the processor has them")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long, to go on later")
    return parser.parse_args()


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    os.makedirs(options.out, exist_ok=True)
    at = lambda name: os.path.join(options.out, name)
    tokens = read_vocabulary(options.vocab)
    config = rwkv.Config(options.generation, options.layers, options.width, 4 * options.width, max(tokens.values()) + 1)
    train, valid, sizes = encode(read(options.text), tokens), encode(read(options.valid), tokens), sizes_of(tokens)

    parameters = {name: t.contiguous().requires_grad_() for name, t in rwkv.new_parameters(config).items()}
    optimizer = torch.optim.AdamW(parameter_groups(parameters, options.weight_decay), betas=(0.9, 0.99), eps=1e-18)
    step, recent, best = 0, [], math.inf
    if os.path.exists(at("last.pt")):
        last = torch.load(at("last.pt"))
        for name, tensor in parameters.items():
            tensor.data.copy_(last["parameters"][name])
        optimizer.load_state_dict(last["optimizer"])
        step, recent, best = last["step"], last["recent"], last["best"]
    n_parameters = sum(t.numel() for t in parameters.values())
    print(f"{n_parameters / 1e6:.2f} M parameters, {len(train) / 1e6:.2f} M tokens, from step {step}", flush=True)

    start, losses = time.time(), []
    while step < options.steps and time.time() - start < 60 * options.minutes:
        rate = learning_rate(step, options)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        inputs, targets = batches(train, options, step)
        fast = torch.autocast("cpu", torch.bfloat16) if options.bf16 else contextlib.nullcontext()
        with fast:
            logits, _ = rwkv.forward(parameters, config, inputs, rwkv.new_state(config, options.batch), options.dropout)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        step += 1
        losses.append(loss.item())
        if step % 20 == 0:
            speed = len(losses) * options.batch * options.length / (time.time() - start)
            print(f"step {step} loss {np.mean(losses[-20:]):.4f} rate {rate:.2e} {speed:.0f} tokens/s", flush=True)
        if step % options.every == 0 or step == options.steps:
            bits = bits_per_byte(parameters, config, valid, sizes, 16)
            recent = (recent + [{name: t.detach().clone() for name, t in parameters.items()}])[-options.average:]
            if bits < best:
                best = bits
                save(at("best.pth"), export(parameters))
            save(at("last.pt"), {"parameters": {name: t.detach() for name, t in parameters.items()}, "step": step,
                                 "optimizer": optimizer.state_dict(), "recent": recent, "best": best})
            print(f"step {step} validation {bits:.4f} bits per byte", flush=True)
            with open(at("log.csv"), "a", newline="") as file:
                csv.writer(file).writerow([step, round(time.time() - start), np.mean(losses[-options.every:]), bits])
    if recent:
        mean = {name: torch.stack([each[name] for each in recent]).mean(0) for name in parameters}
        bits = bits_per_byte(mean, config, valid, sizes, 16)
        save(at("model.pth"), export(mean))
        print(f"the mean of the last {len(recent)}: {bits:.4f} bits per byte")


if __name__ == "__main__":
    main()
