# SPDX-License-Identifier: Apache-2.0
"""Straight-through estimators in PyTorch, as golden/estimator.h defines them: gradients of a quantized weight and of
its blocks' scale factors, from the gradient g with respect to what multiplied."""
import torch

from quantizers import FORMATS, LARGEST, blocks, codes_and_scales, described, spacing, spread

DGE_POWER, DGE_CAP = 5, 3.0


def dge(u, element):
    """(1/k) |2t/d - 1|^(1/k - 1), capped: t is how far |u| lies in its bin of width d."""
    a = u.abs()
    width = spacing(a, element)
    z = (2 * (a / width - (a / width).floor()) - 1).abs()
    return (z ** (1 / DGE_POWER - 1) / DGE_POWER).clamp(max=DGE_CAP)


def gradients(w, operand, g, ste, scale=None):
    """(dW, d scale of each block or None). `ste`: as in a recipe file. `scale`: learned scale factors; otherwise they
    follow from w, and nothing is differentiated through their choice."""
    kind, parameter = (ste, 0.0) if isinstance(ste, str) else (ste["kind"], ste.get("parameter", 0.0))
    operand = described(operand)
    if kind == "identity" or operand is None:
        return g, None
    q, stored, tensor_scale = codes_and_scales(w, operand, scale)
    element, largest = FORMATS[operand["format"]][0], LARGEST[FORMATS[operand["format"]][0]]
    s = spread(stored * tensor_scale, operand["block"], w.shape).double()  # holds 6 s exactly
    wide = w.double()
    u = torch.where(wide == 0, wide, wide / s)
    inside = wide.abs() < largest * s.abs() if kind == "pact" else wide.abs() <= largest * s.abs()
    if kind == "trust_mask":
        inside = (wide - q.double() * s).abs() <= parameter * s.abs()
    factor = 1.0
    if kind == "ewgs":
        factor = 1 + parameter * (s * g).sign() * (u - q)
    elif kind == "dge":
        factor = dge(u, element)
    dw = torch.where(inside, g * factor, torch.zeros_like(u)).to(g.dtype)
    if kind not in ("lsq", "pact") or scale is None:
        return dw, None
    outside = u.sign() * largest
    dv = torch.where(inside, (q - u) if kind == "lsq" else torch.zeros_like(u), outside)
    sums = blocks(g * dv, operand["block"]).sum((2, 3))
    if kind == "lsq":
        sums = sums / (blocks(torch.ones_like(w), operand["block"]).sum((2, 3)) * largest).sqrt()
    return dw, (sums * tensor_scale).to(scale.dtype)
