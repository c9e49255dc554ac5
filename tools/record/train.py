#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the small MoE language model on Python source and writes a recording of the trained state.

    python3 train.py --out recording                    # on a GPU: about two minutes
    python3 train.py --out recording --steps 60 --batch 8 --length 128      # on a CPU
    python3 train.py --out recording --resume model.pt --steps 0            # only record
"""
import argparse
import datetime
import hashlib
import platform
import sysconfig
import time

import torch

from model import Config, MoeLanguageModel
from recorder import Recorder
from train_text import batch_of, cross_entropy, learning_rate, read_text

def train(model, data, args, device):
    decay = [p for p in model.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1},
                                   {"params": rest, "weight_decay": 0.0}],
                                  lr=args.rate, betas=(0.9, 0.95), fused=device.type == "cuda")
    generator = torch.Generator().manual_seed(args.seed)
    model.set_dense(True)
    begin = time.time()
    for step in range(args.steps):
        if time.time() - begin > args.seconds:
            print(f"stopped at step {step}: {args.seconds} seconds are over", flush=True)
            return step
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.rate, min(200, args.steps // 10 + 1))
        tokens, targets = (t.to(device, non_blocking=True)
                           for t in batch_of(data, args.batch, args.length, generator))
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits, balance = model(tokens)
            loss = cross_entropy(logits, targets)
        (loss + args.balance * balance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % max(1, args.steps // 40) == 0 or step == args.steps - 1:
            print(f"step {step} loss {loss.item():.4f} balance {balance.item():.4f} "
                  f"{time.time() - begin:.1f} s", flush=True)
    return args.steps


@torch.no_grad()
def evaluate(model, data, batches, length, device):
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(batches):
        tokens, targets = batch_of(data, 32, length, generator)
        losses.append(cross_entropy(model(tokens.to(device))[0], targets.to(device)).item())
    return sum(losses) / len(losses)


def record(model, data, args, step, facts):
    """The weights are rounded to bf16 first; everything recorded is computed from them in fp32."""
    model = model.cpu().float()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.bfloat16().float())
    model.set_dense(False)
    generator = torch.Generator().manual_seed(args.seed + 1)
    tokens, targets = batch_of(data, args.sequences, args.sequence_length, generator)
    # An expert sees the norm's output; the residual before it decides the routing and stays exact.
    recorder = Recorder(model, exact_residuals=lambda name: "moe_norm" in name or "final" in name)
    with recorder:
        logits, _ = model(tokens)
        loss = cross_entropy(logits, targets)
        loss.backward()
    facts |= {"loss_on_recorded_tokens": f"{loss.item():.4f}"}
    recorder.write(args.out, name=args.name, training_step=step,
                   token_sampling=f"{args.sequences} sequences of {args.sequence_length} bytes at "
                                  f"random places of the held-out text, seed {args.seed + 1}",
                   text=f"CPython {platform.python_version()} standard library, {facts['files']} files",
                   licence="PSF-2.0", facts=facts, tokens=tokens, targets=targets)
    print(f"recorded {args.out}: loss {loss.item():.4f} on {tokens.numel()} tokens", flush=True)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--out", required=True, help="folder of the recording")
    p.add_argument("--name", default="pystdlib-moe")
    p.add_argument("--text", default=sysconfig.get_paths()["stdlib"], help="folder of .py files")
    p.add_argument("--steps", type=int, default=4000)
    p.add_argument("--seconds", type=float, default=float("inf"), help="stop training after this long")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--length", type=int, default=256)
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--balance", type=float, default=0.01, help="factor of the load-balancing loss")
    p.add_argument("--sequences", type=int, default=2, help="recorded")
    p.add_argument("--sequence-length", type=int, default=128, help="recorded")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--save", help="file for the fp32 masters")
    p.add_argument("--resume", help="file to start from")
    return p.parse_args()


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    device = torch.device(args.device)
    train_text, held_out_text, files = read_text(args.text)
    digest = hashlib.sha256(train_text + held_out_text).hexdigest()
    train_data, held_out = (torch.frombuffer(bytearray(t), dtype=torch.uint8)
                            for t in (train_text, held_out_text))
    model = MoeLanguageModel(Config()).to(device)
    step, facts = 0, {}
    if args.resume:
        state = torch.load(args.resume, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        step, facts = state["step"], state["facts"]
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, {len(train_text)} + {len(held_out_text)} bytes, {files} files, "
          f"{device}", flush=True)
    if args.steps:
        step += train(model, train_data, args, device)
        held_out_loss = evaluate(model, held_out, 16, args.length, device)
        print(f"held-out loss {held_out_loss:.4f} nats per byte", flush=True)
        facts |= {"held_out_loss": f"{held_out_loss:.4f}", "seed": args.seed,
                  "batch": f"{args.batch} x {args.length}", "optimizer": f"AdamW, peak {args.rate}",
                  "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
                  "date": datetime.date.today().isoformat(), "torch": str(torch.__version__)}
    facts |= {"parameters": parameters, "files": files, "text_sha256": digest}
    if args.save:
        torch.save({"model": model.state_dict(), "step": step, "facts": facts}, args.save)
    record(model, held_out, args, step, facts)


if __name__ == "__main__":
    main()
