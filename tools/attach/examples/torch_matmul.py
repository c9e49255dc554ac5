# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own matrix product on dequantized FP4 operands: how a framework runs W4A16 without a
kernel for it, and NVFP4 in emulation."""
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
E2M1 = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])


def dequantized(operand, block):
    """Element times scale factor, in FP32; without the tensor scale."""
    codes = torch.from_numpy(operand.values.codes().astype("int64"))
    scales = operand.scales.torch("cpu").to(torch.float32)
    scales = scales.repeat_interleave(block, 1)[:, :codes.shape[1]]
    return (E2M1[codes] * scales).to(DEVICE)


def finish(call, product):
    scale = call.alpha
    for operand in (call.a, call.b):
        if operand.tensor_scale is not None:
            scale = scale * operand.tensor_scale.torch("cpu")
    d = product.float() * scale
    if call.beta != 0:
        d = d + call.beta * call.c.torch()
    if call.bias is not None:
        d = d + call.bias.torch()
    call.d.torch()[...] = d.to(call.d.torch().dtype)


@assay.entry(operation="gemm", a="nvfp4", b="nvfp4", device=DEVICE)
def emulated_nvfp4(call):
    finish(call, dequantized(call.a, 16) @ dequantized(call.b, 16).T)


@assay.entry(operation="gemm", a="nvfp4", b="nvfp4", d="bf16", device=DEVICE)
def emulated_nvfp4_bf16(call):
    finish(call, dequantized(call.a, 16) @ dequantized(call.b, 16).T)


@assay.entry(operation="gemm", a="bf16", b="mxfp4-rceil", device=DEVICE)
def w4a16(call):
    finish(call, call.a.torch().float() @ dequantized(call.b, 32).T)


@assay.entry(operation="gemm", a="bf16", b="mxfp4-rceil", device=DEVICE)
def w4a16_bf16_product(call):
    """The product in bf16, as a framework does it: claims more than it holds."""
    finish(call, call.a.torch() @ dequantized(call.b, 32).to(torch.bfloat16).T)


assay.main("PyTorch " + torch.__version__)
