# SPDX-License-Identifier: Apache-2.0
"""The device of attach_test.py: what a user's script looks like."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(os.environ["ASSAY_SOURCE"]) / "tools" / "attach"))
import assay_attach as assay
import numpy

MIDPOINTS = numpy.array([.25, .75, 1.25, 1.75, 2.5, 3.5, 5], numpy.float32)


@assay.entry(operation="convert", a="e2m1")
def right(call):
    x = call.x.numpy()
    size = abs(x)[..., None]
    up = (size > MIDPOINTS) | ((size == MIDPOINTS) & (numpy.arange(7) % 2 == 1))
    codes = up.sum(-1).astype(numpy.uint8)
    nan = numpy.isnan(x)
    call.q.store(numpy.where(nan, 7, codes | (numpy.signbit(x) & ~nan) * numpy.uint8(8)))


@assay.entry(operation="convert", a="e2m1")
def raises(call):
    raise ValueError(f"no kernel for m = {call.m}\nand k = {call.k}")


@assay.entry(operation="convert", a="e2m1", strides=False, k_multiple=16)
def declines(call):
    raise assay.Declined("only on Tuesdays")


@assay.entry(operation="convert", a="e2m1")
def stores_numbers(call):
    call.q.store(call.x.numpy())


@assay.entry(operation="quantize", a="nvfp4", scale_layout="128x4")
def swizzles(call):
    scales = numpy.arange(call.m * 2, dtype=numpy.uint8).reshape(call.m, 2) % 100
    call.q.scales.store(scales)
    assert (call.q.scales.codes() == scales).all()


@assay.entry(operation="convert", a="e2m1")
def touches_a_guard(call):
    # Reads one byte beyond its input: where the page is guarded, the process dies.
    x = call.x.numpy()
    numpy.ndarray((1,), numpy.uint8, x.base, call.x._at + 4096)[0]


assay.main("python")
