#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Remakes the folder hugging-face: python3 tests/data/make_hugging_face.py (needs numpy).

rwkv4/        a random RWKV-4 in the names of transformers, in two shards with an index; its head is its embedding
rwkv5, rwkv6  in the names of the ports RWKV/v5-Eagle-*-HF and RWKV/v6-Finch-*-HF, one file each
fla-rwkv6     in the names of flash-linear-attention
fla-rwkv7/    the same, with config.json; the epsilon of its heads is not that of official models
*.expected.safetensors    tokens, and logits after each in float64

The models are evaluated here in the form in which these libraries store them: matrices, parts of matrices and biases are
used as their forward() uses them, and nothing is given its official name or form.
"""
import json
import os

import numpy as np

from make_fixtures import write

V, C, H, N, F, LAYERS = 17, 8, 2, 4, 16, 2
RANK_MIX, RANK_DECAY, RANK_A, RANK_V, RANK_G = 3, 2, 3, 1, 5
TOKENS = [3, 0, 16, 7, 7, 1, 12, 5, 9, 3, 14, 2]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Model:
    """Random tensors, each made when it is first asked for; a name has its values whatever the order."""

    def __init__(self, seed):
        self.seed, self.stored, self.carried = seed, {}, {}

    def get(self, name, *shape, scale=1.0, centre=0.0):
        if name not in self.stored:
            random = np.random.default_rng([self.seed, *name.encode()])
            self.stored[name] = (centre + scale * random.standard_normal(shape)).astype(np.float32)
        return self.stored[name].astype(np.float64)

    def linear(self, name, x, n_out):
        return self.get(name + ".weight", n_out, x.size, scale=1 / np.sqrt(x.size)) @ x

    def norm(self, name, x, n_groups=1, eps=1e-5):
        groups = x.reshape(n_groups, -1)
        groups = (groups - groups.mean(1, keepdims=True)) / np.sqrt(groups.var(1, keepdims=True) + eps)
        return (groups.reshape(-1) * self.get(name + ".weight", x.size, scale=0.2, centre=1)
                + self.get(name + ".bias", x.size, scale=0.2))

    def previous(self, place, x):
        before = self.carried.get(place, np.zeros(C))
        self.carried[place] = x
        return before

    def state(self, place):
        return self.carried.get(place, np.zeros((H, N, N)))

    def mix(self, name, *shape):
        return self.get(name, *shape, scale=0.4, centre=0.5).reshape(-1)


# transformers and the ports in its style: hidden * mix + shifted * (1 - mix)

def channel_mixing(m, p, x, is_complement):
    before = m.previous(p, x)
    names = ("time_maa_k", "time_maa_r") if is_complement else ("time_mix_key", "time_mix_receptance")
    k, r = (m.mix(p + name, 1, 1, C) for name in names)
    k, r = (x + (before - x) * (mu if is_complement else 1 - mu) for mu in (k, r))
    key = np.maximum(m.linear(p + "key", k, F), 0) ** 2
    return sigmoid(m.linear(p + "receptance", r, C)) * m.linear(p + "value", key, C)


def time_mixing_4(m, p, x):
    before = m.previous(p, x)
    k, v, r = (m.linear(p + name, x * mu + before * (1 - mu), C)
               for name, mu in ((name, m.mix(f"{p}time_mix_{name}", 1, 1, C)) for name in ("key", "value", "receptance")))
    numerator, denominator = m.carried.get(p + "sums", (np.zeros(C), np.zeros(C)))
    now = np.exp(m.get(p + "time_first", C) + k)
    out = (numerator + now * v) / (denominator + now)
    decay = np.exp(-np.exp(m.get(p + "time_decay", C)))
    m.carried[p + "sums"] = decay * numerator + np.exp(k) * v, decay * denominator + np.exp(k)
    return m.linear(p + "output", sigmoid(r) * out, C)


def linear_attention(m, place, r, k, v, w, u):
    """r (u k v + S), with S of keys by values; then S = w S + k v."""
    r, k, v, w, u = (z.reshape(H, N) for z in (r, k, v, w, u))
    state, now = m.state(place), np.einsum("hk,hv->hkv", k, v)
    m.carried[place] = w[:, :, None] * state + now
    return np.einsum("hk,hkv->hv", r, u[:, :, None] * now + state).reshape(-1)


def time_mixing_5(m, p, x):
    before = m.previous(p, x)
    k, v, r, g = (m.linear(p + name, x * mu + before * (1 - mu), C)
                  for name, mu in ((name, m.mix(f"{p}time_mix_{name}", 1, 1, C))
                                   for name in ("key", "value", "receptance", "gate")))
    w = np.exp(-np.exp(m.get(p + "time_decay", H, N)))
    out = linear_attention(m, p + "state", r, k, v, w, m.get(p + "time_faaaa", H, N))
    return m.linear(p + "output", m.norm(p + "ln_x", out, H, 64e-5) * g * sigmoid(g), C)


def time_mixing_6(m, p, x):
    delta = m.previous(p, x) - x
    low = np.tanh((x + delta * m.mix(p + "time_maa_x", 1, 1, C)) @ m.get(p + "time_maa_w1", C, 5 * RANK_MIX, scale=0.5))
    more = np.einsum("jr,jrc->jc", low.reshape(5, -1), m.get(p + "time_maa_w2", 5, RANK_MIX, C, scale=0.5))
    w, k, v, r, g = (x + delta * (m.mix(f"{p}time_maa_{letter}", 1, 1, C) + more[j]) for j, letter in enumerate("wkvrg"))
    w = np.tanh(w @ m.get(p + "time_decay_w1", C, RANK_DECAY)) @ m.get(p + "time_decay_w2", RANK_DECAY, C, scale=0.3)
    w = np.exp(-np.exp(m.get(p + "time_decay", 1, 1, C).reshape(-1) + w))
    r, k, v, g = (m.linear(p + name, z, C) for name, z in (("receptance", r), ("key", k), ("value", v), ("gate", g)))
    out = linear_attention(m, p + "state", r, k, v, w, m.get(p + "time_faaaa", H, N))
    return m.linear(p + "output", m.norm(p + "ln_x", out, H, 64e-5) * g * sigmoid(g), C)


def transformers(m, time_mixing, is_complement=False, is_tied=False):
    def step(token):
        x = m.norm("rwkv.blocks.0.pre_ln", m.get("rwkv.embeddings.weight", V, C)[token])
        for i in range(LAYERS):
            p = f"rwkv.blocks.{i}."
            x = x + time_mixing(m, p + "attention.", m.norm(p + "ln1", x))
            x = x + channel_mixing(m, p + "feed_forward.", m.norm(p + "ln2", x), is_complement)
        x = m.norm("rwkv.ln_out", x)
        return m.get("rwkv.embeddings.weight", V, C) @ x if is_tied else m.linear("head", x, V)
    return step


# flash-linear-attention: hidden + delta * mu

def fla_attention_6(m, p, x):
    delta = m.previous(p, x) - x
    low = np.tanh(m.linear(p + "x_proj.0.linear", x + delta * m.mix(p + "x_proj.0.mu", C), 5 * RANK_MIX))
    up = m.get(p + "x_proj.2.weight", C, 5 * RANK_MIX, scale=0.5).reshape(C, 5, RANK_MIX)
    mu = np.einsum("nr,hnr->nh", low.reshape(5, RANK_MIX), up) + m.get(p + "x_bias", 5, C, scale=0.4, centre=0.5)
    r, w, k, v, g = (x + delta * mu[j] for j in range(5))
    lora = p + "w_proj.linear.lora."
    w = m.linear(lora + "2", np.tanh(m.linear(lora + "0", w, RANK_DECAY)), C) + m.get(lora + "2.bias", C)
    r, k, v, g = (m.linear(f"{p}{name}_proj.linear", z, C) for name, z in (("r", r), ("k", k), ("v", v), ("g", g)))
    out = linear_attention(m, p + "state", r, k, v, np.exp(-np.exp(w)), m.get(p + "bonus", H, N))
    # The converter of fla keeps the epsilon of the official models.
    return m.linear(p + "o_proj", m.norm(p + "g_norm", out, H, 64e-5) * g * sigmoid(g), C)


def fla_ffn_6(m, p, x):
    delta = m.previous(p, x) - x
    k, r = (m.linear(f"{p}{name}.linear", x + delta * m.mix(f"{p}{name}.mu", C), n_out)
            for name, n_out in (("key", F), ("receptance", C)))
    return sigmoid(r) * m.linear(p + "value", np.maximum(k, 0) ** 2, C)


def fla_attention_7(m, p, x, v_first):
    delta = m.previous(p, x) - x
    x_r, x_w, x_k, x_v, x_a, x_g = (x + delta * m.mix(f"{p}x_{letter}", 1, 1, C) for letter in "rwkvag")

    def lora(letter, z, rank, function, has_bias=True):
        name = f"{p}{letter}_lora.lora."
        y = m.linear(name + "2", function(m.linear(name + "0", z, rank)), C)
        return y + m.get(name + "2.bias", C, scale=0.5) if has_bias else y

    identity = lambda z: z
    r, k, v = (m.linear(f"{p}{name}_proj", z, C) for name, z in (("r", x_r), ("k", x_k), ("v", x_v)))
    w = np.exp(-0.6065306597126334 * sigmoid(lora("w", x_w, RANK_DECAY, np.tanh)))
    v = v if v_first is None else v + (v_first - v) * sigmoid(lora("v", x_v, RANK_V, identity))
    a = sigmoid(lora("a", x_a, RANK_A, identity))
    g = lora("g", x_g, RANK_G, sigmoid, has_bias=False)
    kk = (k * m.get(p + "k_k", C, scale=0.2, centre=0.8)).reshape(H, N)
    kk /= np.linalg.norm(kk, axis=1, keepdims=True)
    k = k * (1 + (a - 1) * m.get(p + "k_a", C, scale=0.2, centre=1))

    heads = lambda z: z.reshape(H, N)
    state = m.state(p + "state")  # values by keys
    removed = np.einsum("hvk,hk->hv", state, kk)
    state = (state * heads(w)[:, None, :] - removed[:, :, None] * (kk * heads(a))[:, None, :]
             + heads(v)[:, :, None] * heads(k)[:, None, :])
    m.carried[p + "state"] = state
    out = m.norm(p + "g_norm", np.einsum("hvk,hk->hv", state, heads(r)).reshape(-1), H, N * 1e-5)
    bonus = (heads(r) * heads(k) * m.get(p + "r_k", H, N, scale=0.3)).sum(1, keepdims=True) * heads(v)
    return m.linear(p + "o_proj", (out + bonus.reshape(-1)) * g, C), v if v_first is None else v_first


def fla_ffn_7(m, p, x):
    delta = m.previous(p, x) - x
    return m.linear(p + "value", np.maximum(m.linear(p + "key", x + delta * m.mix(p + "x_k", C), F), 0) ** 2, C)


def fla(m, version):
    def step(token):
        x = m.norm("model.layers.0.pre_norm", m.get("model.embeddings.weight", V, C)[token])
        v_first = None
        for i in range(LAYERS):
            p = f"model.layers.{i}."
            z = m.norm(p + "attn_norm", x)
            if version == 6:
                x = x + fla_attention_6(m, p + "attn.", z)
                x = x + fla_ffn_6(m, p + "ffn.", m.norm(p + "ffn_norm", x))
            else:
                y, v_first = fla_attention_7(m, p + "attn.", z, v_first)
                x = x + y
                x = x + fla_ffn_7(m, p + "ffn.", m.norm(p + "ffn_norm", x))
        return m.linear("lm_head", m.norm("model.norm", x), V)
    return step


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=2, sort_keys=True)
        file.write("\n")


def main():
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hugging-face")
    in_folder = lambda *names: os.path.join(folder, *names)
    for name in ("rwkv4", "fla-rwkv7"):
        os.makedirs(in_folder(name), exist_ok=True)

    def make(name, seed, network):
        model = Model(seed)
        step = network(model)
        logits = np.array([step(token) for token in TOKENS])
        write(in_folder(name + ".expected.safetensors"), {"tokens": np.array(TOKENS, np.int32), "logits": logits})
        return model.stored

    stored = make("rwkv4", 4, lambda m: transformers(m, time_mixing_4, is_tied=True))
    shards = {}
    for position, name in enumerate(stored):
        number = 1 if position < len(stored) // 2 else 2
        shards.setdefault(f"model-0000{number}-of-00002.safetensors", []).append(name)
    for file, names in shards.items():
        write(in_folder("rwkv4", file), {name: stored[name] for name in names})
    write_json(in_folder("rwkv4", "model.safetensors.index.json"),
               {"metadata": {"total_size": sum(each.nbytes for each in stored.values())},
                "weight_map": {name: file for file, names in shards.items() for name in names}})
    write_json(in_folder("rwkv4", "config.json"),
               {"architectures": ["RwkvForCausalLM"], "attention_hidden_size": C, "hidden_size": C, "intermediate_size": F,
                "layer_norm_epsilon": 1e-05, "model_type": "rwkv", "num_hidden_layers": LAYERS, "rescale_every": 1,
                "tie_word_embeddings": True, "vocab_size": V})

    write(in_folder("rwkv5.safetensors"), make("rwkv5", 5, lambda m: transformers(m, time_mixing_5)))
    write(in_folder("rwkv6.safetensors"), make("rwkv6", 6, lambda m: transformers(m, time_mixing_6, is_complement=True)))
    write(in_folder("fla-rwkv6.safetensors"), make("fla-rwkv6", 66, lambda m: fla(m, 6)))
    write(in_folder("fla-rwkv7", "model.safetensors"), make("fla-rwkv7", 7, lambda m: fla(m, 7)))
    write_json(in_folder("fla-rwkv7", "config.json"),
               {"architectures": ["RWKV7ForCausalLM"], "attn": None, "head_dim": N, "hidden_act": "sqrelu", "hidden_size": C,
                "model_type": "rwkv7", "norm_bias": True, "norm_eps": 1e-05, "norm_first": True,
                "num_hidden_layers": LAYERS, "tie_word_embeddings": False, "vocab_size": V})


if __name__ == "__main__":
    main()
