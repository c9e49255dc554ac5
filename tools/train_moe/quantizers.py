# SPDX-License-Identifier: Apache-2.0
"""The block formats of the recipe files as PyTorch tensor operations, straight from their formulas.

`codes_and_scales(x, format)` gives the stored codes and scale factors, `fake_quantize(x, operand)` the
dequantized values; both in float32 as the formulas say, so that the C++ quantizers can be held against
them bit for bit (tests/tools/train_moe_test.py). `RecipeLinear` trains through them with an identity
straight-through estimator. Of a recipe it applies weights, activations, schedule and kept layers; gradients
and the operands of the weight gradient pass as they are. `not_applied(recipe)` lists what else a recipe says.
"""
import json
import math
import pathlib

import torch
from torch import nn
from torch.nn import functional as F

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
FLT_MAX = torch.finfo(torch.float32).max
# element maximum, block [rows, columns] (0: the whole extent), scale rule
FORMATS = {
    "nvfp4": ("e2m1", (1, 16), "nvfp4"), "nvfp4-2d": ("e2m1", (16, 16), "nvfp4"),
    "nvfp4-paper": ("e2m1", (1, 16), "nvfp4-paper"), "nvfp4-pretraining": ("e2m1", (16, 16), "nvfp4-paper"),
    "mxfp4-floor": ("e2m1", (1, 32), "floor"), "mxfp4-rceil": ("e2m1", (1, 32), "rceil"),
    "deepseek-v4": ("e2m1", (1, 32), "rceil"), "fp4-fp32": ("e2m1", (1, 32), "amax"),
    "article": ("e2m1", (1, 32), "amax"), "article-attention": ("e2m1", (1, 16), "amax"),
    "fp8-deepseek-v3": ("e4m3", (1, 128), "amax"), "fp8-deepseek-v3-weight": ("e4m3", (128, 128), "amax"),
    "fp8-deepseek-v4": ("e4m3", (1, 128), "rceil"), "fp8-deepseek-v4-weight": ("e4m3", (128, 128), "rceil"),
    "int4-g32": ("int4", (1, 32), "amax"), "int4-g128": ("int4", (1, 128), "amax"),
}
LARGEST = {"e2m1": 6.0, "e4m3": 448.0, "int4": 7.0}


def round_element(u, element):
    """To nearest, ties to the even code, saturating."""
    if element == "e4m3":
        return u.clamp(-448, 448).to(torch.float8_e4m3fn).float()
    if element == "int4":
        return u.round().clamp(-8, 7)
    a = u.abs().clamp(max=6)
    step = torch.where(a < 2, 0.5, torch.where(a < 4, 1.0, 2.0))
    return torch.copysign((a / step).round() * step, u)  # round() ties to even


def blocks(x, shape):
    """[block rows, block columns, rows, columns] with zeros where the last blocks end early."""
    rows, cols = (n or full for n, full in zip(shape, x.shape))
    padded = F.pad(x, (0, -x.shape[1] % cols, 0, -x.shape[0] % rows))
    return padded.unflatten(0, (-1, rows)).unflatten(2, (-1, cols)).transpose(1, 2)


def joined(b, shape):
    x = b.transpose(1, 2).flatten(2, 3).flatten(0, 1)
    return x[:shape[0], :shape[1]]


def power_of_two(ratio, up):
    mantissa, exponent = torch.frexp(ratio)  # ratio = mantissa 2^exponent, mantissa in [1/2, 1)
    return torch.ldexp(torch.ones_like(ratio), exponent - (~up | (mantissa == 0.5)).to(exponent.dtype))


def scale_factors(amax, rule, element, amax_tensor):
    """(stored scale factor of each block, tensor scale, what an element is multiplied or divided by)."""
    largest = LARGEST[element]
    if rule.startswith("nvfp4"):  # TransformerEngine, or arXiv 2509.25149
        # A tensor, not a number: PyTorch computes number / tensor as number * (1 / tensor), rounded twice.
        encode = (torch.tensor(2688.0) / amax_tensor).clamp(max=FLT_MAX) if amax_tensor > 0 else torch.tensor(1.0)
        tensor_scale = 1 / encode
        times_encode = amax / 6 * encode if rule == "nvfp4-paper" else amax * (encode * torch.tensor(1 / 6.0))
        scale = round_element(times_encode.clamp(max=FLT_MAX), "e4m3")
        return scale, tensor_scale, (1 / (scale * tensor_scale)).clamp(max=FLT_MAX)
    one = torch.tensor(1.0)
    if rule == "amax":
        scale = amax / largest
        scale = torch.where(scale == 0, one, scale)
    else:
        exact = amax.double() / (4.0 if rule == "floor" else largest)
        scale = power_of_two(exact, torch.tensor(rule == "rceil")).float()
        scale = scale.clamp(min=2.0 ** -127)
    return scale, one, scale


def codes_and_scales(x, name, block=None):
    """(rounded scaled elements, scale factors [block rows, block columns], tensor scale)."""
    element, shape, rule = FORMATS[name]
    b = blocks(x.float(), block or shape)
    scale, tensor_scale, factor = scale_factors(b.abs().amax((2, 3)), rule, element, x.abs().max())
    factor = factor[:, :, None, None]
    u = b * factor if rule.startswith("nvfp4") else b / factor
    return joined(round_element(u, element), x.shape), scale, tensor_scale


def fake_quantize(x, operand):
    """`operand`: as in a recipe file. Learned scales start at amax / 6 and are not moved here."""
    if operand is None:
        return x
    name, block = (operand, None) if isinstance(operand, str) else (operand["format"], operand.get("block"))
    if name in ("bf16", "fp32"):
        return x
    element, shape, _ = FORMATS[name]
    q, scale, tensor_scale = codes_and_scales(x, name, block)
    spread = blocks(q, block or shape) * (scale * tensor_scale)[:, :, None, None]
    return joined(spread, x.shape)


class RecipeLinear(nn.Linear):
    """A linear whose operands are quantized on the way forward; gradients pass as if they were not."""
    weight_operand = activation_operand = None

    def forward(self, x):
        w = self.weight + (fake_quantize(self.weight.detach(), self.weight_operand) - self.weight.detach())
        if self.activation_operand not in (None, "bf16"):
            flat = x.detach().flatten(0, -2)
            x = x + (fake_quantize(flat, self.activation_operand).view_as(x) - x.detach())
        return F.linear(x, w)


def class_of(name):
    for word, cls in (("experts", "expert"), ("router", "router"), ("head", "head")):
        if word in name:
            return cls
    return "attention"


def layer_of(name):
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "layers" and len(parts) > 1 else -1


def kept_layers(recipe, layers):
    """Those in high precision: a share of L layers is ceil(share * L) of them."""
    first, last = (math.ceil(recipe.get("high_precision_layers", {}).get(side, 0) * layers) for side in ("first", "last"))
    return set(range(first)) | set(range(layers - last, layers))


def load_recipe(name_or_path):
    path = pathlib.Path(name_or_path)
    if not path.is_file():
        path = pathlib.Path(__file__).parents[2] / "simulator" / "recipes" / f"{name_or_path}.json"
    return json.loads(path.read_text())


def not_applied(recipe):
    """What the recipe says and training here does not do, a phrase each: for whoever compares."""
    high, found = recipe.get("high_precision", "bf16"), set()
    for c in recipe["classes"]:
        if c.get("gradient", high) != high:
            found.add("gradient formats (gradients stay in FP32)")
        found |= {f"{key} (the weight gradient reads unquantized operands)" for key in ("wgrad_input", "wgrad_gradient") if key in c}
        for operand in (c.get("weight"), c.get("activation")):
            name = operand if isinstance(operand, str) else (operand or {}).get("format")
            if name in ("article", "article-attention") or isinstance(operand, dict) and operand.get("scales") == "least_squares":
                found.add("learned scales (amax over the largest element stands in, and does not move)")
            if isinstance(operand, dict):
                found |= {f"{key} of an operand" for key in ("hadamard", "rounding", "reencode") if key in operand}
        if c.get("accumulator", {"kind": "fp32"}).get("kind") != "fp32":
            found.add("accumulators (products are PyTorch's)")
    ste = [c["ste"] for c in [recipe, *recipe["classes"]] if "ste" in c]
    if any((s if isinstance(s, str) else s.get("kind")) != "identity" for s in ste):
        found.add("straight-through estimators other than identity")
    if recipe.get("accumulator", {"kind": "fp32"}).get("kind") != "fp32":
        found.add("accumulators (products are PyTorch's)")
    found |= {f"{key} (FP32)" for key in ("master", "moments", "weight_gradient") if recipe.get(key, "fp32") != "fp32"}
    if recipe.get("loss_scaling", {"kind": "none"}).get("kind") != "none":
        found.add("loss scaling")
    return sorted(found)


def apply_recipe(model, recipe, step):
    """Gives every linear the operands that the recipe has for its class at this step."""
    classes = {c["class"]: c for c in recipe["classes"]}
    scheduled = {}
    for entry in recipe.get("schedule", []):
        scheduled.setdefault(entry["class"], None)
        if entry["step"] <= step:
            scheduled[entry["class"]] = entry["weight"]
    kept = kept_layers(recipe, 1 + max((layer_of(n) for n, _ in model.named_modules()), default=-1))
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        module.__class__ = RecipeLinear
        if layer_of(name) in kept:
            module.weight_operand = module.activation_operand = None
            continue
        c = classes.get(class_of(name), {})
        weight = scheduled.get(class_of(name), c.get("weight"))
        module.weight_operand = weight
        module.activation_operand = c.get("activation") if weight else None
