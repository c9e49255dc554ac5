#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which shapes of a vendor's GEMM have bits that a reduction plan gives?

For each shape: puts the questions of `assay gemm --infer` to torch.mm (BF16, FP16) or torch._scaled_mm (FP8), which
call cuBLASLt; takes the plans that fit; computes random operands on the GPU and by `assay gemm --plan`; counts the
outputs that are equal bit for bit. Writes OUT/cublaslt-shapes.json and OUT/cublaslt-shapes.md.

Needs python3 with NumPy and, but for --dry-run, PyTorch and a GPU: exit 77 without. Exit 1 where --dry-run's kernels,
whose plans are known, are not found out.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

try:
    import numpy as np
except ImportError:
    print("cublaslt_shapes: NumPy is not installed", file=sys.stderr)
    sys.exit(77)

Mode = collections.namedtuple("Mode", "name input output fast")
Shape = collections.namedtuple("Shape", "mode m n k")

# (exponent bits, mantissa bits, bias) of what is multiplied.
FORMATS = {"e4m3": (4, 3, 7), "bf16": (8, 7, 127), "fp16": (5, 10, 15)}
WIDTH = {"e4m3": np.uint8, "bf16": np.uint16, "fp16": np.uint16, "fp32": np.uint32}

FP8_FAST = Mode("fp8 e4m3, fast accumulation", "e4m3", "bf16", True)
FP8_FAST_F32 = Mode("fp8 e4m3, fast accumulation, FP32 out", "e4m3", "fp32", True)
FP8_SLOW = Mode("fp8 e4m3", "e4m3", "bf16", False)
BF16 = Mode("bf16", "bf16", "bf16", False)
FP16 = Mode("fp16", "fp16", "fp16", False)


def all_shapes():
    """FP8: 216 shapes, and 48 with the slow accumulation; 40 of BF16 and of FP16."""
    sides = [(16, 512), (16, 4096), (32, 1024), (64, 256), (64, 4096), (128, 128), (128, 2048), (256, 256), (256, 1024),
             (256, 4096), (512, 512), (512, 2048), (1024, 256), (1024, 1024), (1024, 4096), (2048, 512), (2048, 2048),
             (4096, 1024)]
    depths = [128, 256, 512, 1024, 2048, 4096]
    shapes = [Shape(mode, m, n, k) for mode in (FP8_FAST, FP8_FAST_F32) for m, n in sides for k in depths]
    shapes += [Shape(FP8_SLOW, m, n, k) for m, n in sides[::3] + sides[1::9] for k in depths]
    shapes += [Shape(mode, m, n, k) for mode in (BF16, FP16) for m, n in sides[1::2][:8] for k in depths[:1] + depths[2:]]
    # Every kind early, should the time end.
    return sorted(shapes, key=lambda s: (s.k * 7 + s.m * 3 + s.n) % 61)


def random_codes(rng, name, rows, k):
    """Everyday exponents with some spread, all mantissas and both signs; nothing special."""
    exponent_bits, mantissa_bits, bias = FORMATS[name]
    field = np.rint(rng.normal(bias - 1, 1.5, (rows, k))).astype(np.int64)
    field = np.clip(field, 0, (1 << exponent_bits) - 2)
    code = field << mantissa_bits | rng.integers(0, 1 << mantissa_bits, (rows, k))
    return (code | rng.integers(0, 2, (rows, k)) << (exponent_bits + mantissa_bits)).astype(WIDTH[name])


class Assay:
    """The program, and what every call of it needs."""

    def __init__(self, binary):
        self.binary = str(binary.resolve())
        self.environment = dict(os.environ)
        libraries = str(binary.resolve().parent)  # carried beside the program, maybe
        self.environment["LD_LIBRARY_PATH"] = libraries + ":" + self.environment.get("LD_LIBRARY_PATH", "")

    def run(self, *arguments, good=(0,)):
        result = subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, env=self.environment, timeout=500)
        if result.returncode not in good:
            raise RuntimeError(f"assay {' '.join(map(str, arguments))}: {result.stderr.strip()}")
        return result.stdout

    def version(self):
        return self.run("--version").strip()


class TorchKernels:
    """cuBLASLt behind PyTorch. Codes are NumPy arrays here and tensors on the device there."""

    def __init__(self):
        import torch
        self.torch = torch
        if not torch.cuda.is_available():
            print("cublaslt_shapes: PyTorch sees no GPU", file=sys.stderr)
            sys.exit(77)
        try:
            torch.backends.cuda.preferred_blas_library("cublaslt")  # torch.mm; _scaled_mm has no other
        except (AttributeError, RuntimeError) as error:
            print(f"cublaslt_shapes: torch.mm stays with cuBLAS: {error}", file=sys.stderr)
        self.types = {"e4m3": torch.float8_e4m3fn, "bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
        self.integers = {"e4m3": torch.uint8, "bf16": torch.int16, "fp16": torch.int16, "fp32": torch.int32}
        self.one = torch.ones((), device="cuda", dtype=torch.float32)

    def about(self):
        torch = self.torch
        matmul = torch.backends.cuda.matmul
        driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], text=True,
                                capture_output=True, check=False).stdout.strip() if shutil.which("nvidia-smi") else ""
        return {"gpu": torch.cuda.get_device_name(), "driver": driver, "torch": torch.__version__,
                "cuda": torch.version.cuda, "blas of torch.mm": str(torch.backends.cuda.preferred_blas_library()),
                "reduced_precision_reduction": {"bf16": str(matmul.allow_bf16_reduced_precision_reduction),
                                                "fp16": str(matmul.allow_fp16_reduced_precision_reduction)}}

    def upload(self, mode, codes):
        signed = codes.view(np.int16) if codes.dtype == np.uint16 else codes
        return self.torch.from_numpy(np.ascontiguousarray(signed)).cuda()

    def rows(self, x, first, count, height):
        part = self.torch.zeros((height, x.shape[1]), dtype=x.dtype, device=x.device)
        part[:count] = x[first:first + count]
        return part

    def _product(self, mode, a, b):
        a, b = a.view(self.types[mode.input]), b.view(self.types[mode.input])
        if mode.input != "e4m3":
            return self.torch.mm(a, b.t())
        return self.torch._scaled_mm(a, b.t(), scale_a=self.one, scale_b=self.one, out_dtype=self.types[mode.output],
                                     use_fast_accum=mode.fast)

    def product(self, mode, a, b):
        d = self._product(mode, a, b)
        return d.contiguous().view(self.integers[mode.output]).cpu().numpy().view(WIDTH[mode.output])

    def kernel(self, mode, a, b):
        """Names of the kernels of one call, or none where the profiler does not work."""
        try:
            from torch.profiler import ProfilerActivity, profile
            with profile(activities=[ProfilerActivity.CUDA]) as watched:
                self._product(mode, a, b)
                self.torch.cuda.synchronize()
            names = [e.key for e in watched.key_averages() if not e.key.startswith(("cuda", "Mem", "Activity"))]
            return "; ".join(sorted(names))
        except Exception as error:  # the name is a remark, no more
            return f"({type(error).__name__})"


class KnownKernels:
    """`assay gemm --plan` in place of a GPU: plans that the run has to find out, and one kernel that has none."""

    def __init__(self, assay, folder):
        self.assay, self.folder, self.calls = assay, folder, 0

    def about(self):
        return {"gpu": "none: plans known beforehand, computed by assay"}

    @staticmethod
    def truth(mode, k):
        model = "hopper.wgmma." + {"e4m3": "e4m3.f32", "bf16": "bf16.f32", "fp16": "f16.f32"}[mode.input]
        plan = {"schema": "assay-gemm-plan-1", "name": "truth", "model": model,
                "instruction_k": 32 if mode.input == "e4m3" else 16, "tile_k": 64, "output": {"format": mode.output}}
        if mode is FP8_SLOW:
            plan["promote_every"] = 128
        if mode.input == "bf16" and k >= 256:
            plan["split_k"] = {"count": 2}
        return plan

    def upload(self, mode, codes):
        return codes

    def rows(self, x, first, count, height):
        part = np.zeros((height, x.shape[1]), dtype=x.dtype)
        part[:count] = x[first:first + count]
        return part

    def product(self, mode, a, b):
        self.calls += 1
        base = self.folder / f"known{self.calls}"
        base.mkdir()
        np.save(base / "a.npy", a)
        np.save(base / "b.npy", b)
        (base / "plan.json").write_text(json.dumps(self.truth(mode, a.shape[1])))
        self.assay.run("gemm", "--plan", base / "plan.json", "--a", base / "a.npy", "--b", base / "b.npy", base / "d.npy")
        d = np.load(base / "d.npy")
        shutil.rmtree(base)
        return d ^ 1 if mode.input == "fp16" else d  # no plan gives the last bit turned

    def kernel(self, mode, a, b):
        return ""


class Questions:
    """What `assay gemm --infer` asks about one K and input format."""

    def __init__(self, assay, folder, mode, k):
        self.folder = folder / f"{mode.input}-{k}"
        text = assay.run("gemm", "--infer", self.folder, "--a-format", mode.input, "--k", k, "--json", "-")
        about = json.loads(text)
        self.diagonal, self.dense = about["diagonal"], about["dense"]
        self.a, self.b = np.load(self.folder / "a.npy"), np.load(self.folder / "b.npy")

    def answers(self, kernels, shape):
        """D as far as it counts, from products of this very shape."""
        mode, rows = shape.mode, self.a.shape[0]
        d = np.zeros((rows, rows), dtype=WIDTH[mode.output])
        a, b = kernels.upload(mode, self.a), kernels.upload(mode, self.b)

        def put(i, j, end_i, end_j):
            count_i, count_j = min(shape.m, end_i - i), min(shape.n, end_j - j)
            part = kernels.product(mode, kernels.rows(a, i, count_i, shape.m), kernels.rows(b, j, count_j, shape.n))
            d[i:i + count_i, j:j + count_j] = part[:count_i, :count_j]

        side = min(shape.m, shape.n)
        for first in range(0, self.diagonal, side):
            end = min(first + side, self.diagonal)
            put(first, first, end, end)
        end = self.diagonal + self.dense
        for i in range(self.diagonal, end, shape.m):
            for j in range(self.diagonal, end, shape.n):
                put(i, j, end, end)
        return d


class Task:
    """One shape: what the GPU gave, then what assay makes of it."""

    def __init__(self, kernels, questions, shape, folder, seed, most_products):
        self.shape, self.folder = shape, folder
        folder.mkdir()
        mode = shape.mode
        rng = np.random.default_rng([seed, shape.m, shape.n, shape.k])
        a = random_codes(rng, mode.input, shape.m, shape.k)
        b = random_codes(rng, mode.input, shape.n, shape.k)
        on_a, on_b = kernels.upload(mode, a), kernels.upload(mode, b)
        d = kernels.product(mode, on_a, on_b)
        self.repeats = bool(np.array_equal(d, kernels.product(mode, on_a, on_b)))
        self.kernel = kernels.kernel(mode, on_a, on_b)
        np.save(folder / "answers.npy", questions.answers(kernels, shape))
        # Rows of all of A where the whole product would take too long.
        count = max(1, min(shape.m, most_products // (shape.n * shape.k)))
        kept = np.sort(rng.choice(shape.m, count, replace=False))
        np.save(folder / "a.npy", a[kept])
        np.save(folder / "b.npy", b)
        self.expected = d[kept]

    def compare(self, assay, plan):
        path = self.folder / "plan.json"
        path.write_text(json.dumps(plan))
        out = self.folder / "d.npy"
        assay.run("gemm", "--plan", path, "--a", self.folder / "a.npy", "--b", self.folder / "b.npy", out)
        return int(np.count_nonzero(np.load(out) == self.expected))

    def judge(self, assay):
        mode, shape = self.shape.mode, self.shape
        row = {"mode": mode.name, "m": shape.m, "n": shape.n, "k": shape.k, "kernel": self.kernel, "repeats": self.repeats}
        text = assay.run("gemm", "--infer", self.folder / "inferred", "--a-format", mode.input, "--k", shape.k, "--output",
                         mode.output, "--outputs", self.folder / "answers.npy", "--json", "-", good=(0, 1))
        inferred = json.loads(text)
        candidates = inferred["candidates"]
        row.update(verdict=inferred["verdict"].split(":")[0], candidates=len(candidates), compared=int(self.expected.size),
                   equal=0, plan=None, chains=len(inferred["chains"]))
        for candidate in candidates[:8]:
            equal = self.compare(assay, candidate["plan"])
            if row["plan"] is None or equal > row["equal"]:
                row.update(equal=equal, plan=candidate["plan"], models=candidate["models"],
                           equal_plans=candidate["equal_plans"])
            if equal == self.expected.size:
                break
        row["reproduced"] = row["plan"] is not None and row["equal"] == row["compared"]
        if not row["reproduced"]:
            row["reason"] = self.reason(row)
        shutil.rmtree(self.folder)
        return row

    def reason(self, row):
        if not self.repeats:
            return "the same call gives other bits the second time"
        if row["plan"] is None:
            return f"no plan of the grid gives the answers; {row['chains']} chains show"
        return "the plan gives the answers, but not all outputs of random operands: the order depends on the place"


def plan_text(plan, models):
    if plan is None:
        return "-"
    text = f"{models[0]}, K {plan['instruction_k']}"
    if plan.get("promote_every"):
        text += f", promoted every {plan['promote_every']}"
    split = plan.get("split_k", {})
    if split.get("count", 1) > 1:
        text += f", tiles of {plan['tile_k']}, split-K {split['count']} {split['tiles']}, {split['reduction']} in {split['partials']}"
    return text


def markdown(document):
    rows = document["rows"]
    lines = ["# Shapes of cuBLASLt, bit for bit", "",
             f"Made by `{document['command']}`, {document['date']}. Every shape was asked with the questions of "
             "`assay gemm --infer`, and random operands of the same shape were computed by the GPU and by the inferred plan.",
             "", "```"]
    lines += [f"{key}: {value}" for key, value in document["machine"].items()] + [f"assay: {document['assay']}", "```", ""]
    lines += ["| inputs | shapes | reproduced | decided | outputs compared | equal |", "|---|---|---|---|---|---|"]
    for mode in dict.fromkeys(row["mode"] for row in rows):
        of = [row for row in rows if row["mode"] == mode]
        lines.append(f"| {mode} | {len(of)} | {sum(r['reproduced'] for r in of)} | "
                     f"{sum(r.get('verdict') == 'decided' for r in of)} | {sum(r.get('compared', 0) for r in of)} | "
                     f"{sum(r.get('equal', 0) for r in of)} |")
    for title, keep in (("Plans", lambda r: r["reproduced"]), ("Misses", lambda r: not r["reproduced"])):
        of = [row for row in rows if keep(row)]
        lines += ["", f"## {title}", ""]
        if not of:
            lines.append("None.")
            continue
        lines += ["| inputs | " + ("plan" if title == "Plans" else "reason") + " | shapes (m n k) |", "|---|---|---|"]
        groups = collections.defaultdict(list)
        for row in of:
            what = plan_text(row["plan"], row["models"]) if title == "Plans" else row["reason"]
            groups[row["mode"], what].append(f"{row['m']} {row['n']} {row['k']}")
        lines += [f"| {mode} | {what} | {len(names)}: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''} |"
                  for (mode, what), names in groups.items()]
    if document["not_run"]:
        lines += ["", f"{document['not_run']} shapes were not run: the time was over."]
    return "\n".join(lines) + "\n"


def run(options, kernels, assay, shapes, folder):
    rows, lock = [None] * len(shapes), threading.Lock()
    slots = threading.BoundedSemaphore(3 * options.jobs)  # files of shapes that wait
    begin, asked = time.monotonic(), {}

    def failed(shape, error):
        return {"mode": shape.mode.name, "m": shape.m, "n": shape.n, "k": shape.k, "reproduced": False,
                "reason": f"error: {str(error).splitlines()[0] if str(error) else type(error).__name__}"}

    def judge(i, task):
        try:
            row = task.judge(assay)
        except Exception as error:
            row = failed(task.shape, error)
        finally:
            slots.release()
        with lock:
            rows[i] = row
        print(f"{sum(r is not None for r in rows)}/{len(shapes)} {row['mode']} {row['m']} x {row['n']} x {row['k']}: "
              + ("reproduced" if row["reproduced"] else row["reason"]), flush=True)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for i, shape in enumerate(shapes):
            slots.acquire()
            if time.monotonic() - begin > options.seconds:
                slots.release()
                break
            try:
                key = shape.mode.input, shape.k
                if key not in asked:
                    asked[key] = Questions(assay, folder, shape.mode, shape.k)
                task = Task(kernels, asked[key], shape, folder / f"shape{i}", options.seed, options.products)
            except Exception as error:
                rows[i] = failed(shape, error)
                slots.release()
                continue
            pool.submit(judge, i, task)
    return rows


def expected_of_dry_run(rows):
    """Every kernel with a plan is found out, the one without a plan is a miss."""
    return all(row["reproduced"] == (row["mode"] != FP16.name) for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="folder for the evidence")
    parser.add_argument("--assay", type=pathlib.Path, default=pathlib.Path("build/tools/assay"), help="the program")
    parser.add_argument("--only", default="", help="inputs whose name begins so, for example 'fp8'")
    parser.add_argument("--limit", type=int, help="the first so many shapes")
    parser.add_argument("--seconds", type=float, default=420, help="begin no shape later (default 420)")
    parser.add_argument("--products", type=float, default=2**30, help="per shape, to compare (default 2^30)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes beside the GPU")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true", help="no GPU: five small shapes whose plans are known")
    options = parser.parse_args()
    options.products = int(options.products)
    assay = Assay(options.assay)
    with tempfile.TemporaryDirectory(prefix="cublaslt-") as name:
        folder = pathlib.Path(name)
        kernels = KnownKernels(assay, folder) if options.dry_run else TorchKernels()
        shapes = all_shapes()
        if options.dry_run:
            shapes = [Shape(FP8_FAST, 256, 512, 128), Shape(FP8_SLOW, 512, 256, 256), Shape(FP8_FAST_F32, 300, 64, 192),
                      Shape(BF16, 256, 256, 256), Shape(FP16, 256, 256, 128)]
        shapes = [s for s in shapes if s.mode.name.startswith(options.only)][:options.limit]
        rows = run(options, kernels, assay, shapes, folder)
    done = [row for row in rows if row is not None]
    document = {"schema": "assay-cublaslt-shapes-1", "command": "tools/cublaslt_shapes.py " + " ".join(sys.argv[1:]),
                "date": time.strftime("%Y-%m-%d", time.gmtime()), "assay": assay.version().splitlines()[0],
                "machine": kernels.about(), "seed": options.seed, "shapes": len(done),
                "reproduced": sum(row["reproduced"] for row in done), "not_run": len(rows) - len(done), "rows": done}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cublaslt-shapes.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.out / "cublaslt-shapes.md").write_text(markdown(document))
    print(f"{document['reproduced']} of {len(done)} shapes reproduced bit for bit")
    return 0 if not options.dry_run or expected_of_dry_run(done) else 1


if __name__ == "__main__":
    sys.exit(main())
