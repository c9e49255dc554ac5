# SPDX-License-Identifier: Apache-2.0
"""What the training programs share: Python source as bytes, batches of it, the loss, the learning rate."""
import hashlib
import math
import os

import torch
from torch.nn import functional as F

SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def read_text(folder):
    """All .py files under `folder` in the order of their paths: (training bytes, held-out bytes).

    One file in 20 is held out, chosen by a hash of its path, so that the choice does not depend on the
    version of the library.
    """
    train, held_out, count = [], [], 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in SKIPPED)
        for file in sorted(f for f in files if f.endswith(".py")):
            path = os.path.join(root, file)
            with open(path, "rb") as f:
                text = f.read()
            count += 1
            digest = hashlib.sha256(os.path.relpath(path, folder).encode()).digest()
            (held_out if digest[0] % 20 == 0 else train).append(text)
    if not train or not held_out:
        raise SystemExit(f"train.py: too little Python source under {folder}; name a folder with --text.")
    return b"".join(train), b"".join(held_out), count


def batch_of(data, batch, length, generator):
    start = torch.randint(0, len(data) - length - 1, (batch,), generator=generator)
    rows = torch.stack([data[s:s + length + 1] for s in start]).long()
    return rows[:, :-1], rows[:, 1:]


def cross_entropy(logits, targets):
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def learning_rate(step, steps, peak, warmup):
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
