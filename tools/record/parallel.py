# SPDX-License-Identifier: Apache-2.0
"""What one rank of a sharded run holds: every rank writes its own part, and reading merges them.

    parallel = Parallel(rank=3, ranks=8, run="2026-11-29 a", cut={
        r"q_proj|k_proj|v_proj|gate_proj|up_proj": ("column", tp_rank, tp_size),
        r"o_proj|down_proj": ("row", tp_rank, tp_size)}, rename=lambda name: ..., stage=0)
    Recorder(model, parallel=parallel)

column: the weight is cut along its outputs, and so are output and its gradient; the input is whole on every
rank. row: the weight is cut along its inputs, and so is the input; the output is whole, because the module adds
the ranks up. row_partial: the same, where the module gives one rank's term: output and gradient are left out.
Modules that no pattern names are whole on every rank that has them: replicas, which the reader compares.
"""
import re


class Parallel:
    """`rename`: from a module's name on this rank to its name in the whole network (experts and layers count
    from 0 on every rank); `stage`: of the pipeline; `run`: one text for all ranks of one run."""

    def __init__(self, rank=0, ranks=1, run="", cut=None, rename=None, stage=0):
        if ranks > 1 and not run:
            raise ValueError("ranks that write parts of one recording share a name: give run=...")
        self.rank, self.ranks, self.run, self.stage = rank, ranks, run, stage
        self.cut, self.rename = cut or {}, rename or (lambda name: name)

    def name(self, local):
        return self.rename(local)

    def part(self):
        return {"rank": self.rank, "ranks": self.ranks, "stage": self.stage, "run": self.run}

    def _cut(self, name):
        for pattern, cut in self.cut.items():
            if re.search(pattern, name):
                return cut
        return None

    def partial(self, name):
        cut = self._cut(name)
        return cut is not None and cut[0] == "row_partial"

    def place(self, name, role, tensor):
        """(offset, shape of the whole) of this rank's piece; None where it has all of it."""
        cut = self._cut(name)
        if cut is None:
            return None
        kind, index, count = cut
        if kind not in ("column", "row", "row_partial"):
            raise ValueError(f"a cut of {name} is column, row or row_partial, not {kind}")
        if kind == "column":
            axis = {"weight": 0, "output": 1, "output_grad": 1, "router_logits": 1}.get(role)
        else:
            axis = {"weight": 1, "input": 1}.get(role)
        if axis is None or count == 1:
            return None
        shape, offset = list(tensor.shape), [0] * tensor.dim()
        offset[axis] = index * shape[axis]
        shape[axis] *= count
        return offset, shape


def whole_run():
    return Parallel()
