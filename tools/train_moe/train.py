#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a small mixture of experts on Python source, on a CPU in a minute or two, and records it.

    python3 train.py --preset softmax --out recordings/moe-softmax
    python3 train.py --preset softmax --steps 600 --at 100 300 600 --out run      # run-100, ...
    python3 train.py --preset softmax --resume model.pt --recipe nvfp4-w4a4 --steps 100 --truth qat.json

`--recipe` trains under a recipe file with straight-through estimators, and `--truth` writes what became of
loss and routing. Weights are recorded in bf16 with the tokens, the router's logits and its choices;
`assay replay` recomputes everything else in double.
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

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "record")]
from model import Config, MoeLanguageModel  # noqa: E402
from recorder import Recorder  # noqa: E402
from quantizers import apply_recipe, load_recipe, not_applied  # noqa: E402
from train_text import batch_of, cross_entropy, learning_rate, read_text  # noqa: E402

KEPT = {"weight", "norm_weight", "router_bias", "tokens", "targets", "router_choice", "router_logits"}
PRESETS = {
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
def observe(model, data, args):
    """Loss on the recorded tokens, and the experts that each router chose."""
    model.set_dense(False)
    model.eval()
    tokens, targets = batch_of(data, args.sequences, args.sequence_length,
                               torch.Generator().manual_seed(args.seed + 1))
    loss = cross_entropy(model(tokens)[0], targets).item()
    chosen = [layer.dispatch["choice"].sort(-1).values for layer in model.layers]
    model.train()
    model.set_dense(True)
    return loss, chosen


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--preset", choices=PRESETS, default="softmax")
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
    p.add_argument("--resume", help="file to start from")
    return p.parse_args()


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)  # sums, and so the recording, depend on it
    train_text, held_out_text, files = read_text(args.text)
    data, held_out = (torch.frombuffer(bytearray(t), dtype=torch.uint8) for t in (train_text, held_out_text))
    model = MoeLanguageModel(PRESETS[args.preset])
    done = 0
    if args.resume:
        state = torch.load(args.resume, weights_only=True)
        model.load_state_dict(state["model"])
        done = state["step"]
    facts = {"seed": args.seed, "preset": args.preset, "batch": f"{args.batch} x {args.length}",
             "optimizer": f"AdamW, peak {args.rate}", "torch": str(torch.__version__), "files": files,
             "device": "CPU", "text_sha256": hashlib.sha256(train_text + held_out_text).hexdigest(),
             "parameters": sum(p.numel() for p in model.parameters())}
    recipe = load_recipe(args.recipe) if args.recipe else {"classes": []}
    left_out = not_applied(recipe)
    if left_out:
        print(f"recipe {recipe['name']}: training does not apply: {'; '.join(left_out)}", file=sys.stderr)
    apply_recipe(model, {"classes": []}, 0)
    clean_loss, clean_choice = observe(model, held_out, args)
    apply_recipe(model, recipe, done)
    ptq_loss, ptq_choice = observe(model, held_out, args)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, betas=(0.9, 0.95), weight_decay=0.01)
    generator = torch.Generator().manual_seed(args.seed + (1000 if args.resume else 0))
    begin = time.time()
    for step in range(args.steps):
        apply_recipe(model, recipe, done + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.rate, min(50, args.steps // 10 + 1))
        tokens, targets = batch_of(data, args.batch, args.length, generator)
        logits, balance = model(tokens)
        loss = cross_entropy(logits, targets)
        (loss + args.balance * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % max(1, args.steps // 10) == 0 or step == args.steps - 1:
            print(f"step {done + step} loss {loss.item():.4f} {time.time() - begin:.1f} s", flush=True)
        if step + 1 in args.at:
            record(model, held_out, args, done + step + 1, f"{args.out}-{done + step + 1}", facts)
    loss, choice = observe(model, held_out, args)
    if args.truth:
        changed = lambda other: [(a != b).any(-1).float().mean().item() for a, b in zip(clean_choice, other)]
        with open(args.truth, "w") as f:
            json.dump({"recipe": recipe.get("name"), "preset": args.preset, "steps": args.steps,
                       "not_applied": left_out, "clean_loss": clean_loss, "quantized_loss": ptq_loss, "trained_loss": loss,
                       "quantized_flips": changed(ptq_choice), "trained_flips": changed(choice)}, f, indent=1)
    if args.save:
        torch.save({"model": model.state_dict(), "step": done + args.steps}, args.save)
    if args.out and not args.at:
        record(model, held_out, args, done + args.steps, args.out, facts)


if __name__ == "__main__":
    main()
