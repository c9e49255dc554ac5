#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads assay's golden vectors and derives what they expect anew, from formulas of its own.

    check_vectors.py [FILE] [--verbose]

An example of how to use the file without assay, and a second opinion on it: conversions by exact
fractions, block quantizers by NumPy's FP32 arithmetic, Philox by its definition. Needs Python 3.9 and
NumPy. Prints what was checked and what was not; exit 1 where a case differs, 4 for a file it cannot
read.
"""
import argparse
import json
import math
import pathlib
import sys
from fractions import Fraction

import numpy

F = numpy.float32

# exponent bits, mantissa bits, bias, signed, specials (none, nan: all ones, ieee), subnormals
FORMATS = {
    "e2m1": (2, 1, 1, True, "none", True), "e2m3": (2, 3, 1, True, "none", True),
    "e3m2": (3, 2, 3, True, "none", True), "e4m3": (4, 3, 7, True, "nan", True),
    "e5m2": (5, 2, 15, True, "ieee", True), "ue4m3": (4, 3, 7, False, "nan", True),
    "e8m0": (8, 0, 127, False, "nan", False), "e5m6": (5, 6, 15, True, "ieee", True),
    "bf16": (8, 7, 127, True, "ieee", True), "fp16": (5, 10, 15, True, "ieee", True),
    "tf32": (8, 10, 127, True, "ieee", True), "fp32": (8, 23, 127, True, "ieee", True),
    "fp64": (11, 52, 1023, True, "ieee", True),
}
# What a policy makes of NaN (by format, else its default), of overflow, and of negative numbers.
POLICIES = {
    "ieee": ("canonical", "overflow", "nan"), "saturating": ("canonical", "saturate", "clamp"),
    "ocp_saturating": ("canonical", "saturate", "clamp"),
    "ocp_nonsaturating": ("canonical", "overflow", "clamp"),
    "cuda13": ("all_ones", "saturate", "absolute"),
    "cuda13-nosat": ("all_ones", "overflow", "absolute"), "ml_dtypes": ("signed", "overflow", "nan"),
}


class Unsupported(Exception):
    """This script has no formula for it."""


def limits(name):
    """Largest finite magnitude code, the code of Inf or None, the canonical NaN or None."""
    e, m, _, _, specials, _ = FORMATS[name]
    ones = (1 << (e + m)) - 1
    if specials == "none":
        return ones, None, None
    if specials == "nan":
        return ones - 1, None, ones
    infinity = ((1 << e) - 1) << m
    return infinity - 1, infinity, infinity | (1 << (m - 1))


def magnitude(name, code):
    """The finite number of a magnitude code."""
    _, m, bias, _, _, subnormals = FORMATS[name]
    exponent, fraction = code >> m, code & ((1 << m) - 1)
    if exponent == 0 and subnormals:
        return Fraction(fraction) * Fraction(2) ** (1 - bias - m)
    return Fraction((1 << m) + fraction) * Fraction(2) ** (exponent - bias - m)


def decode(name, code):
    """(kind, negative, Fraction): kind is number, inf or nan."""
    if name == "int4":
        value = code - 16 if code >= 8 else code
        return "number", value < 0, Fraction(abs(value))
    e, m, _, signed, _, _ = FORMATS[name]
    negative = bool(signed and code >> (e + m) & 1)
    code &= (1 << (e + m)) - 1
    largest, infinity, nan = limits(name)
    if code <= largest:
        return "number", negative, magnitude(name, code)
    return ("inf" if code == infinity else "nan"), negative, Fraction(0)


def floor_log2(x):
    k = x.numerator.bit_length() - x.denominator.bit_length()
    return k if Fraction(2) ** k <= x else k - 1


def goes_up(rest, odd, negative, mode, word, bits):
    if mode == "nearest_even":
        return rest > Fraction(1, 2) or (rest == Fraction(1, 2) and odd)
    if mode == "nearest_away":
        return rest >= Fraction(1, 2)
    if mode == "toward_positive":
        return rest > 0 and not negative
    if mode == "toward_negative":
        return rest > 0 and negative
    if mode == "to_odd":
        return rest > 0 and not odd
    if mode == "stochastic":
        return math.floor(rest * 2 ** bits) + word >= 2 ** bits
    return False


def round_magnitude(name, x, negative, mode, word, bits):
    """The magnitude code of x > 0, as if the exponents had no upper end."""
    _, m, bias, _, _, subnormals = FORMATS[name]
    exponent = floor_log2(x)
    if not subnormals and exponent < -bias:
        return 0
    exponent = max(exponent, 1 - bias if subnormals else -bias)
    steps = x / Fraction(2) ** (exponent - m)
    code = math.floor(steps) + ((exponent + bias - 1) << m)
    return code + goes_up(steps - math.floor(steps), code & 1, negative, mode, word, bits)


def encode_int4(kind, negative, x, mode):
    if kind == "nan":
        return 0
    steps = 7 if kind == "inf" else math.floor(x) + goes_up(x % 1, math.floor(x) & 1, negative, mode, 0, 0)
    steps = min(steps, 7)
    return (16 - steps) % 16 if negative else steps


def encode(name, value, mode, policy, word=0, bits=0, from_fp64=False):
    kind, negative, x = value
    if name == "int4":
        return encode_int4(kind, negative, x, mode)
    e, m, _, signed, specials, subnormals = FORMATS[name]
    nan_rule, overflow, unsigned_rule = POLICIES[policy]
    largest, infinity, nan = limits(name)
    sign = 1 << (e + m) if signed else 0
    ones = (1 << (e + m)) - 1
    if kind == "nan":
        if specials == "none":
            if policy == "ml_dtypes":
                return 0 if negative else sign
            return largest
        keeps = nan_rule == "signed" and name != "e8m0" or (policy.startswith("cuda") and from_fp64)
        if nan_rule == "all_ones" and specials == "ieee" and not from_fp64:
            return ones
        return nan | (sign if keeps and negative else 0)
    zero = kind == "number" and x == 0
    if not signed:
        unreachable = (negative and not zero) or (zero and not subnormals)
        if unreachable and unsigned_rule == "nan":
            return nan
        if negative and unsigned_rule == "clamp":
            return 0
        negative = False
    over = {"saturate": largest, "overflow": infinity or nan or largest}[overflow]
    if specials == "ieee" and name not in ("e5m2",) and policy == "cuda13":
        over = infinity  # the headers saturate FP8 only
    if kind == "inf":
        code = over
    else:
        code = 0 if zero else round_magnitude(name, x, negative, mode, word, bits)
        inward = mode in ("toward_zero", "to_odd") or mode == (
            "toward_positive" if negative else "toward_negative")
        if code > largest:
            code = largest if inward else over
    return code | (sign if negative else 0)


def hexes(text):
    return [int(word, 16) for word in text.split()]


def floats(text):
    return numpy.array(hexes(text), numpy.uint32).view(F)


def bits_of(values):
    return [int(b) for b in numpy.asarray(values, F).view(numpy.uint32)]


def code_of(name, x, mode="nearest_even", word=0, bits=0):
    """The code of an FP32 number, saturating."""
    return encode(name, decode("fp32", bits_of([x])[0]), mode, "saturating", word, bits)


def number_of(name, code):
    kind, negative, x = decode(name, code)
    value = {"number": float(x), "inf": math.inf, "nan": math.nan}[kind]
    return F(-value if negative else value)


# --- the operations ------------------------------------------------------------------------------

def philox(seed, index):
    counter = [index // 4 & 0xFFFFFFFF, index // 4 >> 32, 0, 0]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        counter = [b >> 32 ^ counter[1] ^ key[0], b & 0xFFFFFFFF, a >> 32 ^ counter[3] ^ key[1],
                   a & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter[index % 4]


def check_random(case):
    p = case["parameters"]
    return {"words": [philox(p["seed"], p["index"] + i) >> (32 - p["random_bits"])
                      for i in range(p["count"])]}


def check_encode(case):
    p, inputs = case["parameters"], case["inputs"]
    bits = p.get("random_bits", 0)
    words = hexes(inputs.get("words", ""))
    codes = []
    for i, x in enumerate(hexes(inputs["x"])):
        word = words[i] if words else philox(p["seed"], p["index"] + i) >> (32 - bits) if bits else 0
        codes.append(encode(case["format"], decode(p["source"], x), case["rounding"], case["policy"],
                            word, bits, p["source"] == "fp64"))
    return {"codes": codes}


def check_decode(case):
    values = []
    for code in hexes(case["inputs"]["codes"]):
        kind, negative, _ = decode(case["format"], code)
        bits = 0x7FC00000 if kind == "nan" else bits_of([number_of(case["format"], code)])[0] & 0x7FFFFFFF
        values.append(bits | (0x80000000 if negative else 0))
    return {"values": values}


ELEMENT = {"nvfp4": "e2m1", "mxfp4": "e2m1", "mxfp6-e2m3": "e2m3", "mxfp6-e3m2": "e3m2",
           "mxfp8-e4m3": "e4m3", "mxfp8-e5m2": "e5m2", "deepseek": "e2m1", "mxint4": "int4",
           "nvfp6-e2m3": "e2m3", "nvfp6-e3m2": "e3m2", "nvfp8-e4m3": "e4m3", "nvfp8-e5m2": "e5m2",
           "nvint4": "int4", "fp8-deepseek-v3": "e4m3", "fp4": "e2m1", "fp6-e2m3": "e2m3", "fp6-e3m2": "e3m2",
           "fp8-e4m3": "e4m3", "fp8-e5m2": "e5m2", "int4": "int4"}
EXPONENT = {"e2m1": 2, "e2m3": 2, "e3m2": 4, "e4m3": 8, "e5m2": 15, "int4": 2}
LARGEST = {"e2m1": 6, "e2m3": Fraction(15, 2), "e3m2": 28, "e4m3": 448, "e5m2": 57344, "int4": 7}
# Bits behind the leading one of the largest value.
MANTISSA = {"e2m1": 1, "e2m3": 3, "e3m2": 2, "e4m3": 3, "e5m2": 2, "int4": 2}


def mx_exponent(rule, amax, element):
    """log2 of the scale factor of a block, amax > 0 exact."""
    if rule == "floor":
        return floor_log2(amax) - EXPONENT[element]
    if rule == "ceil":
        k = floor_log2(amax)
        return k + (amax > Fraction(2) ** k) - EXPONENT[element]
    if rule == "rceil":
        ratio = amax / LARGEST[element]
        k = floor_log2(ratio)
        return k + (ratio > Fraction(2) ** k)
    if rule == "even":
        k = floor_log2(amax)
        unit = Fraction(2) ** (k - MANTISSA[element])
        return floor_log2(math.floor(amax / unit + Fraction(1, 2)) * unit) - EXPONENT[element]
    raise Unsupported(rule)


def check_mx(case):
    name = case["format"]
    element = next(e for prefix, e in ELEMENT.items() if name.startswith(prefix))
    rule = "rceil" if name == "deepseek-v4" else name.rsplit("-", 1)[1]
    pre_scale = Fraction(3, 4) if rule == "sr" else 1
    rule = "floor" if rule == "sr" else rule
    codes, scales = [], []
    x = [decode("fp32", b) for b in hexes(case["inputs"]["x"])]
    for start in range(0, len(x), 32):
        block = x[start:start + 32]
        if any(kind != "number" for kind, _, _ in block):
            scales.append(0xFF)
            codes += [0] * len(block)
            continue
        amax = max(v for _, _, v in block)
        if name == "deepseek-v4":
            amax = max(amax, 6 * Fraction(2) ** -126)
        exponent = max(mx_exponent(rule, amax, element), -127) if amax else -127
        scales.append(exponent + 127)
        codes += [encode(element, (kind, negative, v * pre_scale / Fraction(2) ** exponent),
                         case["rounding"], "saturating") for kind, negative, v in block]
    return {"codes": codes, "scales": scales}


def nvfp4_tensor(name, amax):
    """What the tensor contributes: S_enc and the tensor scale."""
    top = F(1536) if "4over6" in name else F(2688)
    if name == "nvfp4-divide":
        g = F(amax / F(2688))
        return None, g if g != 0 else F(1)
    s_enc = F(min(F(top / amax), numpy.finfo(F).max)) if amax != 0 else F(1)
    return s_enc, F(F(1) / s_enc)


def nvfp4_block(name, factor, amax, s_enc, g):
    """The code of the scale factor, and the function from elements to scaled elements."""
    top = numpy.finfo(F).max
    if name == "nvfp4-divide":
        scale = code_of("ue4m3", F(F(amax / F(6)) / g))
        both = F(number_of("ue4m3", scale) * g)
        return scale, lambda x: F(0) if both == 0 else F(x / both)
    if name == "nvfp4":
        wanted = F(amax * F(s_enc * F(F(1) / F(6))))
    else:
        wanted = F(F(amax / F(6)) * s_enc)
        if factor == 4:
            wanted = F(wanted * F(1.5))
    scale = code_of("ue4m3", min(wanted, top))
    multiplier = min(F(F(1) / F(number_of("ue4m3", scale) * g)), top)
    return scale, lambda x: F(x * multiplier)


def error_of(name, x, codes, scale, g):
    """4over6's measure, summed left to right in FP32."""
    total = F(0)
    for value, code in zip(x, codes):
        product = float(number_of("e2m1", code)) * float(number_of("ue4m3", scale)) * float(g)
        e = F(abs(F(F(product) - value)))
        if name.endswith("max"):
            total = max(total, e)
        else:
            total = F(total + (e if name.endswith("mae") else F(e * e)))
    return total


def check_nvfp4(case):
    name = case["format"]
    if name not in ("nvfp4", "nvfp4-divide", "nvfp4-paper", "nvfp4-4over6", "nvfp4-4over6-mae",
                    "nvfp4-4over6-max"):
        raise Unsupported("order of operations")
    p = case["parameters"]
    x = floats(case["inputs"]["x"])
    finite = numpy.isfinite(x)
    s_enc, g = nvfp4_tensor(name, F(numpy.abs(x[finite]).max()))
    codes, scales = [], []
    for start in range(0, len(x), 16):
        block = x[start:start + 16]
        if not finite[start:start + 16].all():
            scales.append(0x7F)
            codes += [0] * 16
            continue
        best = None
        for factor in (6, 4) if "4over6" in name else (6,):
            scale, scaled = nvfp4_block(name, factor, F(numpy.abs(block).max()), s_enc, g)
            bits = p.get("random_bits", 0)
            mine = [code_of("e2m1", scaled(v), case["rounding"],
                            philox(p["seed"], start + i) >> (32 - bits) if bits else 0, bits)
                    for i, v in enumerate(block)]
            error = error_of(name, block, mine, scale, g) if "4over6" in name else F(0)
            if best is None or error < best[0]:
                best = error, scale, mine
        scales.append(best[1])
        codes += best[2]
    return {"codes": codes, "scales": scales, "tensor_scale": bits_of([g])}


TINY = {"torchao": F(2.0 ** -6), "modelopt-clamp": F(2.0 ** -9)}  # what clamps a scale factor from below


def order_of(name, element, amax):
    """The tensor scale (None: none), and from a block's amax its scale factor before the rounding to
    E4M3 and the function that scales elements, given that factor rounded."""
    most, top = numpy.finfo(F).max, F(float(LARGEST[element]))
    variant = name.split("nvfp4-")[-1] if name.startswith("nvfp4") else name.split("-")[-1]

    def by(divisor):
        return lambda x: F(0) if divisor == 0 else F(x / divisor)

    def times(factor):
        return lambda x: F(x * min(factor, most))

    if variant in ("single", "single-multiply"):
        wanted = (lambda a: F(a * F(F(1) / F(6)))) if variant == "single-multiply" else \
            (lambda a: Fraction(float(a)) / 6)
        return None, wanted, lambda s: by(s)
    if variant == "sr":
        g = F(amax / F(43008 / 17)) or F(1)
        return g, lambda a: F(F(a / F(96 / 17)) / g), lambda s: by(F(s * g))
    if variant in ("up", "reciprocal", "torchao", "modelopt", "modelopt-clamp"):
        g = F(amax / F(448 * top)) or F(1)
        if variant.startswith("modelopt"):
            wanted = lambda a: max(F(a / F(F(6) * g)) or F(1), TINY.get(variant, F(0)))
        else:
            wanted = lambda a: max(F(F(a / top) / g), TINY.get(variant, F(0)))
        if variant == "reciprocal":
            return g, wanted, lambda s: times(F(F(1) / F(s * g)))
        if variant == "torchao":
            inverse = min(F(F(1) / g), most)
            return g, wanted, lambda s: times(F(inverse / s))
        return g, wanted, lambda s: by(F(s * g))
    s_enc = F(min(F(F(448 * top) / amax), most)) if amax != 0 else F(1)
    g = F(F(1) / s_enc)
    wanted = lambda a: min(F(F(a / top) * s_enc), most)
    if variant == "compressed-tensors":
        return g, wanted, lambda s: by(F(s / s_enc))
    if name in ("nvfp6-e2m3", "nvfp6-e3m2", "nvfp8-e4m3", "nvfp8-e5m2", "nvint4"):
        return g, wanted, lambda s: times(F(F(1) / F(s * g)))
    raise Unsupported("order of operations")


def check_e4m3_scales(case):
    """Orders of E4M3 scale factors per 16 elements, for finite x to nearest."""
    name = case["format"]
    if case["rounding"] != "nearest_even":
        raise Unsupported("rounding")
    element = next(ELEMENT[prefix] for prefix in sorted(ELEMENT, key=len, reverse=True)
                   if name.startswith(prefix))
    x = floats(case["inputs"]["x"])
    g, wanted, scaling = order_of(name, element, F(numpy.abs(x).max()))
    mode = "toward_positive" if name.endswith("-up") else "nearest_even"
    codes, scales = [], []
    for start in range(0, len(x), 16):
        exact = wanted(F(numpy.abs(x[start:start + 16]).max()))
        value = ("number", False, exact) if isinstance(exact, Fraction) else decode("fp32", bits_of([exact])[0])
        scale = encode("ue4m3", value, mode, "saturating")
        if name == "nvfp4-compressed-tensors" and scale == 0:
            scale = code_of("ue4m3", F(0.125))
        scales.append(scale)
        scaled = scaling(number_of("ue4m3", scale))
        codes += [code_of(element, scaled(v)) for v in x[start:start + 16]]
    return {"codes": codes, "scales": scales, **({} if g is None else {"tensor_scale": bits_of([g])})}


def check_plain_scales(case):
    """amax / max in FP32 or rounded to BF16, 1 for a block of zeros."""
    name = case["format"]
    element = next(ELEMENT[prefix] for prefix in sorted(ELEMENT, key=len, reverse=True)
                   if name.startswith(prefix))
    width = 128 if name in ("int4-g128", "fp8-deepseek-v3") else 32
    kind = "bf16" if name.endswith("-bf16") else "fp32"
    x = floats(case["inputs"]["x"])
    codes, scales = [], []
    for start in range(0, len(x), width):
        block = x[start:start + width]
        wanted = F(F(numpy.abs(block).max()) / F(float(LARGEST[element]))) or F(1)
        scales.append(code_of(kind, wanted))
        factor = number_of(kind, scales[-1])
        codes += [code_of(element, F(v / factor)) for v in block]
    return {"codes": codes, "scales": scales}


def check_quantize(case):
    name = case["format"]
    try:
        if name.startswith("nvfp4"):
            return check_nvfp4(case)
    except Unsupported:
        pass
    if name.startswith("nv"):
        return check_e4m3_scales(case)
    if name.startswith(("mx", "deepseek-v4")):
        return check_mx(case)
    if name.startswith("int4-g") or name == "fp8-deepseek-v3" or name.endswith(("-bf16", "-fp32")):
        return check_plain_scales(case)
    raise Unsupported("block format")


def products(case):
    """code * scale * tensor scale of each element, exact, None for NaN, with the sign of zeros."""
    element, scale_format = ("e2m1", "ue4m3" if case["format"].startswith("nvfp4") else "e8m0")
    width = 16 if scale_format == "ue4m3" else 32
    g = decode("fp32", hexes(case["inputs"]["tensor_scale"])[0])[2] if "tensor_scale" in case["inputs"] else 1
    scales = [decode(scale_format, s) for s in hexes(case["inputs"]["scales"])]
    out = []
    for i, code in enumerate(hexes(case["inputs"]["codes"])):
        kind, _, s = scales[i // width]
        _, negative, x = decode(element, code)
        out.append(None if kind == "nan" else (negative, x * s * g))
    return out


def check_dequantize(case):
    if case["parameters"]["rows"] != 1:
        raise Unsupported("more than one row")
    return {"values": [0x7FC00000 if v is None else encode("fp32", ("number", *v), "nearest_even", "ieee")
                       for v in products(case)]}


def check_reencode(case):
    """Not the choice of scales, but that the values are the same; a refusal by the windows."""
    answer, target = case["expected"], case["parameters"]["target"]
    if not answer["lossless"]:
        exponents = [s - 127 for s in hexes(case["inputs"]["scales"])]
        spread = max(exponents) - min(exponents)
        if spread <= (17 if target == "nvfp4" else 14):
            raise AssertionError("refused inside the window")
        return answer
    before = products(case)
    if target == "nvfp4":
        after = products({"format": "nvfp4", "inputs": {
            "codes": answer["codes"], "scales": answer["scales"], "tensor_scale": answer["tensor_scale"]}})
    else:
        (_, _, s), = [decode("e8m0", c) for c in hexes(answer["scales"])]
        after = []
        for code in hexes(answer["codes"]):
            kind, negative, x = decode("e4m3", code)
            after.append(None if kind == "nan" else (negative, x * s))
    if before != after:
        raise AssertionError("the values differ")
    return answer


def check_quantize_packed(case):
    x = floats(case["inputs"]["x"])
    extreme = x[int(numpy.argmax(numpy.abs(x)))]
    d = F(extreme / F(-8))
    inverse = F(F(1) / d) if d != 0 else F(0)
    codes = [min(15, int(F(F(v * inverse) + F(8.5)))) for v in x]
    half = int(numpy.float16(d).view(numpy.uint16))
    return {"bytes": [half & 0xFF, half >> 8] + [codes[j] | codes[j + 16] << 4 for j in range(16)]}


def check_dequantize_packed(case):
    data = hexes(case["inputs"]["bytes"])
    if case["format"] == "q4_0":
        d, nibbles = F(numpy.array(data[:2], numpy.uint8).view(numpy.float16)[0]), data[2:]
        value = lambda c: F(d * F(c - 8))
    else:
        d, nibbles = number_of("e8m0", data[0]), data[1:]
        value = lambda c: F(d * number_of("e2m1", c))
    return {"values": bits_of([value(b & 15) for b in nibbles] + [value(b >> 4) for b in nibbles])}


def check_scale_offset(case):
    pairs = [int(w) for w in case["inputs"]["blocks"].split()]
    tiles = -(-case["parameters"]["across"] // 4)
    return {"offsets": [(r // 128 * tiles + c // 4) * 512 + r % 32 * 16 + r % 128 // 32 * 4 + c % 4
                        for r, c in zip(pairs[::2], pairs[1::2])]}


def check_hadamard(case):
    x = floats(case["inputs"]["x"]).astype(numpy.float64)
    if len(x) != 16:
        raise Unsupported("irrational factor")
    signs = hexes(case["inputs"].get("negative", "0 " * 16))
    x = numpy.where(numpy.array(signs) != 0, -x, x)
    rows = [sum((-1) ** bin(i & j).count("1") * v for j, v in enumerate(x)) / 4 for i in range(16)]
    return {"values": bits_of(numpy.array(rows, F))}


CHECKS = {"encode": check_encode, "decode": check_decode, "random": check_random,
          "quantize": check_quantize, "dequantize": check_dequantize, "reencode": check_reencode,
          "quantize_packed": check_quantize_packed, "dequantize_packed": check_dequantize_packed,
          "scale_offset": check_scale_offset, "hadamard": check_hadamard}


def parsed(name, value):
    if not isinstance(value, str):
        return value
    return [int(word) for word in value.split()] if name == "offsets" else hexes(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?",
                        default=pathlib.Path(__file__).with_name("assay-vectors-1.0.json"))
    parser.add_argument("--verbose", action="store_true", help="name the cases that were not checked")
    options = parser.parse_args()
    try:
        document = json.loads(pathlib.Path(options.file).read_text(encoding="utf-8"))
        cases = document["cases"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"check_vectors.py: {options.file} is no file of vectors: {error}", file=sys.stderr)
        return 4
    agreeing, wrong, unchecked = 0, [], []
    for case in cases:
        try:
            if case["operation"] not in CHECKS:
                raise Unsupported(case["operation"])
            with numpy.errstate(all="ignore"):
                mine = CHECKS[case["operation"]](case)
        except Unsupported as reason:
            unchecked.append(f"{case['id']} ({reason})")
            continue
        except AssertionError as reason:
            wrong.append(f"{case['id']}: {reason}")
            continue
        mine = {k: parsed(k, v) for k, v in mine.items()}
        expected = {k: parsed(k, v) for k, v in case["expected"].items()}
        if mine == expected:
            agreeing += 1
        else:
            wrong.append(f"{case['id']}: expected {case['expected']}, here " + str(
                {k: [format(n, "x") for n in v] if isinstance(v, list) else v for k, v in mine.items()}))
    print(f"{len(cases)} cases: {agreeing} agree, {len(wrong)} differ, {len(unchecked)} not checked here")
    if options.verbose:
        print(*unchecked, sep="\n")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong or not agreeing else 0


if __name__ == "__main__":
    sys.exit(main())
