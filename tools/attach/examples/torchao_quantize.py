# SPDX-License-Identifier: Apache-2.0
"""torchao's reference quantizers (prototype.mx_formats), in eager mode on the CPU."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import assay_attach as assay

try:
    import torch
    import torchao
    from torchao.prototype.mx_formats.config import ScaleCalculationMode
    from torchao.prototype.mx_formats.mx_tensor import to_mx
    from torchao.prototype.mx_formats.nvfp4_tensor import nvfp4_quantize, per_tensor_amax_to_scale
except ImportError as missing:
    sys.exit(f"needs torchao: {missing}")


def mx(call, mode):
    if call.k % 32:
        raise assay.Declined("to_mx takes whole blocks only")
    scales, codes = to_mx(call.x.torch().contiguous(), torch.float4_e2m1fn_x2, 32, mode)
    call.q.scales.store(scales)
    call.q.values.store(codes)


@assay.entry(operation="quantize", a="mxfp4-floor", k_multiple=32)
def floor(call):
    mx(call, ScaleCalculationMode.FLOOR)


@assay.entry(operation="quantize", a="mxfp4-rceil", k_multiple=32)
def rceil(call):
    mx(call, ScaleCalculationMode.RCEIL)


def nvfp4(call):
    if call.k % 16:
        raise assay.Declined("nvfp4_quantize takes whole blocks only")
    x = call.x.torch().contiguous()
    tensor_scale = per_tensor_amax_to_scale(x.abs().max())
    scales, codes = nvfp4_quantize(x, 16, tensor_scale)
    call.q.tensor_scale.store(tensor_scale.reshape(1))
    call.q.scales.store(scales)
    call.q.values.store(codes)


@assay.entry(operation="quantize", a="nvfp4", k_multiple=16, name="nvfp4_as_te")
def nvfp4_as_te(call):
    nvfp4(call)


@assay.entry(operation="quantize", a="nvfp4-divide", k_multiple=16, name="nvfp4_as_divide")
def nvfp4_as_divide(call):
    nvfp4(call)


to_mx(torch.zeros(1, 32), torch.float4_e2m1fn_x2, 32)  # the first call loads what is loaded late
assay.main("torchao " + torchao.__version__)
