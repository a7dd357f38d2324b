# SPDX-License-Identifier: MIT
"""RWKV-7 and RWKV-4 in PyTorch for training: parameters are a dict with the official names, so that a checkpoint is
torch.save of it. The recurrences are in matrix form, a chunk of tokens at a time, which is what a CPU (or GPU) is good
at; rwkv.hpp runs the same models token by token, and examples/train/check.py compares the two.

Sources: the equations of include/rwkv/arch/v7.hpp, wkv7.hpp, v4.hpp and wkv4.hpp, which name theirs."""
import dataclasses
import math

import torch
import torch.nn.functional as F

DECAY = -0.606531  # -e^{-1/2}, with the digits of the original programs


@dataclasses.dataclass
class Config:
    generation: int = 7
    n_layer: int = 6
    n_embd: int = 192
    n_ffn: int = 768
    n_vocab: int = 2048
    head_size: int = 64  # RWKV-7
    decay: int = 32      # widths of the low-rank parts of RWKV-7
    rate: int = 32
    value: int = 16
    gate: int = 48


def orthogonal(rows, cols, gain):
    return torch.nn.init.orthogonal_(torch.empty(rows, cols), gain)


def new_parameters(config):
    """A new model as RWKV-LM starts to train it: RWKV-v7/train_temp/src/model.py and RWKV-v4neo/src/model.py."""
    C, V, taller = config.n_embd, config.n_vocab, math.sqrt(max(1, config.n_vocab / config.n_embd))
    is_v4 = config.generation == 4
    p = {"emb.weight": orthogonal(V, C, 1e-4 * math.sqrt(V)) if is_v4 else torch.empty(V, C).uniform_(-1e-4, 1e-4)}
    for layer in range(config.n_layer):
        block = f"blocks.{layer}."
        late = layer / max(1, config.n_layer - 1)  # from 0 in the first layer to 1 in the last
        early = 1 - layer / config.n_layer         # from 1 in the first layer to nearly 0 in the last
        for name in (["ln0", "ln1", "ln2"] if layer == 0 else ["ln1", "ln2"]):
            p[f"{block}{name}.weight"], p[f"{block}{name}.bias"] = torch.ones(C), torch.zeros(C)
        make = new_layer_v4 if is_v4 else new_layer_v7
        p.update({block + name: tensor for name, tensor in make(config, layer, late, early).items()})
    p["ln_out.weight"], p["ln_out.bias"] = torch.ones(C), torch.zeros(C)
    p["head.weight"] = orthogonal(V, C, 0.5 * (math.sqrt(V / C) if is_v4 else taller))
    return p


def new_layer_v4(config, layer, late, early):
    C, Ffn = config.n_embd, config.n_ffn
    i = torch.arange(C)
    ratio, to_one = (i / C).view(1, 1, C), i / (C - 1)
    tall = math.sqrt(max(1, Ffn / C))
    return {
        "att.time_decay": -5 + 8 * to_one ** (0.7 + 1.3 * late),
        "att.time_first": math.log(0.3) + 0.5 * ((i + 1) % 3 - 1),
        "att.time_mix_k": ratio ** early,
        "att.time_mix_v": ratio ** early + 0.3 * late,
        "att.time_mix_r": ratio ** (0.5 * early),
        "att.key.weight": torch.zeros(C, C),
        "att.value.weight": orthogonal(C, C, 1),
        "att.receptance.weight": torch.zeros(C, C),
        "att.output.weight": torch.zeros(C, C),
        "ffn.time_mix_k": ratio ** early,
        "ffn.time_mix_r": ratio ** early,
        "ffn.key.weight": orthogonal(Ffn, C, tall),
        "ffn.receptance.weight": torch.zeros(C, C),
        "ffn.value.weight": torch.zeros(C, Ffn),
    }


def new_layer_v7(config, layer, late, early):
    C, Ffn, N = config.n_embd, config.n_ffn, config.head_size
    i = torch.arange(C)
    ratio, to_one = (i / C).view(1, 1, C), (i / (C - 1)).view(1, 1, C)
    line = to_one - 0.5
    s = ((i % N - (N - 1) / 2) / ((N - 1) / 2)).view(1, 1, C)
    zigzag = s * s.abs()  # from -1 to 1 in each head
    p = {f"att.x_{name}": 1 - ratio ** (power * early)
         for name, power in dict(r=0.2, w=0.9, k=0.7, v=0.7, a=0.9, g=0.2).items()}
    p["att.w0"] = -6 + 6 * to_one ** (1 + late ** 0.3) + 0.5 + 2.5 * zigzag
    p["att.a0"] = -0.19 + 0.3 * zigzag + 0.4 * line
    widths = dict(w=config.decay, a=config.rate, g=config.gate)
    if layer > 0:
        p["att.v0"] = 0.73 - 0.4 * line
        widths["v"] = config.value
    for name, width in widths.items():
        p[f"att.{name}1"], p[f"att.{name}2"] = torch.zeros(C, width), orthogonal(width, C, 0.1)
    p["att.k_k"] = 0.71 - 0.1 * line
    p["att.k_a"] = torch.full((1, 1, C), 1.02)
    p["att.r_k"] = torch.full((C // N, N), -0.04)
    p["att.receptance.weight"] = orthogonal(C, C, 1)
    p["att.key.weight"] = orthogonal(C, C, 0.1)
    p["att.value.weight"] = orthogonal(C, C, 1)
    p["att.output.weight"] = torch.zeros(C, C)
    p["att.ln_x.weight"] = torch.full((C,), ((1 + layer) / config.n_layer) ** 0.7)
    p["att.ln_x.bias"] = torch.zeros(C)
    p["ffn.x_k"] = 1 - ratio ** (early ** 4)
    p["ffn.key.weight"] = orthogonal(Ffn, C, 1)
    p["ffn.value.weight"] = torch.zeros(C, Ffn)
    return p


def new_state(config, batch, device="cpu"):
    """For each layer the carried rows of both mixings and the state of WKV."""
    C, N = config.n_embd, config.head_size
    rows = lambda: torch.zeros(batch, 1, C, device=device)
    if config.generation == 4:
        return [[rows(), rows(), (torch.zeros(batch, C, device=device), torch.zeros(batch, C, device=device),
                                  torch.full((batch, C), -1e30, device=device))] for _ in range(config.n_layer)]
    return [[rows(), rows(), torch.zeros(batch, C // N, N, N, device=device)] for _ in range(config.n_layer)]


def wkv7(r, lw, k, v, kk, a, X, chunk=32):
    """The operator of RWKV-7 by chunks. All [B, T, H, N] but X [B, H, N (key), N (value)], the transposed state; lw is the
    logarithm of the decays, T a multiple of the chunk. Returns y and the state after the last token.

    The names are those of include/rwkv/arch/wkv7.hpp. The state goes from chunk to chunk as X <- D (X + P X + R)."""
    B, T, H, N = r.shape
    r, lw, k, v, kk, a = (x.float() for x in (r, lw, k, v, kk, a))
    parts = lambda x: x.view(B, T // chunk, chunk, H, N).transpose(2, 3)  # [B, M, H, chunk, N]
    r, lw, k, v, kk, a = map(parts, (r, lw, k, v, kk, a))
    sums = lw.cumsum(3)
    D, inverse = sums.exp(), (-sums).exp()
    C, Q, Bb, K = -kk * (sums - lw).exp(), r * D, kk * a * inverse, k * inverse
    below = torch.ones(chunk, chunk, dtype=torch.bool, device=r.device).tril(-1)
    upto = below | torch.eye(chunk, dtype=torch.bool, device=r.device)
    mask = lambda x, keep: x.masked_fill(~keep, 0)
    BT, KT = Bb.transpose(3, 4), K.transpose(3, 4)
    left = torch.eye(chunk, device=r.device) - mask(C @ BT, below)
    WU = torch.linalg.solve_triangular(left, torch.cat([C, mask(C @ KT, below) @ v], 4), upper=False, unitriangular=True)
    W, U = WU.split(N, 4)
    P, R = BT @ W, BT @ U + KT @ v
    before = []
    for last, p, r in zip(D[:, :, :, -1, :, None].unbind(1), P.unbind(1), R.unbind(1)):
        before.append(X)
        X = last * (X + p @ X + r)
    QB = mask(Q @ BT, upto)
    y = (Q + QB @ W) @ torch.stack(before, 1) + QB @ U + mask(Q @ KT, upto) @ v
    return y.transpose(2, 3).reshape(B, T, H, N), X


def wkv4(w, u, k, v, state, chunk=16):
    """The operator of RWKV-4 by chunks, k and v [B, T, C]: within a chunk the weights of all pairs of tokens, of which
    the largest exponent is taken off; see include/rwkv/arch/wkv4.hpp."""
    aa, bb, pp = state
    step = torch.arange(chunk, device=k.device)
    distance = (step[:, None] - 1 - step[None, :]).clamp(min=0)
    past, now = step[:, None] > step[None, :], step[:, None] == step[None, :]
    bias = (distance[..., None] * w).masked_fill(~past[..., None], -1e30)
    bias = torch.where(now[..., None], u.expand(chunk, chunk, -1), bias)  # [t, i, C]
    ages = step[:, None] * w       # of the state before the chunk, at each token
    to_end = (chunk - 1 - step)[:, None] * w
    outputs = []
    for kc, vc in zip(k.split(chunk, 1), v.split(chunk, 1)):
        e, old = bias + kc[:, None], pp[:, None] + ages
        q = torch.maximum(e.max(2).values, old).detach()
        e, old = (e - q[:, :, None]).exp(), (old - q).exp()
        outputs.append(((e * vc[:, None]).sum(2) + old * aa[:, None]) / (e.sum(2) + old * bb[:, None]))
        e, old = kc + to_end, pp + chunk * w
        q = torch.maximum(e.max(1).values, old).detach()
        e, old = (e - q[:, None]).exp(), (old - q).exp()
        aa, bb, pp = old * aa + (e * vc).sum(1), old * bb + e.sum(1), q
    return torch.cat(outputs, 1), (aa, bb, pp)


def shifted(x, carried):
    """Each row's predecessor, and the row to carry."""
    return torch.cat([carried, x[:, :-1]], 1), x[:, -1:]


def mixed_products(x, other, pairs):
    """(x + (other - x) mu) W for all pairs of mu and W, as one product x W + (other - x) (mu W)."""
    weights = torch.cat([torch.cat([W, mu.view(-1, 1) * W]) for mu, W in pairs], 1)
    return (torch.cat([x, other - x], -1) @ weights).split([W.shape[1] for _, W in pairs], -1)


def time_mix_v7(p, config, x, carried, X, v_first):
    B, T, C = x.shape
    H, N = C // config.head_size, config.head_size
    previous, carried = shifted(x, carried)
    pairs = [(p["x_r"], p["receptance.weight"].T), (p["x_k"], p["key.weight"].T), (p["x_v"], p["value.weight"].T),
             (p["x_w"], p["w1"]), (p["x_a"], p["a1"]), (p["x_g"], p["g1"])]
    r, k, v, w, a, g, *residual = mixed_products(x, previous, pairs + ([(p["x_v"], p["v1"])] if "v1" in p else []))
    lw = DECAY * torch.sigmoid(p["w0"] + torch.tanh(w) @ p["w2"])
    a = torch.sigmoid(p["a0"] + a @ p["a2"])
    g = torch.sigmoid(g) @ p["g2"]
    if v_first is None:
        v_first = v
    else:
        v = v + (v_first - v) * torch.sigmoid(p["v0"] + residual[0] @ p["v2"])
    heads = lambda z: z.view(B, T, H, N)
    kk = F.normalize(heads(k * p["k_k"]), dim=-1, eps=1e-12)
    k = k * (1 + (a - 1) * p["k_a"])
    with torch.autocast(x.device.type, enabled=False):  # sums over many tokens: in float, whatever the products are in
        y, X = wkv7(*map(heads, (r, lw, k, v)), kk, heads(a), X)
    y = F.group_norm(y.reshape(B * T, C), H, p["ln_x.weight"], p["ln_x.bias"], 64e-5).view(B, T, C)
    y = y + ((heads(r) * heads(k) * p["r_k"]).sum(-1, keepdim=True) * heads(v)).view(B, T, C)
    return (y * g) @ p["output.weight"].T, carried, X, v_first


def channel_mix_v7(p, x, carried):
    previous, carried = shifted(x, carried)
    (k,) = mixed_products(x, previous, [(p["x_k"], p["key.weight"].T)])
    return torch.relu(k) ** 2 @ p["value.weight"].T, carried


def time_mix_v4(p, config, x, carried, state, v_first):
    previous, carried = shifted(x, carried)
    k, v, r = mixed_products(previous, x, [(p["time_mix_k"], p["key.weight"].T), (p["time_mix_v"], p["value.weight"].T),
                                           (p["time_mix_r"], p["receptance.weight"].T)])
    y, state = wkv4(-p["time_decay"].exp(), p["time_first"], k.float(), v.float(), state)
    return (torch.sigmoid(r) * y) @ p["output.weight"].T, carried, state, v_first


def channel_mix_v4(p, x, carried):
    previous, carried = shifted(x, carried)
    k, r = mixed_products(previous, x, [(p["time_mix_k"], p["key.weight"].T), (p["time_mix_r"], p["receptance.weight"].T)])
    return torch.sigmoid(r) * (torch.relu(k) ** 2 @ p["value.weight"].T), carried


def forward(p, config, tokens, state, dropout=0.0):
    """Logits [B, T, V] of tokens [B, T], and the state after them. T is a multiple of 32."""
    is_v4 = config.generation == 4
    time_mix, channel_mix = (time_mix_v4, channel_mix_v4) if is_v4 else (time_mix_v7, channel_mix_v7)
    norm = lambda x, name: F.layer_norm(x, (config.n_embd,), p[name + ".weight"], p[name + ".bias"])
    x = norm(F.embedding(tokens, p["emb.weight"]), "blocks.0.ln0")
    v_first, after = None, []
    for layer, (carried_att, carried_ffn, wkv) in enumerate(state):
        block = f"blocks.{layer}."
        of = lambda part: {name[len(block + part):]: t for name, t in p.items() if name.startswith(block + part)}
        y, carried_att, wkv, v_first = time_mix(of("att."), config, norm(x, block + "ln1"), carried_att, wkv, v_first)
        x = x + F.dropout(y, dropout, training=dropout > 0)
        y, carried_ffn = channel_mix(of("ffn."), norm(x, block + "ln2"), carried_ffn)
        x = x + F.dropout(y, dropout, training=dropout > 0)
        after.append([carried_att, carried_ffn, wkv])
    return norm(x, "ln_out") @ p["head.weight"].T, after
