#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predicted against trained: runs tools/train_moe/train.py under recipes and schedules, and writes the tables of
docs/evidence/replay-training.md between the page's markers.

    python3 tools/training_evidence.py train --runs FOLDER --jobs 14         # needs PyTorch; minutes
    python3 tools/training_evidence.py page --runs FOLDER --assay build/tools/assay --page docs/evidence/replay-training.md
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDINGS = ("moe-softmax-1000", "moe-sigmoid-1000", "moe-softplus-1000")
SCHEDULE = {"article, whole": 3000, "article, experts alone": 1000, "article, FP32 masters": 3000}  # where training begins
RUNS = ("bf16", "bf16, other batches", "fp8-deepseek-v3", "deepseek-v4", "nvfp4", "mxfp4-floor", "mxfp4-rceil", "nvfp4-w4a4",
        "mxfp4-w4a4", "nvfp4-pretraining", "article, whole", "article, experts alone", "article, attention joins half way",
        "article, FP32 masters")
CONTROLS = RUNS[:2]
BEGIN, END = "<!-- tables: tools/training_evidence.py -->", "<!-- end of tables -->"


def file_of(folder, recording, name):
    return folder / f"{recording}.{name.replace(', ', '.').replace(' ', '-')}.json"


def train(args):
    args.runs.mkdir(parents=True, exist_ok=True)

    def one(recording, name):
        recipe, _, change = name.partition(", ")
        at = SCHEDULE.get(name, 3000 - args.steps // 2)  # attention joins at 3000
        if change == "FP32 masters":
            text = (ROOT / "simulator" / "recipes" / f"{recipe}.json").read_text()
            recipe = args.runs / "fp32-masters.json"
            recipe.write_text(text.replace('"master": "bf16"', '"master": "fp32"'))
        command = [sys.executable, ROOT / "tools" / "train_moe" / "train.py", "--resume", args.recordings / recording,
                   "--recipe", recipe, "--steps", args.steps, "--rate", args.rate, "--device", args.device,
                   "--seed", 2 if change == "other batches" else 1, "--recipe-step", at, "--truth", file_of(args.runs, recording, name)]
        r = subprocess.run([str(c) for c in command], capture_output=True, text=True)
        last = (r.stdout if r.returncode == 0 else r.stderr).strip().splitlines()[-1:]
        print(f"{recording} {name}: {' '.join(last)}", flush=True)
        return r.returncode

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        # The slowest first.
        todo = [(r, n) for n in reversed(RUNS) for r in RECORDINGS]
        failed = sum(code != 0 for code in pool.map(lambda x: one(*x), todo))
    return 1 if failed else 0


def forecasts(args, recording):
    """{name: forecast}; runs that begin at the same step of their schedules share the high-precision pass."""
    found = {}
    for at in {SCHEDULE.get(n, 3000) for n in RUNS}:
        names = [n for n in RUNS if n not in CONTROLS and SCHEDULE.get(n, 3000) == at]
        recipes = list(dict.fromkeys(n.partition(", ")[0] for n in names))
        out = args.runs / "forecast.json"
        command = [args.assay, "replay", args.recordings / recording, "--both", "--json", out, "--step", at]
        for recipe in recipes:
            command += ["--recipe", recipe]
        subprocess.run([str(c) for c in command], check=True, capture_output=True)
        by_recipe = {f["recipe"]: f for f in json.loads(out.read_text())["network"]["forecasts"]}
        found |= {n: by_recipe[n.partition(", ")[0]] for n in names}
    return found


def difference(a, b):
    """Mean over tokens of a's loss less b's, and its standard error."""
    d = [x - y for x, y in zip(a["losses"], b["losses"])]
    return f"{statistics.mean(d):+.4f} ± {statistics.stdev(d) / len(d) ** 0.5:.4f}"


def changed(a, b):
    """Of all routers and tokens, the share whose set of experts differs."""
    pairs = [(x, y) for la, lb in zip(a["choices"], b["choices"]) for x, y in zip(la, lb)]
    return sum(x != y for x, y in pairs) / len(pairs)


def table(args, recording):
    runs = {n: json.loads(file_of(args.runs, recording, n).read_text()) for n in RUNS}
    predictions = forecasts(args, recording)
    control, other = runs["bf16"]["trained"], runs["bf16, other batches"]["trained"]
    out = [f"## {recording}", "",
           f"Clean loss {statistics.mean(runs['bf16']['clean']['losses']):.4f}. After training in high precision {difference(control, runs['bf16']['clean'])}; "
           f"with other batches {difference(other, control)} against that, and {100 * changed(other, control):.1f} % of choices differ.", "",
           "| recipe | predicted | measured by replay | PyTorch, before training | after training, against bf16 | mean flips, predicted | "
           "measured by replay | PyTorch, before training | choices other than bf16's, after training | updates lost | not applied |",
           "|---|---|---|---|---|---|---|---|---|---|---|"]
    for name, run in runs.items():
        if name in CONTROLS:
            continue
        p, m = predictions[name]["predicted"], predictions[name]["measured"]
        flips = statistics.mean(r["flip_rate"] for r in p["routers"])
        seen = statistics.mean(r["flips"] / r["tokens"] for r in m["routers"])
        out.append(f"| {name} | {p['loss']['change']:+.4f} ± {p['loss']['uncertainty']:.4f} | {m['loss']['change']:+.4f} | "
                   f"{difference(run['quantized'], run['clean'])} | {difference(run['trained'], control)} | {100 * flips:.1f} % | {100 * seen:.1f} % | "
                   f"{100 * changed(run['quantized'], run['clean']):.1f} % | {100 * changed(run['trained'], control):.1f} % | "
                   f"{100 * run['lost_updates']:.0f} % | {'; '.join(run['not_applied']) or '-'} |")
    return out + [""]


def page(args):
    any_run = json.loads(file_of(args.runs, RECORDINGS[0], "bf16").read_text())
    facts = any_run["facts"]
    tables = [line for recording in RECORDINGS for line in table(args, recording)]
    build = json.loads((args.runs / "forecast.json").read_text())["tool"]["commit"]
    lines = [f"{datetime.date.today()}, predictions by a build of {build}; training: {len(RUNS)} runs a recording of {any_run['steps']} steps of "
             f"{facts['batch']} bytes, {facts['optimizer']}, PyTorch {facts['torch']}, {facts['device']}.", "", *tables]
    text = args.page.read_text()
    head, rest = text.split(BEGIN)
    args.page.write_text(head + BEGIN + "\n\n" + "\n".join(lines) + END + rest.split(END)[1])
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("train", "page"))
    p.add_argument("--recordings", type=pathlib.Path, default=ROOT / "simulator" / "recordings",
                   help="folder of " + ", ".join(RECORDINGS) + ": the shipped ones, or the same with more tokens")
    p.add_argument("--runs", type=pathlib.Path, required=True, help="folder of the runs' JSON files")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--rate", type=float, default=3e-4)
    p.add_argument("--device", default="cpu")
    p.add_argument("--assay", type=pathlib.Path)
    p.add_argument("--page", type=pathlib.Path)
    args = p.parse_args()
    return train(args) if args.what == "train" else page(args)


if __name__ == "__main__":
    sys.exit(main())
