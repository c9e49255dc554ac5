# SPDX-License-Identifier: Apache-2.0
"""torch.compile of the quantizers' formulas beside the times in gpu-bench.json, for tools/gpu_check.

    gpu_torch_quantize.py GPU_BENCH_JSON
"""

import json
import statistics
import sys

import torch

ROWS, COLS = 16384, 8192


def encode(scaled):
    a = scaled.abs()
    code = torch.zeros_like(a, dtype=torch.uint8)
    for i, middle in enumerate((0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)):
        code += ((a > middle) if i % 2 == 0 else (a >= middle)).to(torch.uint8)
    code |= torch.signbit(scaled).to(torch.uint8) << 3
    pairs = code.view(ROWS, COLS // 2, 2)
    return pairs[..., 0] | pairs[..., 1] << 4


def nvfp4(x, encode_sixth, decode):
    blocks = x.float().view(ROWS, -1, 16)
    amax = blocks.abs().amax(-1, keepdim=True)
    scale = (amax * encode_sixth).clamp(max=448.0).to(torch.float8_e4m3fn)
    multiplier = 1.0 / (scale.float() * decode)
    return encode((blocks * multiplier).view(ROWS, COLS)), scale


def mxfp4_floor(x, *_):
    blocks = x.float().view(ROWS, -1, 32)
    amax = blocks.abs().amax(-1, keepdim=True)
    exponent = ((amax.view(torch.int32) >> 23) - 2).clamp(min=0)
    multiplier = ((254 - exponent) << 23).view(torch.float32)
    return encode((blocks * multiplier).view(ROWS, COLS)), exponent.to(torch.uint8)


def microseconds(run):
    for _ in range(3):
        run()
    times = []
    for _ in range(11):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(4):
            run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1000 / 4)
    return statistics.median(times)


def main(path):
    with open(path) as file:
        document = json.load(file)
    ours = {row["kernel"]: row["microseconds"] for row in document["rows"]}
    torch.manual_seed(document["seed"])
    print(f"PyTorch {torch.__version__}, {ROWS} x {COLS} Gaussian, amax known\n")
    print("| kernel | us | torch.compile us | times as fast | goal |\n|---|---|---|---|---|")
    rows = []
    for bf16 in (True, False):
        x = torch.randn(ROWS, COLS, device="cuda", dtype=torch.bfloat16 if bf16 else torch.float32)
        s = 2688.0 / x.abs().max().float()
        source = " from bf16" if bf16 else " from fp32"
        for name, formula in (("nvfp4" + source + ", amax known", nvfp4), ("mxfp4-floor" + source, mxfp4_floor)):
            compiled = torch.compile(formula)
            theirs = microseconds(lambda: compiled(x, s / 6, 1 / s))
            ratio = theirs / ours[name]
            rows.append({"kernel": name, "torch_compile_microseconds": theirs, "ratio": ratio, "goal": 2.0})
            print(f"| {name} | {ours[name]:.1f} | {theirs:.1f} | {ratio:.2f} | 2.00 {'reached' if ratio >= 2 else 'MISSED'} |")
    document["torch_compile"] = {"version": torch.__version__, "rows": rows}
    with open(path, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


main(sys.argv[1])
