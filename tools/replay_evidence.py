#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/evidence/replay-prediction.md: runs `assay replay --both` on recordings and writes the Markdown between the page's markers.

    python3 tools/replay_evidence.py --assay build/tools/assay --page docs/evidence/replay-prediction.md \\
        simulator/recordings/pystdlib-moe simulator/recordings/moe-softmax-1000 held-softmax held-softplus \\
        --blame simulator/recordings/moe-softmax-1000:nvfp4-w4a4
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

RECIPES = ["fp8-deepseek-v3", "deepseek-v4", "nvfp4", "nvfp4-w4a4", "mxfp4-floor", "mxfp4-rceil", "article"]
BEGIN, END = "<!-- tables: tools/replay_evidence.py -->", "<!-- end of tables -->"


def factor(value):
    return "wrong sign" if value is None else f"{value:.3f}"


def router(forecast, kind):
    last = forecast[kind]["routers"][-1]
    rate = last["flip_rate"] if kind == "predicted" else last["flips"] / last["tokens"]
    return last["noise_sd"], 100 * rate


def tables(network):
    out = [f"Step {network['training_step']}, {network['tokens']} tokens, clean loss {network['clean_loss']:.4f}.", "",
           "| figure | how many | asked | inside | within 2 stated deviations | median | worst | at | baseline median |",
           "|---|---|---|---|---|---|---|---|---|"]
    for a in network["agreement"]:
        stated = f"{100 * a['within_two_stated_deviations']:.1f} %" if a["stated"] else "-"
        naive = f"{a['naive_median']:.3f}" if a["naive_median"] else "-"
        out.append(f"| {a['kind']} | {a['count']} | {a['limit']:.2f} | {100 * a['within']:.1f} % | {stated} | {factor(a['median'])} | "
                   f"{factor(a['worst'])} | {a['worst_at']} | {naive} |")
    out += ["", "| recipe | loss change, predicted | measured | KL, predicted | measured | last router noise, predicted | measured "
            "| its flips, predicted | measured | seconds, predicted | with its statistics | measured, forward | ratio | measured, all | ratio | ratio with statistics |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    ratios, whole, new, new_forward = [], [], [], []
    for f in network["forecasts"]:
        p, m = f["predicted"], f["measured"]
        (ps, pf), (ms, mf) = router(f, "predicted"), router(f, "measured")
        ratios.append(m["seconds"] / p["seconds"])
        whole.append(m["all_seconds"] / p["seconds"])
        first = p["seconds"] + p["statistics_seconds"]
        new.append(m["all_seconds"] / first)
        new_forward.append(m["seconds"] / first)
        out.append(f"| {f['recipe']} | {p['loss']['change']:+.4f} ± {p['loss']['uncertainty']:.4f} | {m['loss']['change']:+.4f} ± "
                   f"{m['loss']['standard_error']:.4f} | {p['loss']['kl']:.5f} | {m['loss']['kl']:.5f} | {ps:.4f} | {ms:.4f} | "
                   f"{pf:.1f} % | {mf:.1f} % | {p['seconds']:.4f} | {first:.4f} | {m['seconds']:.3f} | {ratios[-1]:.1f} | {m['all_seconds']:.3f} | "
                   f"{whole[-1]:.1f} | {new[-1]:.1f} |")
    def of(values):
        return f"median {statistics.median(values):.1f}, least {min(values):.1f}"

    out += ["", f"The pass that all predictions share took {network['response_seconds']:.1f} s. All other seconds are CPU seconds of one thread. A measurement is timed with its forward pass "
            f"and figures, and whole: with the backward pass. The first over predicted: {of(ratios)}; the whole over predicted: {of(whole)} "
            f"(asked: 20). With what a recipe's statistics took, roundings of weights in formats that no row above has and block "
            f"statistics of activations: the first {of(new_forward)}; "
            f"the whole {of(new)}.", ""]
    return out


def run(arguments):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out.json"
        text = subprocess.run([*map(str, arguments), "--json", str(out)], check=True, capture_output=True, text=True).stdout
        return json.loads(out.read_text()), text


def processor():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown processor")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", help="folders; NAME=FOLDER gives the heading")
    parser.add_argument("--assay", required=True)
    parser.add_argument("--page", type=pathlib.Path, required=True)
    parser.add_argument("--samples", default="4")
    parser.add_argument("--at-once", type=int, default=1, help="recordings at a time")
    parser.add_argument("--blame", nargs="*", default=[], help="RECORDING:RECIPE")
    options = parser.parse_args()
    recipes = [a for r in RECIPES for a in ("--recipe", r)]

    def replay(entry):
        name, _, folder = entry.rpartition("=")
        # One measurement at a time: its CPU seconds then owe little to caches that others share.
        report, _ = run([options.assay, "replay", folder, *recipes, "--both", "--jobs", "1", "--samples", options.samples])
        return report["tool"]["commit"], [f"## {name or report['network']['recording']}", "", *tables(report["network"])]

    def blame(entry):
        folder, _, recipe = entry.rpartition(":")
        return run([options.assay, "attribute", folder, "--recipe", recipe, "--measure", "--samples", options.samples, "--top", "0"])[1]

    with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
        blames = pool.map(blame, options.blame)
        replays = list(pool.map(replay, options.recordings))
        out = [f"{datetime.date.today()}, commit {replays[0][0]}, {os.cpu_count()} threads of {processor()}, {options.at_once} recordings at once, "
               f"`--samples {options.samples}`.", ""]
        for _, lines in replays:
            out += lines
        if options.blame:
            out += ["## Blame", "", f"`assay attribute RECORDING --recipe R --measure --samples {options.samples}`.", "", "```"]
            for text in blames:
                out += text.strip().splitlines()
            out += ["```", ""]
    page = options.page.read_text()
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    options.page.write_text(head + BEGIN + "\n\n" + "\n".join(out) + END + tail)


if __name__ == "__main__":
    main()
