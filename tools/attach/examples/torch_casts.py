# SPDX-License-Identifier: Apache-2.0
"""PyTorch's casts to its 8-bit types and to bfloat16, on the CPU or, with DEVICE=cuda, on a GPU."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import assay_attach as assay

try:
    import torch
except ImportError as missing:
    sys.exit(f"needs PyTorch: {missing}")

DEVICE = os.environ.get("DEVICE", "cpu")
CODES = {"e4m3": torch.float8_e4m3fn, "e8m0": torch.float8_e8m0fnu, "bf16": torch.bfloat16}


def declare(code, source, profile, rounding="nearest_even", nan=None):
    """nan: the code that is put in place of a NaN's, to look at the numbers alone."""

    @assay.entry(operation="convert", a=code, d=source, profile=profile, rounding=rounding,
                 device=DEVICE,
                 name=f"{source}.{code}.{rounding}" + ("" if nan is None else ".nan_aside"))
    def cast(call):
        x = call.x.torch()
        codes = x.to(CODES[code])
        if nan is not None:
            codes.view(torch.uint8)[x.isnan()] = nan
        call.q.store(codes)


for source in ("fp32", "fp16", "bf16"):
    declare("e4m3", source, "cuda13")
    declare("e4m3", source, "cuda13", nan=0x7F)
    declare("e8m0", source, "cuda13-nosat")
    # PyTorch's source says that the last bit of a tie is the implied one: away from zero.
    declare("e8m0", source, "cuda13-nosat", "nearest_away")
declare("bf16", "fp32", "ieee")
assay.main("PyTorch " + torch.__version__)
