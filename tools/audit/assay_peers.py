# SPDX-License-Identifier: Apache-2.0
"""Casts arrays by the libraries that are installed here; `assay audit-peers` starts it and judges.

Prints one line of JSON: {"python": VERSION, "peers": [{"name", "version", "casts"} or {"name",
"absent"}]}, where a cast is [type, source, destination, rounding, saturates]. Then answers requests
"PEER INDEX COUNT" on standard input, each followed by COUNT codes of the source as little-endian
uint32: "codes" and as many codes of the destination as uint32, NO_CODE for an answer that is none
of them; or "refused WHY". Nothing here knows what the codes should be.
"""
import json
import platform
import sys
import warnings

NO_CODE = 0xFFFFFFFF
MODES = {"nearest_even": "TiesToEven", "nearest_away": "TiesToAway", "toward_zero": "TowardZero",
         "toward_positive": "TowardPositive", "toward_negative": "TowardNegative"}


def source_array(codes, source, bf16=None):
    """The numbers that codes mean, in the type of the source."""
    if source == "fp32":
        return codes.view(numpy.float32)
    return codes.astype(numpy.uint16).view(numpy.float16 if source == "fp16" else bf16)


class MlDtypes:
    """numpy.ndarray.astype to the types of ml_dtypes."""
    types = {"e2m1": "float4_e2m1fn", "e2m3": "float6_e2m3fn", "e3m2": "float6_e3m2fn",
             "e4m3": "float8_e4m3fn", "e5m2": "float8_e5m2", "e8m0": "float8_e8m0fnu",
             "bf16": "bfloat16"}

    def __init__(self):
        import ml_dtypes
        self.module, self.version = ml_dtypes, ml_dtypes.__version__
        self.casts = [(name, source, code, "nearest_even", False)
                      for code, name in self.types.items() if hasattr(ml_dtypes, name)
                      for source in ("fp32", "fp16", "bf16") if source != code]

    def cast(self, codes, name, source, _code, _mode, _saturates):
        kind = numpy.dtype(getattr(self.module, name))
        x = source_array(codes, source, self.module.bfloat16)
        return x.astype(kind).view(numpy.uint16 if kind.itemsize == 2 else numpy.uint8)


class Torch:
    """torch.Tensor.to on the CPU."""
    types = {"e2m1": "float4_e2m1fn_x2", "e4m3": "float8_e4m3fn", "e5m2": "float8_e5m2",
             "e8m0": "float8_e8m0fnu", "bf16": "bfloat16", "fp16": "float16"}

    def __init__(self):
        import torch
        self.module, self.version = torch, torch.__version__
        self.casts = [(name, source, code, "nearest_even", False)
                      for code, name in self.types.items() if hasattr(torch, name)
                      for source in ("fp32", "fp16", "bf16") if source != code]

    def cast(self, codes, name, source, _code, _mode, _saturates):
        torch = self.module
        kind = getattr(torch, name)
        if source == "bf16":
            x = torch.from_numpy(codes.astype(numpy.uint16).view(numpy.int16)).view(torch.bfloat16)
        else:
            x = torch.from_numpy(source_array(codes, source).copy())
        y = x.to(kind)
        if y.element_size() == 1:
            return y.view(torch.uint8).numpy()
        return y.view(torch.int16).numpy().view(numpy.uint16)


class Gfloat:
    """gfloat.round_ndarray and encode_ndarray."""
    types = {"e2m1": "ocp_e2m1", "e2m3": "ocp_e2m3", "e3m2": "ocp_e3m2", "e4m3": "ocp_e4m3",
             "e5m2": "ocp_e5m2", "e8m0": "ocp_e8m0", "bf16": "bfloat16"}

    def __init__(self):
        import gfloat
        import gfloat.formats
        from importlib.metadata import version
        self.module, self.version = gfloat, version("gfloat")
        only_finite = ("e2m1", "e2m3", "e3m2")  # without saturation these refuse every overflow
        self.casts = [("format_info_" + name, "fp32", code, mode, saturates)
                      for code, name in self.types.items()
                      for mode in (MODES if code in ("e2m1", "e4m3") else ("nearest_even",))
                      for saturates in (True, False) if saturates or code not in only_finite]

    def cast(self, codes, name, source, _code, mode, saturates):
        gfloat = self.module
        info = getattr(gfloat.formats, name)
        rounding = getattr(gfloat.RoundMode, MODES[mode])
        rounded = gfloat.round_ndarray(info, source_array(codes, source), rounding, saturates)
        answer = numpy.asarray(gfloat.encode_ndarray(info, rounded))
        none = (answer < 0) | (answer >= 2 ** info.bits)
        return numpy.where(none, NO_CODE, answer)


def load(name, kind):
    try:
        return kind(), None
    except ImportError as error:
        return None, {"name": name, "absent": str(error)}


def serve(peers, requests, answers):
    while True:
        words = requests.readline().split()
        if not words:
            return
        name, index, count = words[0].decode(), int(words[1]), int(words[2])
        codes = numpy.frombuffer(requests.read(4 * count), "<u4").astype(numpy.uint32)
        peer = peers[name]
        try:
            with numpy.errstate(all="ignore"):
                out = peer.cast(codes, *peer.casts[index]).astype("<u4").tobytes()
        except (ValueError, AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            answers.write(f"refused {reason}\n".encode())
        else:
            answers.write(b"codes\n" + out)
        answers.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever a library prints does not belong to the answers
    kinds = {"ml_dtypes": MlDtypes, "torch": Torch, "gfloat": Gfloat}
    try:
        import numpy
    except ImportError as error:
        kinds, listed = {}, [{"name": name, "absent": str(error)} for name in kinds]
    else:
        listed = []
    peers = {}
    for name, kind in kinds.items():
        peer, absent = load(name, kind)
        if peer is not None:
            peers[name] = peer
        listed.append(absent or {"name": name, "version": peer.version, "casts": peer.casts})
    answers.write((json.dumps({"python": platform.python_version(), "peers": listed}) + "\n").encode())
    answers.flush()
    serve(peers, requests, answers)
