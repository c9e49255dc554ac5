# SPDX-License-Identifier: Apache-2.0
"""A small mixture-of-experts language model over bytes, and the graph of ops that a recording needs.

Every expert is three nn.Linear modules, so that hooks see it. Training multiplies all experts at once
(the unchosen ones by zero), which is faster at this size; recording dispatches tokens to experts as a
large model does. Both compute the same function, and tests/tools/record_test.py checks it.
"""
import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Config:
    layers: int = 6
    width: int = 128
    heads: int = 4
    experts: int = 16
    expert_width: int = 64
    top_k: int = 2
    vocabulary: int = 256
    rope_theta: float = 10000.0
    eps: float = 1e-5
    kv_heads: int = 0              # 0: as many as heads
    score: str = "softmax"         # or sigmoid (DeepSeek-V3), sqrt_softplus (DeepSeek-V4)
    selection_bias: bool = False   # added to the scores for the choice only, moved by the load
    clamp: float = 0.0             # of both factors of SwiGLU; 0: none
    gate_scale: float = 1.0        # of the experts' factors


SCORES = {"softmax": lambda s: s.softmax(-1), "sigmoid": torch.sigmoid,
          "sqrt_softplus": lambda s: F.softplus(s).sqrt()}
SCORE_NUMBERS = {"softmax": 0, "sigmoid": 1, "sqrt_softplus": 2}


def gated(gate, up, clamp):
    """SwiGLU; DeepSeek-V4 clamps both factors."""
    if clamp:
        gate, up = gate.clamp(max=clamp), up.clamp(-clamp, clamp)
    return F.silu(gate) * up


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        x = x.to(self.weight.dtype)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, theta):
    """Rotary positions on [batch, heads, length, dim]: pairs (i, i + dim/2), angle p * theta^(-2i/dim)."""
    length, half = x.shape[-2], x.shape[-1] // 2
    exact = torch.float64 if x.dtype == torch.float64 else torch.float32
    frequency = theta ** (-torch.arange(half, device=x.device, dtype=exact) / half)
    angle = torch.arange(length, device=x.device, dtype=exact)[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    a, b = x[..., :half].to(exact), x[..., half:].to(exact)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)


class Expert(nn.Module):
    def __init__(self, width, hidden, clamp=0.0):
        super().__init__()
        self.clamp = clamp
        self.w_gate = nn.Linear(width, hidden, bias=False)
        self.w_up = nn.Linear(width, hidden, bias=False)
        self.w_down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.w_down(gated(self.w_gate(x), self.w_up(x), self.clamp))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.width
        self.config = config
        self.dense = True     # multiply all experts at once (training)
        self.dispatch = None  # what the last forward chose; read by the recorder
        self.attn_norm = RMSNorm(width, config.eps)
        narrow = width // config.heads * (config.kv_heads or config.heads)
        self.q, self.k, self.v, self.o = (nn.Linear(width, n, bias=False)
                                          for n in (width, narrow, narrow, width))
        self.moe_norm = RMSNorm(width, config.eps)
        self.router = nn.Linear(width, config.experts, bias=False)
        self.experts = nn.ModuleList(
            Expert(width, config.expert_width, config.clamp) for _ in range(config.experts))
        if config.selection_bias:
            self.register_buffer("selection_bias", torch.zeros(config.experts))

    def attention(self, x):
        batch, length, width = x.shape
        head_dim = width // self.config.heads
        q, k, v = (m(x).view(batch, length, -1, head_dim).transpose(1, 2) for m in (self.q, self.k, self.v))
        q, k = rotate(q, self.config.rope_theta), rotate(k, self.config.rope_theta)
        k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(y.transpose(1, 2).reshape(batch, length, width))

    def moe(self, x):
        """[tokens, width] -> output and the load-balancing loss (Switch Transformer, equation 4)."""
        with torch.autocast(x.device.type, enabled=False):  # the router stays in high precision
            probability = SCORES[self.config.score](self.router(x.to(self.router.weight.dtype)))
        space = probability + self.selection_bias if self.config.selection_bias else probability
        choice = space.topk(self.config.top_k, dim=-1).indices
        gate = probability.gather(1, choice)
        gate = self.config.gate_scale * gate / gate.sum(-1, keepdim=True)
        chosen = torch.zeros_like(probability).scatter(1, choice, 1.0)
        if self.training and self.config.selection_bias:  # DeepSeek-V3, section 2.1.2
            self.selection_bias -= 1e-3 * (chosen.mean(0) - chosen.mean()).sign()
        probability = probability / probability.sum(-1, keepdim=True)
        balance = self.config.experts * (chosen.mean(0) / self.config.top_k * probability.mean(0)).sum()
        combine = self.all_experts if self.dense else self.chosen_experts
        return combine(x, choice, gate), balance

    def all_experts(self, x, choice, gate):
        w_gate, w_up = (torch.cat([getattr(e, n).weight for e in self.experts]) for n in ("w_gate", "w_up"))
        w_down = torch.cat([e.w_down.weight for e in self.experts], dim=1)
        hidden = gated(F.linear(x, w_gate), F.linear(x, w_up), self.config.clamp)
        weight = torch.zeros(x.shape[0], self.config.experts, device=x.device).scatter(1, choice, gate)
        hidden = hidden.unflatten(1, (self.config.experts, -1)) * weight[..., None].to(hidden.dtype)
        return F.linear(hidden.flatten(1), w_down)

    def chosen_experts(self, x, choice, gate):
        output = torch.zeros_like(x)
        rows_of, gate_of = [], []
        for e, expert in enumerate(self.experts):
            rows, slot = (choice == e).nonzero(as_tuple=True)
            output = output.index_add(0, rows, expert(x[rows]) * gate[rows, slot, None])
            rows_of.append(rows)
            gate_of.append(gate[rows, slot])
        self.dispatch = {"choice": choice, "gate": gate, "rows": rows_of, "row_gate": gate_of,
                         "selection_bias": getattr(self, "selection_bias", None)}
        return output

    def forward(self, x):
        x = x + self.attention(self.attn_norm(x))
        y, balance = self.moe(self.moe_norm(x).flatten(0, 1))
        return x + y.view_as(x), balance


class MoeLanguageModel(nn.Module):
    def __init__(self, config=Config()):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.final_norm = RMSNorm(config.width, config.eps)
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                deep = name.endswith(("o.weight", "w_down.weight"))  # keep the residual stream's scale
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * config.layers) if deep else 0.02)
        nn.init.normal_(self.embed.weight, std=1.0 / math.sqrt(config.width))

    def set_dense(self, dense):
        for layer in self.layers:
            layer.dense = dense

    def forward(self, tokens):
        x = self.embed(tokens)
        balance = 0.0
        for layer in self.layers:
            x, b = layer(x)
            balance = balance + b / len(self.layers)
        return self.head(self.final_norm(x)), balance

    def graph(self):
        """The ops of one forward, in order; ids of module ops are module names."""
        c = self.config
        norm = {"eps": c.eps}
        ops = [_op("embed", "embedding", "embedding")]
        stream = "embed"
        for i in range(c.layers):
            p = f"layers.{i}."

            def op(name, kind, cls, inputs, expert=-1, p=p, i=i, **numbers):
                ops.append(_op(p + name, kind, cls, inputs, i, expert, numbers))
                return p + name

            n = op("attn_norm", "rmsnorm", "norm", [stream], **norm)
            qkv = [op(x, "linear", "attention", [n]) for x in "qkv"]
            a = op("attention", "attention", "attention", qkv, heads=c.heads,
                   head_dim=c.width // c.heads, rope_theta=c.rope_theta,
                   **({"kv_heads": c.kv_heads} if c.kv_heads else {}))
            o = op("o", "linear", "attention", [a])
            stream = op("attn_add", "add", "residual", [stream, o])
            n = op("moe_norm", "rmsnorm", "norm", [stream], **norm)
            r = op("router", "linear", "router", [n])
            top = op("top_k", "top_k", "router", [r], k=c.top_k, experts=c.experts,
                     **({"score": SCORE_NUMBERS[c.score]} if c.score != "softmax" else {}),
                     **({"scale": c.gate_scale} if c.gate_scale != 1 else {}))
            clamp = {"gate_max": c.clamp, "linear_max": c.clamp} if c.clamp else {}
            down = []
            for e in range(c.experts):
                x = f"experts.{e}."
                gate_up = [op(x + w, "linear", "expert", [n, top], expert=e) for w in ("w_gate", "w_up")]
                s = op(x + "swiglu", "swiglu", "expert", gate_up, expert=e, **clamp)
                down.append(op(x + "w_down", "linear", "expert", [s], expert=e))
            m = op("combine", "combine", "residual", down)
            stream = op("moe_add", "add", "residual", [stream, m])
        ops.append(_op("final_norm", "rmsnorm", "norm", [stream], numbers=norm))
        ops.append(_op("head", "linear", "head", ["final_norm"]))
        ops.append(_op("loss", "loss", "loss", ["head"]))
        return ops


def _op(name, kind, cls, inputs=(), layer=-1, expert=-1, numbers=None):
    op = {"id": name, "kind": kind, "class": cls, "inputs": list(inputs), "tensors": {}}
    if layer >= 0:
        op["layer"] = layer
    if expert >= 0:
        op["expert"] = expert
    if numbers:
        op["numbers"] = dict(numbers)
    return op
