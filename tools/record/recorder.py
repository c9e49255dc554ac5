# SPDX-License-Identifier: Apache-2.0
"""Records the tensors of training steps from any PyTorch model (format: docs/recording.md).

    recorder = Recorder(model, optimizer=optimizer)
    for step, (tokens, targets) in enumerate(batches):
        with recorder.at(step, step in {100, 1000}, f"run-{step}", tokens=tokens, targets=targets, **about):
            loss_of(model, tokens, targets).backward()
            optimizer.step()
    recorder.wait()

At the chosen steps every Linear and norm is hooked, each forward is one microbatch, and a thread writes the
recording while training goes on. `with recorder: ...` and `recorder.write(...)` do the same by hand.

What a hook cannot see comes from the model, both optional: the ops in order, from the `graph` argument, from
`model.graph()` (model.py shows one) or from the names of a Hugging Face style decoder (hugging_face.py);
without any of them the ops are the hooked modules in the order of their first call, unconnected. And a module
with routed experts sets `self.dispatch = {"choice", "gate", "rows", "row_gate"}` in its forward.
"""
import contextlib
import copy
import warnings

import torch
from torch import nn

import book as books
from hugging_face import Unrecognised, graph_of, looks_like_a_decoder
from parallel import whole_run

SCHEMA_VERSION = books.SCHEMA_VERSION
# Residuals and logits decide which experts are chosen, so they keep all their bits; updates are small
# beside their weights, so they do too.
# What the execution of a whole network reads (assay replay --measure, --predict), and no activation.
WHOLE_NETWORK = {"weight", "norm_weight", "router_bias", "tokens", "targets", "router_choice", "router_logits",
                 "update"}
EXACT_ROLES = {"residual", "router_logits", "router_gate", "row_gate", "router_bias", "update"}


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
    """`mapping`: names of a Hugging Face style decoder (hugging_face.py), a dict or a JSON file; `parallel`:
    what this rank holds of a sharded run (parallel.py); `shard_bytes`: about the largest size of a file."""

    def __init__(self, model, router=is_router, activation_dtype=torch.bfloat16,
                 weight_dtype=torch.bfloat16, exact_residuals=lambda name: True, graph=None, mapping=None,
                 optimizer=None, parallel=None, shard_bytes=1 << 30):
        self.model, self.router, self.graph, self.mapping = model, router, graph, mapping
        self.activation_dtype, self.weight_dtype = activation_dtype, weight_dtype
        self.exact_residuals, self.shard_bytes = exact_residuals, shard_bytes
        self.parallel = parallel or whole_run()
        self.modules = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) or is_norm(m)}
        self.owners = dict(model.named_modules())
        self.background = books.Background()
        self.recording = False
        self._forget()
        if optimizer is not None:
            optimizer.register_step_pre_hook(lambda *_: self._before_step())
            optimizer.register_step_post_hook(lambda *_: self._after_step())

    def _forget(self):
        self.calls = {}     # module name -> role -> one matrix per microbatch
        self.dispatch = {}  # module name -> list of dispatch dictionaries, one per microbatch
        self.weights = {}   # parameter name -> values that the recorded forward used
        self.updates = {}   # parameter name -> what the optimizer's step added
        self.handles = []

    def __enter__(self):
        self.recording = True
        for name, module in self.modules.items():
            self.handles.append(module.register_forward_hook(self._hook(name)))
        for name, module in self.model.named_modules():
            if hasattr(module, "dispatch"):
                self.handles.append(module.register_forward_hook(self._dispatch_hook(name)))
        return self

    def __exit__(self, *_):
        self.recording = False
        for handle in self.handles:
            handle.remove()
        self.handles = []

    @contextlib.contextmanager
    def at(self, step, chosen, folder, **about):
        """One training step; recorded to `folder` where `chosen`. `about`: as of write()."""
        if not chosen:
            yield self
            return
        self._forget()
        try:
            with self:
                yield self
        except BaseException:
            self._forget()
            raise
        self.write(folder, training_step=step, wait=False, **about)
        self._forget()

    def wait(self):
        """Until the last recording is on the disk; raises what its thread met."""
        self.background.wait()

    def _parameters(self):
        """Copies; a tied weight has a name of each of its modules."""
        return {n: p.detach().cpu().clone() for n, p in self.model.named_parameters(remove_duplicate=False)}

    def _before_step(self):
        if self.recording:
            self.weights = self._parameters()

    def _after_step(self):
        if self.recording:
            self.updates = {n: p.float() - self.weights[n].float() for n, p in self._parameters().items()}

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

    def _ops(self):
        if self.graph is not None:
            return copy.deepcopy(self.graph() if callable(self.graph) else self.graph)
        if hasattr(self.model, "graph"):
            return self.model.graph()
        if self.mapping is not None:
            return graph_of(self.model, self.mapping)
        if looks_like_a_decoder(self.model):
            try:
                return graph_of(self.model)
            except Unrecognised as e:
                warnings.warn(f"the recording has no graph: {e}")
        return [{"id": self.parallel.name(name),
                 "kind": "linear" if isinstance(self.modules[name], nn.Linear) else "rmsnorm",
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
              tokens=None, targets=None, keep=None, wait=True):
        """Writes the files and then recording.json (of a sharded run: this rank's part); `keep`: only
        these roles. Without `wait` a thread does it, from what is known now."""
        ops = self._ops()
        owned = {self.parallel.name(n): m for n, m in self.owners.items()}
        # Copies, unless the optimizer's hook made them: the next step changes the parameters in place.
        values = self.weights or self._parameters()
        job = _Job(self, ops, owned, {self.parallel.name(n): v for n, v in values.items()},
                   {self.parallel.name(n): v for n, v in self.updates.items()},
                   {self.parallel.name(n): c for n, c in self.calls.items()},
                   {self.parallel.name(n): d for n, d in self.dispatch.items()})
        head = {"name": name, "training_step": training_step, "token_sampling": token_sampling,
                "provenance": {"text": text, "licence": licence,
                               "facts": {k: str(v) for k, v in facts.items()}}}
        tokens, targets = (None if t is None else t.detach().cpu().clone() for t in (tokens, targets))
        run = lambda: job.run(folder, head, tokens, targets, keep)
        if wait:
            self.background.wait()
            run()
        else:
            self.background.start(run)


class _Job:
    """Everything of one recording, apart from the model, which may go on training meanwhile."""

    def __init__(self, recorder, ops, modules, weights, updates, calls, dispatch):
        self.graph, self.ops = ops, {op["id"]: op for op in ops}
        self.modules, self.weights, self.updates = modules, weights, updates
        self.calls, self.dispatch = calls, dispatch
        self.parallel, self.shard_bytes = recorder.parallel, recorder.shard_bytes
        self.book = books.Book(recorder._cast, self.parallel.part())

    def run(self, folder, head, tokens, targets, keep):
        for op in self.graph:
            module, call = self.modules.get(op["id"]), self.calls.get(op["id"], {})
            weight = self._weight(op)
            if weight is not None:
                self._weight_tensors(op, *weight)
            if isinstance(module, nn.Linear):
                self._linear(op, call)
            elif module is not None and op["kind"] == "rmsnorm":
                for role in ("residual", "output"):
                    if role in call:
                        self.book.put(op, role, call[role])
            if op["kind"] == "embedding" and tokens is not None:
                self.book.put(op, "tokens", [tokens])
            if op["kind"] == "loss" and targets is not None:
                self.book.put(op, "targets", [targets])
        for module_name, steps in self.dispatch.items():
            self._dispatch_tensors(module_name, steps)
        self._outputs_of_plain_ops()
        if keep is not None:
            self.book.keep(self.graph, keep)
        for op in self.graph:
            op.pop("parameter", None)
        books.write(folder, self.book, head, self.graph, self.shard_bytes)

    def _weight(self, op):
        """Values and update: of the module that is the op, or of a slice of a stacked parameter."""
        name, pick = op["id"] + ".weight", lambda t: t
        if "parameter" in op:  # {"name", "index", "rows": [begin, end]}
            p = op["parameter"]
            name = p["name"]
            pick = lambda t: (t[p["index"]] if "index" in p else t)[slice(*p.get("rows", (None, None)))]
        if name not in self.weights:
            return None
        update = self.updates.get(name)
        return pick(self.weights[name]), None if update is None else pick(update)

    def _weight_tensors(self, op, weight, update):
        role = "norm_weight" if op["kind"] == "rmsnorm" else "weight"
        place = self.parallel.place(op["id"], "weight", weight)
        self.book.put(op, role, [weight], "weights", place)
        if update is not None:
            self.book.put(op, "update", [update], "weights", place)

    def _linear(self, op, call):
        output = "router_logits" if op["class"] == "router" else "output"
        for role, pieces in ((output, call.get("output")), ("output_grad", call.get("output_grad")),
                             ("input", call.get("input"))):
            if not pieces:
                continue
            if self.parallel.partial(op["id"]) and role != "input":
                continue  # a sum over ranks that this rank has only a term of
            place = self.parallel.place(op["id"], role, torch.cat(pieces))
            self.book.put(op, role, pieces if place is None else [torch.cat(pieces)], place=place)

    def _dispatch_tensors(self, module_name, steps):
        """Choices and gates of a routed module, and for each expert the rows that it was given."""
        prefix = module_name + "." if module_name else ""
        first_row = [0]
        for s in steps:
            first_row.append(first_row[-1] + s["choice"].shape[0])
        for op in [op for op in self.graph if op["id"].startswith(prefix)]:
            e = op.get("expert", -1)
            if op["kind"] == "top_k":
                self.book.put(op, "router_choice", [s["choice"].cpu() for s in steps])
                self.book.put(op, "router_gate", [s["gate"].detach().cpu() for s in steps])
                bias = steps[0].get("selection_bias")
                if bias is not None:
                    self.book.put(op, "router_bias", [bias.detach().cpu()], "weights")
            elif e >= 0 and op["kind"] == "linear":
                owner = dict(op, id=op["id"].rsplit(".", 1)[0])
                rows = [s["rows"][e].cpu() + r for s, r in zip(steps, first_row)]
                source = self.ops.get(op["inputs"][0], {})
                if "output" in source.get("tensors", {}):  # read through `rows`: no copy of the operand
                    self.book.drop(op, "input")
                    op["tensors"]["input"] = source["tensors"]["output"]
                    op["tensors"]["rows"] = self.book.put(owner, "rows", rows)
                else:  # the op that leaves the expert: where its rows go back to, and how much of them
                    op["tensors"]["rows"] = self.book.put(owner, "rows", rows)
                    op["tensors"]["row_gate"] = self.book.put(
                        owner, "row_gate", [s["row_gate"][e].detach().cpu() for s in steps])

    def _outputs_of_plain_ops(self):
        """An op that is no module has no hook: its output is the operand of the linear that reads it."""
        for op in self.graph:
            if op["kind"] == "linear" and "input" in op["tensors"]:
                for source in (self.ops[i] for i in op["inputs"] if i in self.ops):
                    if source["kind"] in ("attention", "swiglu"):
                        source["tensors"]["output"] = op["tensors"]["input"]
