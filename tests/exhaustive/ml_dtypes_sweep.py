# SPDX-License-Identifier: Apache-2.0
"""The profile ml_dtypes beside ml_dtypes itself, in every format that both have.

Every difference must be one that the tables below predict, with both codes, and every predicted
one must occur. By default a grid of 524,288 FP32 inputs; with --all all 2^32 (minutes a format).
Environment: ASSAY_CODEC_STREAM, the program of codec_stream.cpp. Exit 77 without ml_dtypes.

    ml_dtypes_sweep.py [--all] [--only FORMAT] [--markdown FILE]
"""

import argparse
import os
import subprocess
import sys
import time

try:
    import ml_dtypes
    import numpy
except ImportError as error:
    print(f"skipped: {error}; pip install ml_dtypes, and name that Python in ASSAY_PYTHON")
    sys.exit(77)

CHUNK = 1 << 22


def same(first, last, ours, theirs):
    """Inputs FIRST..LAST, each of which gets OURS from assay and THEIRS from ml_dtypes."""
    return [(first, last, ours, theirs)]


def e8m0_ties():
    """1.5 * 2^k between an even code c = k + 127 and the next: to even c, ml_dtypes c + 1.

    The tie between 0 and 1, 1.5 * 2^-127, is a subnormal of FP32; above the last code, 254, lies
    what overflows to NaN, 255.
    """
    rows = same(0x00600000, 0x00600000, 0, 1)
    for code in range(2, 255, 2):
        rows += same(code << 23 | 0x00400000, code << 23 | 0x00400000, code, code + 1)
    return rows


# Between 2^-127 and 1.5 * 2^-127 the nearest power of two is 2^-127, code 0.
E8M0_LOW = same(0x00400001, 0x005FFFFF, 0, 1)

# ml_dtypes rounds to nearest, ties to even, but for E8M0; its int4 truncates and wraps.
CASES = [
    ("e2m1", "float4_e2m1fn", "nearest_even", []),
    ("e2m3", "float6_e2m3fn", "nearest_even", []),
    ("e3m2", "float6_e3m2fn", "nearest_even", []),
    ("e4m3", "float8_e4m3fn", "nearest_even", []),
    ("e5m2", "float8_e5m2", "nearest_even", []),
    ("bf16", "bfloat16", "nearest_even", []),
    ("e8m0", "float8_e8m0fnu", "nearest_even", e8m0_ties() + E8M0_LOW),
    ("e8m0", "float8_e8m0fnu", "nearest_away", E8M0_LOW),
]


class Codec:
    """assay's codes of ranges of FP32 bit patterns."""

    def __init__(self, name, mode, dtype):
        self.dtype = dtype
        self.process = subprocess.Popen(
            [os.environ["ASSAY_CODEC_STREAM"], name, mode, "ml_dtypes"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def codes(self, first, count, step):
        self.process.stdin.write(f"{first} {count} {step}\n".encode())
        self.process.stdin.flush()
        answer = self.process.stdout.read(count * self.dtype.itemsize)
        if len(answer) != count * self.dtype.itemsize:
            raise RuntimeError("codec_stream ended early")
        return numpy.frombuffer(answer, self.dtype)

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise RuntimeError("codec_stream failed")


def requests(everything):
    """(first, count, step) of bit patterns, each pattern once."""
    if everything:
        for first in range(0, 1 << 32, CHUNK):
            yield first, CHUNK, 1
    else:
        # Every sign, exponent and upper seven fraction bits, with the tails around which codes
        # change.
        for low in (0, 1, 0x4000, 0x7FFF, 0x8000, 0x8001, 0xC000, 0xFFFF):
            yield low, 1 << 16, 1 << 16


def predicted_in(ranges, inputs, ours, theirs):
    """How many of these differing inputs no range foresees, and how many each foresees."""
    foreseen = numpy.zeros(len(inputs), bool)
    counts = []
    for first, last, our_code, their_code in ranges:
        here = (inputs >= first) & (inputs <= last) & (ours == our_code) & (theirs == their_code)
        counts.append(int(here.sum()))
        foreseen |= here
    return inputs[~foreseen], counts


def expected_counts(ranges, everything):
    counts = [0] * len(ranges)
    for first, count, step in requests(everything):
        for i, (low, high, _, _) in enumerate(ranges):
            begin = max(0, -(-(low - first) // step))
            end = min(count, (high - first) // step + 1)
            counts[i] += max(0, end - begin)
    return counts


def compare(name, type_name, mode, ranges, everything):
    their_type = numpy.dtype(getattr(ml_dtypes, type_name))
    code_type = numpy.dtype(numpy.uint16 if their_type.itemsize == 2 else numpy.uint8)
    codec = Codec(name, mode, code_type)
    start = time.monotonic()
    inputs_seen, differences, unforeseen = 0, 0, []
    counts = [0] * len(ranges)
    for first, count, step in requests(everything):
        inputs = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(step) + numpy.uint32(first)
        with numpy.errstate(all="ignore"):
            theirs = inputs.view(numpy.float32).astype(their_type).view(code_type)
        ours = codec.codes(first, count, step)
        inputs_seen += count
        where = numpy.flatnonzero(ours != theirs)
        if len(where) == 0:
            continue
        differences += len(where)
        new, more = predicted_in(ranges, inputs[where], ours[where], theirs[where])
        counts = [a + b for a, b in zip(counts, more)]
        unforeseen += [int(bits) for bits in new[:4]]
    codec.close()
    expected = expected_counts(ranges, everything)
    verdict = "as predicted"
    if unforeseen:
        verdict = f"UNFORESEEN, first at {unforeseen[0]:#010x}"
    elif counts != expected:
        verdict = f"{sum(expected)} PREDICTED, {sum(counts)} found"
    row = (name, type_name, mode, inputs_seen, sum(expected), differences, verdict)
    print("{} -> {}, {}: {} inputs, {} differences predicted, {} found: {} ({:.0f} s)".format(
        name, *row[1:], time.monotonic() - start), flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--markdown")
    options = parser.parse_args()
    rows = [compare(*case, options.all) for case in CASES if options.only in (None, case[0])]
    if not rows:
        sys.exit(f"no format '{options.only}'; there are {', '.join(c[0] for c in CASES)}")
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as out:
            out.write("| format | type | rounding | inputs | differences predicted | found | |\n"
                      "|---|---|---|---|---|---|---|\n")
            for row in rows:
                out.write("| {} | `{}` | {} | {} | {} | {} | {} |\n".format(*row))
    print(f"ml_dtypes {ml_dtypes.__version__}, NumPy {numpy.__version__}")
    sys.exit(0 if all(row[-1] == "as predicted" for row in rows) else 1)


if __name__ == "__main__":
    main()
