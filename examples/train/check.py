#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the models of rwkv_torch.py, made at random, with the program rwkv: logits of every position, and with the
State carried over. Ends with status 1 if they differ by more than the rounding of float.

    check.py PATH-OF-rwkv"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(77)

import rwkv_torch as rwkv


def read_logits(path):
    """The one tensor of a safetensors file, in F32."""
    data = pathlib.Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    (entry,) = (value for name, value in json.loads(data[8:8 + length]).items() if name != "__metadata__")
    begin, end = entry["data_offsets"]
    return np.frombuffer(data[8 + length + begin:8 + length + end], np.float32).reshape(entry["shape"])


def difference(program, config):
    torch.manual_seed(1)
    parameters = {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in rwkv.new_parameters(config).items()}
    tokens = torch.randint(0, config.n_vocab, (1, 128))
    with torch.no_grad():
        first, state = rwkv.forward(parameters, config, tokens[:, :64], rwkv.new_state(config, 1))
        second, _ = rwkv.forward(parameters, config, tokens[:, 64:], state)
    expected = torch.cat([first, second], 1)[0].numpy()
    with tempfile.TemporaryDirectory() as folder:
        model, logits = folder + "/model.pth", folder + "/logits.safetensors"
        torch.save(parameters, model)
        ids = ",".join(str(token) for token in tokens[0].tolist())
        subprocess.run([program, "logits", "-m", model, "--tokens", ids, "--mode", "sequence", "--out", logits], check=True)
        return np.abs(read_logits(logits) - expected).max() / np.abs(expected).max()


def main():
    # Sums over 128 tokens and 96 channels in another order: some hundred roundings of 2^-24, and 1e-4 is 1700.
    bound, failed = 1e-4, False
    for generation in (4, 7):
        worst = difference(sys.argv[1], rwkv.Config(generation, 3, 96, 256, 300, 32, 8, 8, 4, 12))
        print(f"RWKV-{generation}: the largest difference is {worst:.1e} of the largest logit")
        failed |= not worst < bound
    sys.exit(failed)


if __name__ == "__main__":
    main()
