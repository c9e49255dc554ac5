# SPDX-License-Identifier: Apache-2.0
"""The recorder, held against the model it records and against the C++ reader. Needs PyTorch (a CPU is enough)."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
except ImportError:
    print("skipped: this Python has no PyTorch; name one that has with ASSAY_PYTHON")
    sys.exit(77)
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.environ["ASSAY_SOURCE"], "tools", "record"))
import safetensors_io  # noqa: E402
from model import Config, MoeLanguageModel  # noqa: E402
from recorder import Recorder  # noqa: E402

TINY = Config(layers=2, width=32, heads=2, experts=4, expert_width=16, top_k=2, vocabulary=32)
ABOUT = {"name": "tiny", "training_step": 3, "token_sampling": "random", "text": "random ids",
         "licence": "Apache-2.0", "facts": {"seed": 1}}


def moe():
    torch.manual_seed(1)
    model = MoeLanguageModel(TINY)
    return model.bfloat16().float()  # weights that bf16 holds, so that the recorded ones are the used ones


def batch(sequences=2, length=8):
    ids = torch.randint(0, TINY.vocabulary, (sequences, length + 1), generator=torch.Generator().manual_seed(2))
    return ids[:, :-1], ids[:, 1:]


def loss_of(model, tokens, targets):
    logits, balance = model(tokens)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) + 0.01 * balance


class DensePathTest(unittest.TestCase):
    def test_training_and_recording_compute_the_same_function(self):
        model = moe()
        tokens, targets = batch()
        results = []
        for dense in (True, False):
            model.set_dense(dense)
            model.zero_grad()
            loss = loss_of(model, tokens, targets)
            loss.backward()
            results.append((loss.detach(), {n: p.grad for n, p in model.named_parameters()}))
        (loss_a, grads_a), (loss_b, grads_b) = results
        # Both sum fewer than 2^9 products in float32, in different orders: 2^-15 of their magnitudes, and
        # 2^-12 leaves room for cancellation. A wrong expert, gate or row changes a gradient by its own size.
        torch.testing.assert_close(loss_a, loss_b, rtol=2.0 ** -15, atol=0)
        for name, a in grads_a.items():
            self.assertGreater(a.norm().item(), 0, name)
            self.assertLessEqual((a - grads_b[name]).norm().item(), 2.0 ** -12 * a.norm().item(), name)


class RecordingTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="assay-record-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_program(self, variable, *arguments):
        result = subprocess.run([os.environ[variable], *map(str, arguments)], capture_output=True,
                                stdin=subprocess.DEVNULL, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout

    def listed(self):
        """What the C++ reader says: name -> (role, dtype, shape)."""
        lines = self.run_program("ASSAY_PROBE", self.folder).decode().splitlines()
        fields = [line.split(" ") for line in lines]
        return {f[0]: (f[1], f[2], [int(x) for x in f[3].split("x")] if f[3] else []) for f in fields}

    def read(self, name):
        raw = self.run_program("ASSAY_PROBE", self.folder, name)
        shape = self.listed()[name][2]
        return torch.frombuffer(bytearray(raw), dtype=torch.float32).view(shape) if raw else torch.empty(shape)

    def replayed(self, recipe):
        out = self.folder / "report.json"
        self.run_program("ASSAY_BINARY", "replay", self.folder, "--recipe", recipe, "--json", out)
        return json.loads(out.read_text())

    def record_moe(self, batches=1):
        model = moe()
        model.set_dense(False)
        recorder = Recorder(model)
        tokens, targets = batch(2 * batches)
        with recorder:
            for ids, wanted in zip(tokens.split(2), targets.split(2)):
                loss_of(model, ids, wanted).backward()
        recorder.write(self.folder, **ABOUT, tokens=tokens, targets=targets)
        return model, tokens

    def test_the_reader_sees_every_tensor_bit_for_bit(self):
        model, tokens = self.record_moe()
        listed = self.listed()
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                self.assertEqual(listed[name + ".weight"], ("weight", "BF16", list(module.weight.shape)))
                self.assertTrue(torch.equal(self.read(name + ".weight"), module.weight.detach()), name)
        self.assertTrue(torch.equal(self.read("embed.tokens"), tokens.float()))
        for layer, module in enumerate(model.layers):
            name = f"layers.{layer}.router"
            logits = self.read(name + ".router_logits")
            self.assertEqual(listed[name + ".router_logits"][1], "F32")
            choice = self.read(f"layers.{layer}.top_k.router_choice").long()
            self.assertTrue(torch.equal(choice, module.dispatch["choice"]))
            self.assertTrue(torch.equal(choice, logits.softmax(-1).topk(TINY.top_k, dim=-1).indices))
            rows = [self.read(f"layers.{layer}.experts.{e}.rows").long() for e in range(TINY.experts)]
            for e in range(TINY.experts):
                self.assertTrue(torch.equal(rows[e], (choice == e).any(1).nonzero()[:, 0]))

    def test_an_expert_is_its_weight_times_the_rows_it_was_given(self):
        self.record_moe()
        checked = 0
        for e in range(TINY.experts):
            rows = self.read(f"layers.0.experts.{e}.rows").long()
            x = self.read("layers.0.moe_norm.output").double()[rows]
            w = self.read(f"layers.0.experts.{e}.w_up.weight").double()
            y = self.read(f"layers.0.experts.{e}.w_up.output").double()
            # x and y are bf16 roundings of what was computed: 2^-8 of each product and of the sum.
            bound = 2.0 ** -8 * (x.abs() @ w.abs().T + y.abs()) + 1e-6
            self.assertTrue(((x @ w.T - y).abs() <= bound).all(), e)
            checked += y.numel()
        self.assertEqual(checked, 2 * 8 * TINY.top_k * TINY.expert_width)

    def test_the_recording_replays_with_its_routers(self):
        self.record_moe()
        text = json.dumps(self.replayed("nvfp4"))
        for layer in range(TINY.layers):
            self.assertIn(f"layers.{layer}.router", text)
            self.assertIn(f"layers.{layer}.experts.0.w_up", text)

    def test_microbatches_are_joined_in_order(self):
        _, tokens = self.record_moe(batches=1)
        one = {name: self.read(name) for name in ("head.weight", "layers.0.q.output")}
        self.record_moe(batches=2)
        self.assertEqual(self.listed()["layers.0.q.output"][2], [4 * 8, TINY.width])
        model = moe()
        hidden = model.layers[0].attn_norm(model.embed(batch(4)[0])).flatten(0, 1)
        want = model.layers[0].q(hidden).detach().bfloat16().float()
        torch.testing.assert_close(self.read("layers.0.q.output"), want, rtol=2.0 ** -7, atol=1e-6)
        self.assertTrue(torch.equal(self.read("head.weight"), one["head.weight"]))
        rows = torch.cat([self.read(f"layers.1.experts.{e}.rows") for e in range(TINY.experts)])
        self.assertEqual(int(rows.max()), 4 * 8 - 1)
        self.assertEqual(len(rows), 4 * 8 * TINY.top_k)

    def test_a_plain_model_without_a_graph(self):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 16)).bfloat16().float()
        recorder = Recorder(model, activation_dtype=torch.float32)
        x = torch.randn(2, 5, 32)
        with recorder:
            y = model(x)
            y.square().sum().backward()
        recorder.write(self.folder, **ABOUT)
        self.assertEqual({name: entry[2] for name, entry in self.listed().items()},
                         {"0.weight": [64, 32], "0.input": [10, 32], "0.output": [10, 64],
                          "0.output_grad": [10, 64], "2.weight": [16, 64], "2.input": [10, 64],
                          "2.output": [10, 16], "2.output_grad": [10, 16]})
        self.assertTrue(torch.equal(self.read("0.input"), x.view(-1, 32)))
        self.assertTrue(torch.equal(self.read("2.output"), y.detach().view(-1, 16)))
        self.assertTrue(torch.equal(self.read("2.output_grad"), 2 * y.detach().view(-1, 16)))
        self.assertIn("2.weight", json.dumps(self.replayed("nvfp4-w4a4")))  # it treats dense linears

    def test_the_hooks_are_gone_afterwards(self):
        model = nn.Sequential(nn.Linear(4, 4))
        recorder = Recorder(model)
        with recorder:
            model(torch.ones(1, 4))
        model(torch.ones(1, 4))
        self.assertEqual(len(recorder.calls["0"]["output"]), 1)

    def test_a_failed_write_leaves_what_was_there(self):
        path = self.folder / "t.safetensors"
        safetensors_io.save(path, {"t": torch.arange(4)})
        before = path.read_bytes()

        def chunks():
            yield b"half"
            raise OSError("no space left")
        with self.assertRaises(OSError):
            safetensors_io.write_atomically(path, chunks())
        self.assertEqual(path.read_bytes(), before)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["t.safetensors"])


if __name__ == "__main__":
    unittest.main()
