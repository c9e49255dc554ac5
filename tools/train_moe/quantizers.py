# SPDX-License-Identifier: Apache-2.0
"""The block formats of the recipe files as PyTorch tensor operations, straight from their formulas.

`codes_and_scales(x, operand)` gives the stored codes and scale factors, `fake_quantize(x, operand)` the
dequantized values; both in float32 as the formulas say, so that the C++ quantizers can be held against
them bit for bit (tests/tools/train_moe_test.py). An operand is what a recipe file calls so: the name of a
format, or {format, block, scales, rounding, random_bits, hadamard, signs}.
"""
import functools

import torch
from torch.nn import functional as F

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
FLT_MAX = torch.finfo(torch.float32).max
# element, block [rows, columns] (0: the whole extent), scale rule
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


def described(operand):
    """The operand as a dict with `format` and `block`; None: high precision."""
    operand = {"format": operand} if isinstance(operand, str) or operand is None else dict(operand)
    if operand["format"] in (None, "bf16", "fp32"):
        return None
    operand.setdefault("block", FORMATS[operand["format"]][1])
    return operand


def spacing(a, element):
    """The distance of a magnitude's upper code from its lower one."""
    if element == "e4m3":
        return torch.ldexp(torch.ones_like(a), (torch.frexp(a).exponent - 1).clamp(min=-6) - 3)
    if element == "int4":
        return torch.ones_like(a)
    return torch.where(a < 2, 0.5, torch.where(a < 4, 1.0, 2.0)).to(a.dtype)


def round_element(u, element, bits=0):
    """To nearest, ties to the even code, saturating. `bits` above 0: stochastic; a magnitude between two codes takes
    the upper one iff floor(f 2^bits) + r >= 2^bits, f its place between them and r a random word of so many bits."""
    if bits:
        a = u.abs().clamp(max=LARGEST[element])
        step = spacing(a, element)
        low = (a / step).floor()
        word = torch.randint(0, 1 << bits, u.shape, device=u.device)
        up = ((a / step - low) * (1 << bits)).floor() + word >= 1 << bits
        return torch.copysign((low + up) * step, u)
    if element == "e4m3":
        return u.clamp(-448, 448).to(torch.float8_e4m3fn).float()
    if element == "int4":
        return u.round().clamp(-8, 7)
    a = u.abs().clamp(max=6)
    step = spacing(a, element)
    return torch.copysign((a / step).round() * step, u)  # round() ties to even


def blocks(x, shape):
    """[block rows, block columns, rows, columns] with zeros where the last blocks end early."""
    rows, cols = (n or full for n, full in zip(shape, x.shape))
    padded = F.pad(x, (0, -x.shape[1] % cols, 0, -x.shape[0] % rows))
    return padded.unflatten(0, (-1, rows)).unflatten(2, (-1, cols)).transpose(1, 2)


def joined(b, shape):
    x = b.transpose(1, 2).flatten(2, 3).flatten(0, 1)
    return x[:shape[0], :shape[1]]


def spread(scale, block, shape):
    """A number of each block at every one of its elements."""
    rows, cols = (n or full for n, full in zip(block, shape))
    return scale.repeat_interleave(rows, 0).repeat_interleave(cols, 1)[:shape[0], :shape[1]]


def power_of_two(ratio, up):
    mantissa, exponent = torch.frexp(ratio)  # ratio = mantissa 2^exponent, mantissa in [1/2, 1)
    down = (mantissa == 0.5) if up else torch.ones_like(mantissa, dtype=torch.bool)
    return torch.ldexp(torch.ones_like(ratio), exponent - down.to(exponent.dtype))


def scale_factors(amax, rule, element, amax_tensor):
    """(stored scale factor of each block, tensor scale, what an element is multiplied or divided by)."""
    largest, number = LARGEST[element], functools.partial(torch.tensor, device=amax.device)
    if rule.startswith("nvfp4"):  # TransformerEngine, or arXiv 2509.25149
        # A tensor, not a number: PyTorch computes number / tensor as number * (1 / tensor), rounded twice.
        encode = (number(2688.0) / amax_tensor).clamp(max=FLT_MAX) if amax_tensor > 0 else number(1.0)
        tensor_scale = 1 / encode
        times_encode = amax / 6 * encode if rule == "nvfp4-paper" else amax * (encode * number(1 / 6.0))
        scale = round_element(times_encode.clamp(max=FLT_MAX), "e4m3")
        return scale, tensor_scale, (1 / (scale * tensor_scale)).clamp(max=FLT_MAX)
    one = number(1.0)
    if rule == "amax":
        scale = amax / largest
        scale = torch.where(scale == 0, one, scale)
    else:
        scale = power_of_two(amax.double() / (4.0 if rule == "floor" else largest), rule == "rceil").float()
        scale = scale.clamp(min=2.0 ** -127)
    return scale, one, scale


def least_squares_scales(x, block):
    """The scale of least squared error of each block's E2M1 codes, 1 where all are 0 (formats/learned_scale.h): the
    codes change only where |x| / s is a midpoint, and for codes q the best s is <x, q> / <q, q>."""
    a = blocks(x, block).flatten(2).abs().double()
    values = E2M1.to(a)
    middles, steps = (values[1:] + values[:-1]) / 2, values[1:] - values[:-1]
    at = (a[..., None] / middles).flatten(2)  # a larger s turns values[i + 1] into values[i]
    order = at.sort(dim=-1)
    fall_xq = (a[..., None] * steps).flatten(2).gather(-1, order.indices)
    fall_qq = (values[1:] ** 2 - values[:-1] ** 2).expand(*a.shape, -1).flatten(2).gather(-1, order.indices)
    # Sums from the largest s down: of all codes that are not zero yet.
    xq, qq = (f.flip(-1).cumsum(-1).flip(-1) for f in (fall_xq, fall_qq))
    best = (xq * xq / qq.clamp(min=1e-300)).argmax(-1, keepdim=True)
    scale = (xq.gather(-1, best) / qq.gather(-1, best).clamp(min=1e-300)).squeeze(-1).float()
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def codes_and_scales(x, operand, scale=None):
    """(rounded scaled elements, scale factors [block rows, block columns], tensor scale). `scale`: given ones."""
    operand = described(operand)
    element, _, rule = FORMATS[operand["format"]]
    x, block = x.float(), operand["block"]
    if scale is None and operand.get("scales") == "least_squares":
        scale = least_squares_scales(x, block)
    if scale is None:
        amax = blocks(x, block).abs().amax((2, 3))
        scale, tensor_scale, factor = scale_factors(amax, rule, element, x.abs().max())
    else:
        tensor_scale, factor, rule = torch.ones((), device=x.device), scale, "given"
    factor = spread(factor, block, x.shape)
    bits = operand.get("random_bits", 16) if operand.get("rounding") == "stochastic" else 0
    return (round_element(x * factor if rule.startswith("nvfp4") else x / factor, element, bits), scale, tensor_scale)


@functools.cache
def fixed_signs(n):
    """-1 where the first bit of the Philox4x32-10 word of key 0 is set (formats/philox.h)."""
    out = []
    for i in range(n):
        c, keys, mask = [i // 4, 0, 0, 0], [0, 0], 0xFFFFFFFF
        for _ in range(10):
            p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(p1 >> 32) ^ c[1] ^ keys[0], p1 & mask, (p0 >> 32) ^ c[3] ^ keys[1], p0 & mask]
            keys = [(keys[0] + 0x9E3779B9) & mask, (keys[1] + 0xBB67AE85) & mask]
        out.append(-1.0 if c[i % 4] >> 31 else 1.0)
    return torch.tensor(out)


@functools.cache
def rotation(n, signs):
    """The orthonormal Hadamard matrix of Sylvester times the signs, in double."""
    h = torch.ones(1, 1, dtype=torch.float64)
    while h.shape[0] < n:
        h = torch.cat((torch.cat((h, h), 1), torch.cat((h, -h), 1)))
    return h * n ** -0.5 * (fixed_signs(n).double() if signs == "random" else 1.0)


def turned(x, operand, back):
    """Groups of n along the longer side of the block, along a row where it is square; a rest is left as it is."""
    n, (rows, cols) = operand["hadamard"], operand["block"]
    down = cols != 0 and (rows == 0 or rows > cols)
    x = x.t() if down else x
    whole = x.shape[1] // n * n
    matrix = rotation(n, operand.get("signs")).to(x.device)
    groups = x[:, :whole].double().unflatten(1, (-1, n)) @ (matrix if back else matrix.t())
    x = torch.cat((groups.flatten(1).float(), x[:, whole:]), 1)
    return x.t() if down else x


def fake_quantize(x, operand, scale=None):
    operand = described(operand)
    if operand is None:
        return x
    if "hadamard" in operand:
        plain = {k: v for k, v in operand.items() if k not in ("hadamard", "signs")}
        return turned(fake_quantize(turned(x, operand, False), plain, scale), operand, True)
    q, scale, tensor_scale = codes_and_scales(x, operand, scale)
    return q * spread(scale * tensor_scale, operand["block"], x.shape)
