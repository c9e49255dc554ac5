# SPDX-License-Identifier: Apache-2.0
"""The casts of ml_dtypes, the NumPy types of JAX and TensorFlow."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import assay_attach as assay

try:
    import ml_dtypes
    import numpy
except ImportError as missing:
    sys.exit(f"needs ml_dtypes: {missing}")

CODES = {"e2m1": ml_dtypes.float4_e2m1fn, "e4m3": ml_dtypes.float8_e4m3fn,
         "e8m0": ml_dtypes.float8_e8m0fnu, "bf16": ml_dtypes.bfloat16}
SOURCES = {"fp32": numpy.float32, "fp16": numpy.float16, "bf16": ml_dtypes.bfloat16}


def declare(code, source, rounding="nearest_even", nan=None):
    """nan: the code that is put in place of a NaN's, to look at the numbers alone."""

    @assay.entry(operation="convert", a=code, d=source, profile="ieee", rounding=rounding,
                 name=f"{source}.{code}.{rounding}" + ("" if nan is None else ".nan_aside"))
    def cast(call):
        x = call.x.numpy().view(SOURCES[source])
        with numpy.errstate(all="ignore"):
            codes = x.astype(CODES[code])
        if nan is not None:
            codes.view(numpy.uint8)[numpy.isnan(x)] = nan
        call.q.store(codes)


for source in SOURCES:
    declare("e2m1", source)
    declare("e2m1", source, nan=0x7)
    declare("e4m3", source)
    declare("e4m3", source, nan=0x7F)
    declare("e8m0", source)
    # What the library does with a tie between powers of two.
    declare("e8m0", source, "nearest_away")
declare("bf16", "fp32")
assay.main("ml_dtypes " + ml_dtypes.__version__)
