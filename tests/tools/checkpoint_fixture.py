# SPDX-License-Identifier: Apache-2.0
"""Small checkpoints of other programs, and what they mean in exact fractions.

Written from the formats' descriptions (docs/checkpoints.md names them), with nothing of assay: values are
fractions.Fraction, rounded to f32 once, at the end.
"""
import json
import math
import struct
from fractions import Fraction

E2M1 = [Fraction(n, 2) for n in (0, 1, 2, 3, 4, 6, 8, 12)]
E2M1 += [-v for v in E2M1]
NAN = "nan"
INF = "inf"
NEGATIVE_INF = "-inf"


def e4m3(code):
    if code & 0x7F == 0x7F:
        return NAN
    sign, exponent, mantissa = code >> 7, code >> 3 & 15, code & 7
    value = Fraction(mantissa, 8) * Fraction(2) ** -6 if exponent == 0 else \
        (1 + Fraction(mantissa, 8)) * Fraction(2) ** (exponent - 7)
    return -value if sign else value


def e8m0(code):
    return NAN if code == 255 else Fraction(2) ** (code - 127)


def half(code):
    sign, exponent, mantissa = code >> 15, code >> 10 & 31, code & 1023
    if exponent == 31:
        return NAN if mantissa else (NEGATIVE_INF if sign else INF)
    value = Fraction(mantissa, 1024) * Fraction(2) ** -14 if exponent == 0 else \
        (1 + Fraction(mantissa, 1024)) * Fraction(2) ** (exponent - 15)
    return -value if sign else value


def single(bits):
    return Fraction(struct.unpack("<f", struct.pack("<I", bits))[0])


def round_f32(x):
    """The float nearest to a fraction, ties to even; a Python float."""
    if x == 0:
        return 0.0
    magnitude = abs(x)
    exponent = math.floor(math.log2(magnitude.numerator) - math.log2(magnitude.denominator))
    while Fraction(2) ** exponent > magnitude:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= magnitude:
        exponent += 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    n = magnitude / unit
    low = n.numerator // n.denominator
    if n - low > Fraction(1, 2) or (n - low == Fraction(1, 2) and low % 2):
        low += 1
    value = low * unit
    result = math.inf if value >= Fraction(2) ** 128 else float(value)
    return -result if x < 0 else result


def same(values, expected):
    """Floats against fractions, NAN where a factor is NaN."""
    if len(values) != len(expected):
        return False
    return all(math.isnan(v) if e == NAN else v == round_f32(e) for v, e in zip(values, expected))


def string(text):
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def gguf(tensors, metadata=(), version=3, alignment=32, offsets=None, pad_end=True):
    """tensors: (name, dims innermost first, type number, bytes); metadata: (key, type, raw value)."""
    metadata = list(metadata)
    if alignment != 32:
        metadata.append(("general.alignment", 4, struct.pack("<I", alignment)))
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, kind, raw in metadata:
        out += string(key) + struct.pack("<I", kind) + raw
    data = b""
    for i, (name, dims, kind, raw) in enumerate(tensors):
        at = len(data) if offsets is None else offsets[i]
        out += string(name) + struct.pack("<I", len(dims)) + struct.pack("<%dQ" % len(dims), *dims)
        out += struct.pack("<IQ", kind, at)
        data += raw + bytes(-len(raw) % alignment)
    out += bytes(-len(out) % alignment)
    return out + data


# One block of each GGML type, read element by element: bytes -> fractions.
def q4_0(b):
    d = half(b[0] | b[1] << 8)
    return [((b[2 + i % 16] >> (0 if i < 16 else 4) & 15) - 8, d) for i in range(32)]


def q8_0(b):
    d = half(b[0] | b[1] << 8)
    return [(v - 256 if v > 127 else v, d) for v in b[2:34]]


def mxfp4(b):
    return [(E2M1[b[1 + i % 16] >> (0 if i < 16 else 4) & 15], e8m0(b[0])) for i in range(32)]


def nvfp4(b):
    out = []
    for i in range(64):
        s, j = divmod(i, 16)
        out.append((E2M1[b[4 + 8 * s + j % 8] >> (0 if j < 8 else 4) & 15], e4m3(b[s] & 127)))
    return out


def plain(pairs):
    return [NAN if NAN in (q, d) else q * d for q, d in pairs]


def scale_min(b, j):
    if j < 4:
        return b[j] & 63, b[j + 4] & 63
    return b[j + 4] & 15 | (b[j - 4] >> 6) << 4, b[j + 4] >> 4 | (b[j] >> 6) << 4


def q4_k(b, high=None):
    d, dmin = half(b[0] | b[1] << 8), half(b[2] | b[3] << 8)
    codes = b[16:144] if high is None else b[48:176]
    out = []
    for i in range(256):
        scale, minimum = scale_min(b[4:16], i // 32)
        q = codes[i // 64 * 32 + i % 32] >> (4 if i % 64 >= 32 else 0) & 15
        if high is not None:
            q |= (b[16 + i % 32] >> (i // 32) & 1) << 4
        out.append(d * scale * q - dmin * minimum)
    return out


def q5_k(b):
    return q4_k(b, high=True)


def q6_k(b):
    d, out = half(b[208] | b[209] << 8), []
    for i in range(256):
        n, l = i // 128, i % 128
        low = b[64 * n + l % 64] >> (4 if l >= 64 else 0) & 15
        top = b[128 + 32 * n + l % 32] >> (l // 32 * 2) & 3
        scale = b[192 + i // 16]
        out.append(d * (scale - 256 if scale > 127 else scale) * ((low | top << 4) - 32))
    return out


def q4_1(b):
    d, m = half(b[0] | b[1] << 8), half(b[2] | b[3] << 8)
    return [d * (b[4 + i % 16] >> (0 if i < 16 else 4) & 15) + m for i in range(32)]


def five_bits(b, at):
    high = int.from_bytes(b[at - 4:at], "little")
    return [b[at + i % 16] >> (0 if i < 16 else 4) & 15 | (high >> i & 1) << 4 for i in range(32)]


def q5_0(b):
    d = half(b[0] | b[1] << 8)
    return [d * (q - 16) for q in five_bits(b, 6)]


def q5_1(b):
    d, m = half(b[0] | b[1] << 8), half(b[2] | b[3] << 8)
    return [d * q + m for q in five_bits(b, 8)]


#      name: (type number, elements, bytes, reader, where FP16 numbers lie)
BLOCKS = {
    "q4_0": (2, 32, 18, lambda b: plain(q4_0(b)), (0,)),
    "q4_1": (3, 32, 20, q4_1, (0, 2)),
    "q5_0": (6, 32, 22, q5_0, (0,)),
    "q5_1": (7, 32, 24, q5_1, (0, 2)),
    "q8_0": (8, 32, 34, lambda b: plain(q8_0(b)), (0,)),
    "q4_k": (12, 256, 144, q4_k, (0, 2)),
    "q5_k": (13, 256, 176, q5_k, (0, 2)),
    "q6_k": (14, 256, 210, q6_k, (208,)),
    "mxfp4-ggml": (39, 32, 17, lambda b: plain(mxfp4(b)), ()),
    "nvfp4-ggml": (40, 64, 36, lambda b: plain(nvfp4(b)), ()),
}


def random_blocks(random, name, count):
    """Random bytes; FP16 numbers are finite."""
    _, _, size, _, halves = BLOCKS[name]
    raw = bytearray(random.randbytes(size * count))
    for block in range(count):
        for at in halves:
            raw[block * size + at + 1] &= 0xBB  # the exponent is not all ones
    return bytes(raw)


def values_of(name, raw):
    _, _, size, reader, _ = BLOCKS[name]
    return [v for at in range(0, len(raw), size) for v in reader(raw[at:at + size])]


def safetensors_of(tensors, metadata=None):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
