# SPDX-License-Identifier: Apache-2.0
"""Records the tensors of training steps from any PyTorch model (format: docs/recording.md).

    recorder = Recorder(model)
    with recorder:                       # hooks on every Linear and norm
        loss = loss_of(model, tokens)
        loss.backward()
    recorder.write("folder", name=..., tokens=tokens, targets=targets, ...)

A forward under the context manager is one microbatch. What a hook cannot see comes from the model, both
optional: `model.graph()` returns the ops in order (model.py shows one; without it the ops are the
hooked modules in the order of their first call, unconnected), and a module with routed experts sets
`self.dispatch = {"choice", "gate", "rows", "row_gate"}` in its forward.
"""
import json
import os

import torch
from torch import nn

import safetensors_io

SCHEMA_VERSION = 1
# Residuals and logits decide which experts are chosen, so they keep all their bits.
EXACT_ROLES = {"residual", "router_logits", "router_gate", "row_gate", "router_bias"}


def is_router(name, module):
    """By convention: `router` or `gate` as the last part of the name (Mixtral, DeepSeek, Qwen)."""
    return isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in ("router", "gate")


def is_norm(module):
    return "norm" in type(module).__name__.lower() and getattr(module, "weight", None) is not None


def tensor_class(name, module, router):
    if router(name, module):
        return "router"
    for word, cls in (("expert", "expert"), ("attn", "attention"), ("attention", "attention"),
                      ("head", "head")):
        if word in name:
            return cls
    return "norm" if is_norm(module) else "linear"


def matrix(tensor):
    return tensor.detach().reshape(-1, tensor.shape[-1]).cpu()


class Recorder:
    def __init__(self, model, router=is_router, activation_dtype=torch.bfloat16,
                 weight_dtype=torch.bfloat16, exact_residuals=lambda name: True):
        self.model, self.router = model, router
        self.activation_dtype, self.weight_dtype = activation_dtype, weight_dtype
        self.exact_residuals = exact_residuals
        self.modules = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) or is_norm(m)}
        self.calls = {}    # module name -> role -> one matrix per microbatch
        self.dispatch = {}  # module name -> list of dispatch dictionaries, one per microbatch
        self.handles = []

    def __enter__(self):
        for name, module in self.modules.items():
            self.handles.append(module.register_forward_hook(self._hook(name)))
        for name, module in self.model.named_modules():
            if hasattr(module, "dispatch"):
                self.handles.append(module.register_forward_hook(self._dispatch_hook(name)))
        return self

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _hook(self, name):
        def hook(module, args, output):
            call = self.calls.setdefault(name, {})
            linear = isinstance(module, nn.Linear)
            call.setdefault("input" if linear else "residual", []).append(matrix(args[0]))
            call.setdefault("output", []).append(matrix(output))
            if linear and output.requires_grad:
                grads = call.setdefault("output_grad", [])
                slot = len(grads)
                grads.append(torch.zeros_like(call["output"][-1]))  # stays if no gradient arrives

                def keep(gradient):
                    grads[slot] = matrix(gradient)
                output.register_hook(keep)
        return hook

    def _dispatch_hook(self, name):
        def hook(module, args, output):
            if module.dispatch is not None:
                self.dispatch.setdefault(name, []).append(module.dispatch)
        return hook

    def _flat_graph(self):
        return [{"id": name, "kind": "linear" if isinstance(self.modules[name], nn.Linear) else "rmsnorm",
                 "class": tensor_class(name, self.modules[name], self.router), "inputs": [],
                 "tensors": {}} for name in self.calls]

    def _cast(self, role, name, tensor):
        if not tensor.is_floating_point():
            return tensor.to(torch.int32)
        if role in ("weight", "norm_weight"):
            return tensor.to(self.weight_dtype)
        exact = role in EXACT_ROLES and (role != "residual" or self.exact_residuals(name))
        return tensor.to(torch.float32 if exact else self.activation_dtype)

    def write(self, folder, *, name, training_step, token_sampling, text, licence, facts,
              tokens=None, targets=None, keep=None):
        """Writes recording.json, weights.safetensors and activations.safetensors; `keep`: only these roles."""
        os.makedirs(folder, exist_ok=True)
        # recording.json is written last, so a killed recording has none; nor may it have an older one.
        if os.path.exists(os.path.join(folder, "recording.json")):
            os.remove(os.path.join(folder, "recording.json"))
        graph = self.model.graph() if hasattr(self.model, "graph") else self._flat_graph()
        book = _Book(self._cast)
        ops = {op["id"]: op for op in graph}
        for module_name, call in self.calls.items():
            if module_name in ops:
                self._module_tensors(book, ops[module_name], self.modules[module_name], call)
        for module_name, steps in self.dispatch.items():
            self._dispatch_tensors(book, ops, module_name, steps)
        for op in graph:
            module = dict(self.model.named_modules()).get(op["id"])
            if op["kind"] == "embedding":
                book.put(op, "weight", [module.weight.detach().cpu()], "weights")
                if tokens is not None:
                    book.put(op, "tokens", [tokens.cpu()])
            if op["kind"] == "loss" and targets is not None:
                book.put(op, "targets", [targets.cpu()])
        _outputs_of_plain_ops(graph, ops)
        if keep is not None:
            book.keep(graph, keep)
        for file, tensors in book.files.items():
            safetensors_io.save(os.path.join(folder, file), tensors)
        head = {"schema": "assay-recording", "version": SCHEMA_VERSION, "name": name,
                "training_step": training_step, "token_sampling": token_sampling,
                "provenance": {"text": text, "licence": licence,
                               "facts": {k: str(v) for k, v in facts.items()}}}
        safetensors_io.write_atomically(os.path.join(folder, "recording.json"),
                                        [_readable(head, graph, book.entries).encode()])

    def _module_tensors(self, book, op, module, call):
        if isinstance(module, nn.Linear):
            book.put(op, "weight", [module.weight.detach().cpu()], "weights")
            output = "router_logits" if op["class"] == "router" else "output"
            book.put(op, output, call["output"])
            if "output_grad" in call:
                book.put(op, "output_grad", call["output_grad"])
            book.put(op, "input", call["input"])
        else:
            book.put(op, "norm_weight", [module.weight.detach().cpu()], "weights")
            book.put(op, "residual", call["residual"])
            book.put(op, "output", call["output"])

    def _dispatch_tensors(self, book, ops, module_name, steps):
        """Choices and gates of a routed module, and for each expert the rows that it was given."""
        prefix = module_name + "." if module_name else ""
        inputs = [op for op in ops.values() if op["id"].startswith(prefix)]
        first_row = [0]
        for s in steps:
            first_row.append(first_row[-1] + s["choice"].shape[0])
        for op in inputs:
            e = op.get("expert", -1)
            if op["kind"] == "top_k":
                book.put(op, "router_choice", [s["choice"].cpu() for s in steps])
                book.put(op, "router_gate", [s["gate"].detach().cpu() for s in steps])
                bias = steps[0].get("selection_bias")
                if bias is not None:
                    book.put(op, "router_bias", [bias.detach().cpu()], "weights")
            elif e >= 0 and op["kind"] == "linear":
                owner = dict(op, id=op["id"].rsplit(".", 1)[0])
                rows = [s["rows"][e].cpu() + r for s, r in zip(steps, first_row)]
                source = ops.get(op["inputs"][0], {})
                if "output" in source.get("tensors", {}):  # read through `rows`: no copy of the operand
                    book.drop(op, "input")
                    op["tensors"]["input"] = source["tensors"]["output"]
                    op["tensors"]["rows"] = book.put(owner, "rows", rows)
                else:  # the op that leaves the expert: where its rows go back to, and how much of them
                    op["tensors"]["rows"] = book.put(owner, "rows", rows)
                    op["tensors"]["row_gate"] = book.put(
                        owner, "row_gate", [s["row_gate"][e].detach().cpu() for s in steps])


def _outputs_of_plain_ops(graph, ops):
    """An op that is no module has no hook: its output is the operand of the linear that reads it."""
    for op in graph:
        if op["kind"] == "linear" and "input" in op["tensors"]:
            for source in (ops[i] for i in op["inputs"] if i in ops):
                if source["kind"] in ("attention", "swiglu"):
                    source["tensors"]["output"] = op["tensors"]["input"]


class _Book:
    """The tensors to be written, each once: an operand equal to an output already kept shares it."""

    def __init__(self, cast):
        self.cast, self.entries, self.files, self.shared = cast, {}, {}, {}

    def put(self, op, role, pieces, kind="activations"):
        pieces = [self.cast(role, op["id"], p) for p in pieces]
        name = f"{op['id']}.{role}"
        if name in self.entries:
            op["tensors"][role] = name
            return name
        key = (role in ("input", "output"), tuple(p.shape for p in pieces),
               tuple(hash(safetensors_io.raw_bytes(p)) for p in pieces))
        if role == "input" and pieces[0].numel() and key in self.shared:
            op["tensors"][role] = self.shared[key]
            return self.shared[key]
        self.shared.setdefault(key, name)
        file = kind + ".safetensors"
        shape = [sum(p.shape[0] for p in pieces), *pieces[0].shape[1:]]
        shards, row = [], 0
        for i, piece in enumerate(pieces):
            shard = {"file": file}
            if len(pieces) > 1:
                shard |= {"key": f"{name}@{i}", "offset": [row] + [0] * (piece.dim() - 1),
                          "shape": list(piece.shape), "microbatch": i}
            self.files.setdefault(file, {})[shard.get("key", name)] = piece
            shards.append(shard)
            row += piece.shape[0]
        self.entries[name] = {"name": name, "role": role, "shape": shape, "shards": shards,
                              "dtype": safetensors_io.NAMES[pieces[0].dtype]}
        op["tensors"][role] = name
        return name

    def keep(self, ops, roles):
        """Forgets the tensors of all other roles."""
        for name in [n for n, e in self.entries.items() if e["role"] not in roles]:
            for shard in self.entries.pop(name)["shards"]:
                del self.files[shard["file"]][shard.get("key", name)]
        for op in ops:
            op["tensors"] = {r: n for r, n in op["tensors"].items() if n in self.entries}

    def drop(self, op, role):
        """Forgets an operand unless another op reads it; only its owner may drop it."""
        name = f"{op['id']}.{role}"
        entry = self.entries.pop(name, None)
        for shard in entry["shards"] if entry else ():
            del self.files[shard["file"]][shard.get("key", name)]


def _readable(head, ops, entries):
    """One op or tensor a line: a diff of two recordings is readable."""
    line = lambda value: json.dumps(value, separators=(",", ":"))
    parts = [f"{json.dumps(k)}:{line(v)}" for k, v in head.items()]
    for key, values in (("ops", ops), ("tensors", entries.values())):
        parts.append(f'"{key}":[\n' + ",\n".join(line(v) for v in values) + "\n]")
    return "{" + ",\n".join(parts) + "}\n"
