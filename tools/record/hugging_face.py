# SPDX-License-Identifier: Apache-2.0
"""The graph of a Hugging Face style decoder, from the names and types of its modules and its config.

    graph_of(model)                        # Llama, Mistral, Qwen2/3 MoE, Mixtral, DeepSeek-like names
    graph_of(model, "mapping.json")        # names of your own: what the file says replaces DEFAULTS

What a recording cannot say (biases, normed queries, scaled rotary positions, other activations) is refused by a
sentence, never left out silently.
"""
import json
import pathlib

import torch
from torch import nn

# Names after the layer's, or of the whole model; a list: the first that is there.
DEFAULTS = {
    "embedding": ["model.embed_tokens", "embed_tokens", "transformer.wte"],
    "layers": ["model.layers", "layers", "transformer.h"],
    "attention_norm": ["input_layernorm", "attention_norm"],
    "q": ["self_attn.q_proj", "attention.wq"], "k": ["self_attn.k_proj", "attention.wk"],
    "v": ["self_attn.v_proj", "attention.wv"], "o": ["self_attn.o_proj", "attention.wo"],
    "mlp_norm": ["post_attention_layernorm", "ffn_norm"],
    "gate": ["mlp.gate_proj", "feed_forward.w1"], "up": ["mlp.up_proj", "feed_forward.w3"],
    "down": ["mlp.down_proj", "feed_forward.w2"],
    "router": ["mlp.gate", "block_sparse_moe.gate", "mlp.router"],
    "experts": ["mlp.experts", "block_sparse_moe.experts"],
    "expert_gate": ["gate_proj", "w1"], "expert_up": ["up_proj", "w3"], "expert_down": ["down_proj", "w2"],
    "stacked_gate_up": ["gate_up_proj"], "stacked_down": ["down_proj"],  # [experts, 2 hidden, width] ...
    "shared": ["mlp.shared_experts"],
    "final_norm": ["model.norm", "norm", "transformer.ln_f"], "head": ["lm_head", "output"],
    # Of the ops; what is not given comes from model.config.
    "numbers": {},
}
SCORES = {"softmax": 0, "sigmoid": 1, "sqrtsoftplus": 2, "sqrt_softplus": 2}
UNSAYABLE = ("self_attn.q_norm", "self_attn.k_norm", "mlp.shared_expert", "mlp.shared_expert_gate",
             "pre_feedforward_layernorm")


class Unrecognised(ValueError):
    pass


def graph_of(model, mapping=None):
    """Ops in order; raises Unrecognised, one sentence that names the module."""
    if mapping is not None and not isinstance(mapping, dict):
        mapping = json.loads(pathlib.Path(mapping).read_text())
    unknown = set(mapping or {}) - set(DEFAULTS)
    if unknown:
        raise Unrecognised(f"the mapping has the unknown key {sorted(unknown)[0]}; known: {', '.join(DEFAULTS)}")
    return _Builder(model, DEFAULTS | (mapping or {})).run()


class _Builder:
    def __init__(self, model, names):
        self.names, self.ops, self.stream = names, [], None
        self.modules = dict(model.named_modules())
        self.parameters = dict(model.named_parameters(remove_duplicate=False))
        self.config = getattr(model, "config", None)

    def find(self, key, prefix="", needed=True):
        options = self.names[key]
        for name in [options] if isinstance(options, str) else options:
            if prefix + name in self.modules or prefix + name in self.parameters:
                return prefix + name
        if needed:
            raise Unrecognised(f"no module {prefix}{options} for {key}: name it in a mapping file")
        return None

    def number(self, key, *attributes, otherwise=None):
        if key in self.names["numbers"]:
            return self.names["numbers"][key]
        for a in attributes:
            value = getattr(self.config, a, None)
            if isinstance(value, dict):  # rope_parameters
                value = value.get("rope_theta")
            if value is not None:
                return value
        if otherwise is None:
            raise Unrecognised(f"neither model.config nor the mapping's numbers have {key}")
        return otherwise

    def add(self, name, kind, cls, inputs, layer=-1, expert=-1, parameter=None, **numbers):
        bias = getattr(self.modules.get(name), "bias", None)
        if isinstance(bias, torch.Tensor):
            raise Unrecognised(f"{name} has a bias, which a recording cannot say")
        op = {"id": name, "kind": kind, "class": cls, "inputs": list(inputs), "tensors": {}}
        op |= {"layer": layer} if layer >= 0 else {}
        op |= {"expert": expert} if expert >= 0 else {}
        op |= {"parameter": parameter} if parameter else {}
        op |= {"numbers": numbers} if numbers else {}
        self.ops.append(op)
        return name

    def run(self):
        scaling = getattr(self.config, "rope_parameters", None) or getattr(self.config, "rope_scaling", None) or {}
        if scaling.get("rope_type", scaling.get("type", "default")) != "default":
            raise Unrecognised(f"rotary positions are scaled ({scaling}), which a recording cannot say")
        if getattr(self.config, "hidden_act", "silu") not in ("silu", "swish"):
            raise Unrecognised(f"the activation is {self.config.hidden_act}, not silu")
        self.eps = self.number("eps", "rms_norm_eps", "layer_norm_eps")
        self.stream = self.add(self.find("embedding"), "embedding", "embedding", [])
        layers = self.find("layers")
        for i in range(len(self.modules[layers])):
            self.layer(i, f"{layers}.{i}.")
        norm = self.norm(self.find("final_norm"), -1)
        head = self.add(self.find("head"), "linear", "head", [norm])
        self.add("loss", "loss", "loss", [head])
        named = {op["id"] for op in self.ops}
        for name, module in self.modules.items():
            if isinstance(module, nn.Linear) and name not in named:
                raise Unrecognised(f"the linear {name} has no place in the graph: name it in a mapping file")
        return self.ops

    def norm(self, name, layer):
        return self.add(name, "rmsnorm", "norm", [self.stream], layer, eps=self.eps)

    def layer(self, i, p):
        for name in UNSAYABLE:
            if p + name in self.modules:
                raise Unrecognised(f"{p}{name} is something that a recording cannot say")
        n = self.norm(self.find("attention_norm", p), i)
        heads = self.number("heads", "num_attention_heads")
        width = self.modules[self.ops[0]["id"]].weight.shape[1]
        qkv = [self.add(self.find(x, p), "linear", "attention", [n], i) for x in "qkv"]
        a = self.add(p + "attention", "attention", "attention", qkv, i, heads=heads,
                     head_dim=self.number("head_dim", "head_dim", otherwise=width // heads),
                     kv_heads=self.number("kv_heads", "num_key_value_heads", otherwise=heads),
                     rope_theta=self.number("rope_theta", "rope_parameters", "rope_theta", otherwise=10000.0))
        o = self.add(self.find("o", p), "linear", "attention", [a], i)
        self.stream = self.add(p + "attention_add", "add", "residual", [self.stream, o], i)
        n = self.norm(self.find("mlp_norm", p), i)
        router = self.find("router", p, needed=False)
        m = self.moe(i, p, n, router) if router else self.mlp(i, n, *(self.find(x, p) for x in ("gate", "up", "down")))
        self.stream = self.add(p + "mlp_add", "add", "residual", [self.stream, m], i)

    def mlp(self, i, n, gate, up, down):
        inner = [self.add(w, "linear", "dense", [n], i) for w in (gate, up)]
        s = self.add(gate.rsplit(".", 1)[0] + ".swiglu", "swiglu", "dense", inner, i)
        return self.add(down, "linear", "dense", [s], i)

    def moe(self, i, p, n, router):
        r = self.add(router, "linear", "router", [n], i)
        for name in (router + ".e_score_correction_bias", router + ".bias"):
            if name in self.parameters:
                raise Unrecognised(f"{name} is a parameter; the bias for the choice is recorded through `dispatch`")
        score = self.number("score", "scoring_func", otherwise="softmax")
        if getattr(self.config, "n_group", None) not in (None, 1):
            raise Unrecognised("experts are chosen in groups, which a recording cannot say")
        top = self.add(p + "top_k", "top_k", "router", [r], i, k=self.number("k", "num_experts_per_tok"),
                       score=SCORES.get(score, score),
                       renormalize=int(self.number("renormalize", "norm_topk_prob", otherwise=True)),
                       scale=self.number("scale", "routed_scaling_factor", otherwise=1.0))
        experts = self.find("experts", p)
        down = []
        for e in range(self.parameters[router + ".weight"].shape[0]):
            gate_up, last = self.expert(experts, e)
            inner = [self.add(w, "linear", "expert", [n, top], i, e, parameter) for w, parameter in gate_up]
            s = self.add(f"{experts}.{e}.swiglu", "swiglu", "expert", inner, i, e)
            down.append(self.add(last[0], "linear", "expert", [s], i, e, last[1]))
        shared = self.find("shared", p, needed=False)
        if shared:
            down.append(self.mlp(i, n, *(self.find("expert_" + x, shared + ".") for x in ("gate", "up", "down"))))
        return self.add(p + "combine", "combine", "residual", down, i)

    def expert(self, experts, e):
        """(name, stacked parameter) of gate, up; and of down."""
        stacked = self.find("stacked_gate_up", experts + ".", needed=False)
        if stacked in self.parameters:
            hidden = self.parameters[stacked].shape[1] // 2
            rows = {"gate": [0, hidden], "up": [hidden, 2 * hidden]}
            down = self.find("stacked_down", experts + ".")
            return ([(f"{experts}.{e}.{w}", {"name": stacked, "index": e, "rows": r}) for w, r in rows.items()],
                    (f"{experts}.{e}.down", {"name": down, "index": e}))
        p = f"{experts}.{e}."
        return ([(self.find(w, p), None) for w in ("expert_gate", "expert_up")], (self.find("expert_down", p), None))


def looks_like_a_decoder(model):
    names = dict(model.named_modules())
    return any(n in names for n in DEFAULTS["embedding"]) and any(n in names for n in DEFAULTS["layers"])
