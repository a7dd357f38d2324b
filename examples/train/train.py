#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains a small byte-level RWKV-4 on a text, on a CPU, and saves it as an official checkpoint (.pth, bf16).

    python3 examples/train/train.py TRAIN.txt.gz VALID.txt.gz OUT.pth --minutes 60

Needs PyTorch (Debian: python3-torch). The initial values are those of RWKV-LM: matrices orthogonal or zero, time_* by
layer and channel.
"""
import argparse
import gzip
import math
import time

import torch
import torch.nn.functional as F
from torch import nn


class TimeMix(nn.Module):
    def __init__(self, n_layer, n_embd, layer):
        super().__init__()
        late, early = layer / max(1, n_layer - 1), 1 - layer / n_layer
        channel = torch.arange(n_embd) / n_embd
        h = torch.arange(n_embd) / (n_embd - 1)
        zigzag = (torch.arange(n_embd) + 1) % 3 - 1
        self.time_decay = nn.Parameter(-5 + 8 * h ** (0.7 + 1.3 * late))
        self.time_first = nn.Parameter(math.log(0.3) + 0.5 * zigzag)
        self.time_mix_k = nn.Parameter((channel ** early).view(1, 1, -1))
        self.time_mix_v = nn.Parameter((channel ** early + 0.3 * late).view(1, 1, -1))
        self.time_mix_r = nn.Parameter((channel ** (0.5 * early)).view(1, 1, -1))
        self.key, self.value, self.receptance, self.output = (nn.Linear(n_embd, n_embd, bias=False) for _ in range(4))
        nn.init.orthogonal_(self.value.weight)
        for zero in (self.key, self.receptance, self.output):
            nn.init.zeros_(zero.weight)

    def forward(self, x):
        before = F.pad(x, (0, 0, 1, -1))
        k, v, r = (linear(x * mix + before * (1 - mix)) for linear, mix in (
            (self.key, self.time_mix_k), (self.value, self.time_mix_v), (self.receptance, self.time_mix_r)))
        return self.output(torch.sigmoid(r) * wkv(-self.time_decay.exp(), self.time_first, k, v))


def wkv(w, u, k, v):
    """The recurrence of RWKV-4 with the running maximum of the exponents; k and v are [B, T, C]."""
    aa = torch.zeros_like(k[:, 0])
    bb = torch.zeros_like(aa)
    pp = torch.full_like(aa, -1e30)
    y = []
    for kt, vt in zip(k.unbind(1), v.unbind(1)):
        q = torch.maximum(pp, u + kt)
        e1, e2 = (pp - q).exp(), (u + kt - q).exp()
        y.append((e1 * aa + e2 * vt) / (e1 * bb + e2))
        q = torch.maximum(pp + w, kt)
        e1, e2 = (pp + w - q).exp(), (kt - q).exp()
        aa, bb, pp = e1 * aa + e2 * vt, e1 * bb + e2, q
    return torch.stack(y, 1)


class ChannelMix(nn.Module):
    def __init__(self, n_layer, n_embd, layer):
        super().__init__()
        channel = (torch.arange(n_embd) / n_embd) ** (1 - layer / n_layer)
        self.time_mix_k = nn.Parameter(channel.clone().view(1, 1, -1))
        self.time_mix_r = nn.Parameter(channel.clone().view(1, 1, -1))
        self.key = nn.Linear(n_embd, 4 * n_embd, bias=False)
        self.receptance = nn.Linear(n_embd, n_embd, bias=False)
        self.value = nn.Linear(4 * n_embd, n_embd, bias=False)
        nn.init.orthogonal_(self.key.weight, gain=2.0)  # sqrt(rows / columns)
        for zero in (self.receptance, self.value):
            nn.init.zeros_(zero.weight)

    def forward(self, x):
        before = F.pad(x, (0, 0, 1, -1))
        k, r = (linear(x * mix + before * (1 - mix))
                for linear, mix in ((self.key, self.time_mix_k), (self.receptance, self.time_mix_r)))
        return torch.sigmoid(r) * self.value(torch.relu(k) ** 2)


class Block(nn.Module):
    def __init__(self, n_layer, n_embd, layer):
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(n_embd)
        self.ln1, self.ln2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.att = TimeMix(n_layer, n_embd, layer)
        self.ffn = ChannelMix(n_layer, n_embd, layer)

    def forward(self, x):
        if hasattr(self, "ln0"):
            x = self.ln0(x)
        x = x + self.att(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class Model(nn.Module):
    def __init__(self, n_layer, n_embd, n_vocab=256):
        super().__init__()
        self.emb = nn.Embedding(n_vocab, n_embd)
        self.blocks = nn.ModuleList(Block(n_layer, n_embd, layer) for layer in range(n_layer))
        self.ln_out = nn.LayerNorm(n_embd)
        self.head = nn.Linear(n_embd, n_vocab, bias=False)
        nn.init.uniform_(self.emb.weight, -1e-4, 1e-4)
        nn.init.orthogonal_(self.head.weight, gain=0.5 * math.sqrt(n_vocab / n_embd))

    def forward(self, tokens):
        x = self.emb(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_out(x))


def read_bytes(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)


def bits_per_byte(model, text, length=256, batch=32, n_batches=2):
    """Mean cross-entropy over windows spread evenly over the text; each starts without memory."""
    starts = torch.linspace(0, len(text) - length - 1, batch * n_batches).long()
    total = 0.0
    with torch.no_grad():
        for part in starts.split(batch):
            window = torch.stack([text[s:s + length + 1] for s in part]).long()
            total += F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten()).item()
    return total / n_batches / math.log(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("valid")
    parser.add_argument("out")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--n-layer", type=int, default=3)
    parser.add_argument("--n-embd", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # decayed sums become denormal, and those are slow
    train, valid = read_bytes(args.train), read_bytes(args.valid)
    model = Model(args.n_layer, args.n_embd)
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
                                  lr=args.lr, betas=(0.9, 0.99), eps=1e-8)
    begin, step, shown, average = time.time(), 0, 0.0, None
    while (progress := (time.time() - begin) / (60 * args.minutes)) < 1:
        warm_up = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm_up * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        starts = torch.randint(len(train) - args.length - 1, (args.batch,))
        window = torch.stack([train[s:s + args.length + 1] for s in starts]).long()
        loss = F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        if time.time() - shown > 120:
            shown = time.time()
            speed = step * args.batch * args.length / (shown - begin)
            print(f"step {step}  {100 * progress:.0f} %  train {average / math.log(2):.3f}  "
                  f"valid {bits_per_byte(model, valid):.3f} bits/byte  {speed:.0f} bytes/s", flush=True)
    print(f"step {step}  valid {bits_per_byte(model, valid, n_batches=32):.4f} bits/byte", flush=True)
    torch.save({name: value.bfloat16() for name, value in model.state_dict().items()}, args.out)


if __name__ == "__main__":
    main()
