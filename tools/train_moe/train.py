#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a small mixture of experts on Python source, on a CPU in a minute or two, and records it.

    python3 train.py --preset softmax --out recordings/moe-softmax
    python3 train.py --preset softmax --steps 600 --at 100 300 600 --out run      # run-100, ...
    python3 train.py --resume simulator/recordings/moe-softmax-1000 --recipe nvfp4-w4a4 --steps 100 --truth qat.json

`--recipe` trains under a recipe file: quantized operands of all three products, estimators, learned scales, masters,
moments, loss scaling, schedule (what it does not do is printed). `--truth` writes what became of loss and routing.
Weights are recorded in bf16 with the tokens, the router's logits and its choices; `assay replay` recomputes
everything else in double.
"""
import argparse
import copy
import hashlib
import json
import os
import platform
import sys
import sysconfig
import time

import torch
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "record")]
from model import Config, MoeLanguageModel  # noqa: E402
from recorder import Recorder  # noqa: E402
from precision import Precision  # noqa: E402
from recipes import apply_recipe, load_recipe, not_applied, quantizes  # noqa: E402
from safetensors_io import load  # noqa: E402
from train_text import batch_of, cross_entropy, learning_rate, read_text  # noqa: E402

KEPT = {"weight", "norm_weight", "router_bias", "tokens", "targets", "router_choice", "router_logits"}
PRESETS = {
    "pystdlib": Config(),  # of simulator/recordings/pystdlib-moe
    "softmax": Config(layers=4, width=64, heads=4, experts=8, expert_width=32, top_k=2),
    "sigmoid": Config(layers=3, width=96, heads=6, kv_heads=2, experts=12, expert_width=32, top_k=3,
                      score="sigmoid", selection_bias=True),
    "softplus": Config(layers=3, width=64, heads=2, experts=16, expert_width=32, top_k=4,
                       score="sqrt_softplus", selection_bias=True, clamp=10.0, gate_scale=1.5),
}


def record(model, data, args, step, folder, facts):
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.bfloat16().float())
    apply_recipe(model, {"classes": []}, 0)
    model.set_dense(False)
    tokens, targets = batch_of(data, args.sequences, args.sequence_length,
                               torch.Generator().manual_seed(args.seed + 1))
    recorder = Recorder(model)
    with recorder:
        loss = cross_entropy(model(tokens)[0], targets)
    recorder.write(folder, name=os.path.basename(os.path.normpath(folder)), training_step=step,
                   token_sampling=f"{args.sequences} sequences of {args.sequence_length} bytes at random "
                                  f"places of the held-out text, seed {args.seed + 1}",
                   text=f"CPython {platform.python_version()} standard library, {facts['files']} files",
                   licence="PSF-2.0", facts=facts | {"loss_on_recorded_tokens": f"{loss.item():.4f}"},
                   tokens=tokens, targets=targets, keep=KEPT)
    print(f"recorded {folder}: loss {loss.item():.4f} on {tokens.numel()} tokens", flush=True)


@torch.no_grad()
def observe(model, recipe, step, tokens, targets):
    """What the recipe makes of the recorded tokens: each one's loss, and the experts that each router chose."""
    apply_recipe(model, recipe, step)
    model.set_dense(False)
    model.eval()
    losses = F.cross_entropy(model(tokens)[0].float().flatten(0, 1), targets.flatten(), reduction="none")
    chosen = [layer.dispatch["choice"].sort(-1).values for layer in model.layers]
    model.train()
    return {"losses": losses.tolist(), "choices": [c.tolist() for c in chosen]}


def resume(model, path):
    """A file of --save, or a recording, whose weights are bf16. (step, preset or None, recorded tokens and targets)"""
    if not os.path.isdir(path):
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        return state["step"], None
    with open(os.path.join(path, "recording.json")) as f:
        head = json.load(f)
    tensors = {}
    for name in sorted({shard["file"] for t in head["tensors"] for shard in t["shards"]}):
        tensors |= load(os.path.join(path, name))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(tensors[name.replace("norm.weight", "norm.norm_weight")].float())
        for i, layer in enumerate(model.layers):
            if layer.config.selection_bias:
                layer.selection_bias.copy_(tensors[f"layers.{i}.top_k.router_bias"].float())
    return head["training_step"], tuple(tensors[n].long() for n in ("embed.tokens", "loss.targets"))


def preset_of(recording):
    with open(os.path.join(recording, "recording.json")) as f:
        return json.load(f)["provenance"]["facts"]["preset"]


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--preset", choices=PRESETS, help="default: softmax, or that of the recording")
    p.add_argument("--out", help="folder of the recording")
    p.add_argument("--at", type=int, nargs="*", default=[], help="steps to record, each in OUT-N")
    p.add_argument("--steps", type=int, default=600)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--length", type=int, default=128)
    p.add_argument("--rate", type=float, default=3e-3)
    p.add_argument("--balance", type=float, default=0.01, help="factor of the load-balancing loss")
    p.add_argument("--recipe", help="name or file: train under it")
    p.add_argument("--truth", help="JSON file: loss and routing before and after this run")
    p.add_argument("--text", default=sysconfig.get_paths()["stdlib"], help="folder of .py files")
    p.add_argument("--sequences", type=int, default=4, help="recorded")
    p.add_argument("--sequence-length", type=int, default=128, help="recorded")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--save", help="file for the fp32 masters")
    p.add_argument("--resume", help="file of --save or recording to start from")
    p.add_argument("--recipe-step", type=int, help="where the recipe's schedule begins (default: the step resumed)")
    p.add_argument("--device", default="cpu")
    return p.parse_args()


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)  # sums, and so the recording, depend on it
    train_text, held_out_text, files = read_text(args.text)
    data, held_out = (torch.frombuffer(bytearray(t), dtype=torch.uint8) for t in (train_text, held_out_text))
    if args.preset is None:
        args.preset = preset_of(args.resume) if args.resume and os.path.isdir(args.resume) else "softmax"
    model = MoeLanguageModel(PRESETS[args.preset])
    done, seen = resume(model, args.resume) if args.resume else (0, None)
    model.to(args.device)
    seen = [t.to(args.device) for t in seen or batch_of(held_out, args.sequences, args.sequence_length,
                                                        torch.Generator().manual_seed(args.seed + 1))]
    facts = {"seed": args.seed, "preset": args.preset, "batch": f"{args.batch} x {args.length}",
             "optimizer": f"AdamW, peak {args.rate}", "torch": str(torch.__version__), "files": files,
             "device": torch.cuda.get_device_name() if model.embed.weight.is_cuda else "CPU",
             "text_sha256": hashlib.sha256(train_text + held_out_text).hexdigest(),
             "parameters": sum(p.numel() for p in model.parameters())}
    recipe = load_recipe(args.recipe) if args.recipe else {"classes": []}
    left_out = not_applied(recipe)
    if left_out:
        print(f"recipe {recipe['name']}: training does not apply: {'; '.join(left_out)}", file=sys.stderr)
    at = done if args.recipe_step is None else args.recipe_step  # of the recipe's schedule
    truth = {"clean": observe(model, {"classes": []}, 0, *seen), "quantized": observe(model, recipe, at, *seen)}
    precision = Precision(model, recipe, args.rate)
    generator = torch.Generator().manual_seed(args.seed + (1000 if args.resume else 0))
    begin, losses = time.time(), []
    for step in range(args.steps):
        apply_recipe(model, recipe, at + step)
        model.set_dense(not quantizes(model))  # all experts at once is faster, and goes around their linears
        rate = learning_rate(step, args.steps, args.rate, min(50, args.steps // 10 + 1))
        tokens, targets = (t.to(args.device) for t in batch_of(data, args.batch, args.length, generator))
        logits, balance = model(tokens)
        loss = cross_entropy(logits, targets)
        precision.step(loss + args.balance * balance, rate)
        losses.append(loss.item())
        if step % max(1, args.steps // 10) == 0 or step == args.steps - 1:
            print(f"step {done + step} loss {losses[-1]:.4f} {time.time() - begin:.1f} s", flush=True)
        if step + 1 in args.at:
            record(model, held_out, args, done + step + 1, f"{args.out}-{done + step + 1}", facts)
    truth["trained"] = observe(model, recipe, at + args.steps, *seen)
    if args.truth:
        with open(args.truth, "w") as f:
            json.dump({"recipe": recipe.get("name"), "recording": args.resume, "steps": args.steps, "rate": args.rate,
                       "recipe_step": at, "not_applied": left_out, "last_training_losses": losses[-20:],
                       "lost_updates": precision.lost_updates, "skipped_steps": precision.skipped, "facts": facts, **truth}, f)
    if args.save:
        torch.save({"model": model.state_dict(), "step": done + args.steps}, args.save)
    if args.out and not args.at:
        record(model, held_out, args, done + args.steps, args.out, facts)


if __name__ == "__main__":
    main()
