# SPDX-License-Identifier: Apache-2.0
"""Reads safetensors files, and writes them whole or not at all; needs nothing but torch."""
import hashlib
import json
import os
import struct

import torch

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64",
         torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
         torch.uint8: "U8", torch.bool: "BOOL"}


def raw_bytes(tensor):
    if tensor.numel() == 0:
        return b""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def byte_size(tensor):
    return tensor.numel() * tensor.element_size()


def write_atomically(path, chunks):
    """Returns (bytes, SHA-256) of what was written."""
    temporary = f"{path}.tmp{os.getpid()}"
    digest, size = hashlib.sha256(), 0
    try:
        with open(temporary, "wb") as f:
            for chunk in chunks:
                f.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
    return size, digest.hexdigest()


def save(path, tensors):
    """tensors: dict from name to CPU tensor, written in this order without holes."""
    # Without its manifest a recording must not pass for a checkpoint.
    header, offset = {"__metadata__": {"assay-recording": "1"}}, 0
    for name, t in tensors.items():
        size = byte_size(t)
        header[name] = {"dtype": NAMES[t.dtype], "shape": list(t.shape),
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return write_atomically(path, (c for cs in ((struct.pack("<Q", len(text)), text),
                                                map(raw_bytes, tensors.values())) for c in cs))


def load(path):
    """dict from name to CPU tensor. The file is one that save() wrote, or as well formed."""
    types = {name: dtype for dtype, name in NAMES.items()}
    with open(path, "rb") as f:
        raw = f.read()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    return {name: torch.frombuffer(bytearray(raw[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]]),
                                   dtype=types[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items() if 0 not in t["shape"]}
