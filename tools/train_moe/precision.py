# SPDX-License-Identifier: Apache-2.0
"""The optimizer step in the recipe's formats: loss scaling, weight gradients, moments and masters."""
import math

import torch


class Precision:
    """AdamW. Learned scale factors stay in FP32. `lost_updates`: of all updates of the masters that were not zero, the
    share that rounding them lost."""

    def __init__(self, model, recipe, rate):
        self.model, self.recipe = model, recipe
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
        scaling = recipe.get("loss_scaling", {"kind": "none"})
        self.dynamic = scaling["kind"] == "dynamic"
        self.scale = 1.0 if scaling["kind"] == "none" else float(scaling["initial"])
        self.interval, self.good = scaling.get("growth_interval", 2000), 0
        self.skipped = self.lost = self.moved = 0

    @property
    def lost_updates(self):
        return self.lost / max(1, self.moved)

    def known(self):
        """The parameters, with learned scales that came since; they do not decay toward a scale of 1."""
        had = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        fresh = [p for p in self.model.parameters() if id(p) not in had]
        if fresh:
            self.optimizer.add_param_group({"params": fresh, "weight_decay": 0.0})
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def step(self, loss, rate):
        parameters = self.known()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        (loss * self.scale).backward()
        for p in parameters:
            if p.grad is not None:
                p.grad.div_(self.scale)
                if self.recipe.get("weight_gradient", "fp32") == "bf16":
                    p.grad.copy_(p.grad.bfloat16())
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        if not math.isfinite(norm):  # as PyTorch's GradScaler: skip the step, halve the scale
            self.skipped += 1
            self.good = 0
            self.scale /= 2 if self.dynamic else 1
            return
        self.good += 1
        if self.dynamic and self.good % self.interval == 0:
            self.scale *= 2
        bf16_masters = self.recipe.get("master", "fp32") == "bf16"
        masters = [p for n, p in self.model.named_parameters() if not n.endswith("log_scale")] if bf16_masters else []
        before = [p.detach().clone() for p in masters]
        self.optimizer.step()
        if self.recipe.get("moments", "fp32") == "bf16":
            for state in self.optimizer.state.values():
                for key in ("exp_avg", "exp_avg_sq"):
                    state[key].copy_(state[key].bfloat16())
        with torch.no_grad():
            for old, p in zip(before, masters):
                moved = p != old
                p.copy_(p.bfloat16())
                self.moved += moved.sum().item()
                self.lost += (moved & (p == old)).sum().item()
