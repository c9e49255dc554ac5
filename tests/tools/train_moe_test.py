# SPDX-License-Identifier: Apache-2.0
"""Whole-network replay and its quantizers, held against PyTorch in double and float32. Needs PyTorch (CPU)."""
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

try:
    import torch
except ImportError:
    print("skipped: this Python has no PyTorch; name one that has with ASSAY_PYTHON")
    sys.exit(77)
from torch import nn
from torch.nn import functional as F

for part in ("record", "train_moe"):
    sys.path.insert(0, os.path.join(os.environ["ASSAY_SOURCE"], "tools", part))
import dataclasses  # noqa: E402

import train  # noqa: E402
from model import MoeLanguageModel, RMSNorm  # noqa: E402
from quantizers import codes_and_scales, described, fake_quantize, spread  # noqa: E402
from recipes import apply_recipe, class_of, kept_layers, layer_of, load_recipe  # noqa: E402
from recorder import Recorder  # noqa: E402

RECIPES = ("nvfp4-w4a4", "mxfp4-floor", "mxfp4-rceil", "fp8-deepseek-v3", "nvfp4-pretraining", "fp8-ptq", "mxfp4-w4a4",
           "w4a16", "fp4-rtn")


def probe(*arguments):
    r = subprocess.run([os.environ["ASSAY_NETWORK_PROBE"], *map(str, arguments)], capture_output=True, timeout=300)
    if r.returncode:
        raise AssertionError(r.stderr.decode())
    return torch.frombuffer(bytearray(r.stdout), dtype=torch.float64)


def dequantized(x, operand):
    """PyTorch's codes times its scale factors, exactly: products of 4, 24 and 24 bits are formed in double."""
    q, scale, tensor_scale = codes_and_scales(x, operand)
    return (q.double() * spread(scale.double() * tensor_scale.double(), described(operand)["block"], x.shape)).flatten()


class TrainMoe(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="assay-moe-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def record(self, preset):
        torch.manual_seed(5)
        config = dataclasses.replace(train.PRESETS[preset], layers=2, vocabulary=64)
        model = MoeLanguageModel(config)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if p.dim() == 2:
                    p.mul_(4)  # so that routers and softmaxes are far from uniform
                p.copy_(p.bfloat16().float())
            for layer in model.layers:
                if config.selection_bias:
                    layer.selection_bias.copy_(0.02 * torch.randn(config.experts))
        model.eval()
        model.set_dense(False)
        ids = torch.randint(0, 64, (3, 17), generator=torch.Generator().manual_seed(1))
        recorder = Recorder(model)
        with recorder:
            F.cross_entropy(model(ids[:, :-1])[0].flatten(0, 1), ids[:, 1:].flatten())
        recorder.write(self.folder, name=preset, training_step=1, token_sampling="random", text="random ids",
                       licence="Apache-2.0", facts={}, tokens=ids[:, :-1], targets=ids[:, 1:], keep=train.KEPT)
        return model, ids[:, :-1]

    def test_every_linear_and_norm_is_pytorchs_in_double(self):
        """To 1e-12 of the tensor's largest magnitude, op by op, for each router type."""
        for preset in train.PRESETS:
            model, tokens = self.record(preset)
            model = model.double()
            values, handles = {}, []
            for name, module in model.named_modules():
                if isinstance(module, (nn.Linear, RMSNorm)):
                    handles.append(module.register_forward_hook(
                        lambda m, i, o, name=name: values.__setitem__(name, o.detach().flatten())))
            model(tokens)
            checked = 0
            for name, want in values.items():
                if want.numel() == 0:
                    continue
                got = probe(self.folder, name)
                self.assertEqual(got.numel(), want.numel(), (preset, name))
                error = (got - want).abs().max().item()
                self.assertLessEqual(error, 1e-12 * want.abs().max().item(), (preset, name))
                checked += 1
            self.assertGreater(checked, 30, preset)

    def test_quantized_weights_are_pytorchs_bit_for_bit(self):
        model, _ = self.record("sigmoid")
        checked = 0
        for recipe in RECIPES:
            classes = {c["class"]: c for c in load_recipe(recipe)["classes"]}
            kept = kept_layers(load_recipe(recipe), 2)
            for name, module in model.named_modules():
                if layer_of(name) in kept:
                    continue
                operand = classes.get(class_of(name), {}).get("weight")
                if not isinstance(module, nn.Linear) or operand is None or "experts.1" in name:
                    continue
                want = dequantized(module.weight.detach(), operand)
                self.assertTrue(torch.equal(probe(self.folder, name, recipe), want), (recipe, name))
                checked += 1
        self.assertGreater(checked, 90)

    def test_learned_scales_begin_where_replay_puts_them(self):
        """The scale of least squared error, from sums in double in another order."""
        model, _ = self.record("sigmoid")
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear) and class_of(name) in ("attention", "expert") and "experts.1" not in name:
                operand = next(c for c in load_recipe("article")["classes"] if c["class"] == class_of(name))["weight"]
                want, got = dequantized(module.weight.detach(), operand), probe(self.folder, name, "article")
                self.assertLessEqual((got - want).abs().max().item(), 1e-6 * want.abs().max().item(), name)

    def test_hadamard_transform_is_replays(self):
        model, _ = self.record("softmax")
        operand = {"format": "mxfp4-rceil", "hadamard": 16, "signs": "random"}
        down = {"format": "nvfp4-paper", "block": [16, 1], "hadamard": 16, "signs": "random"}
        for operand in (operand, down):
            recipe = load_recipe("mxfp4-rceil")
            recipe["classes"] = [{"class": "attention", "weight": operand}]
            path = self.folder / "turned.json"
            path.write_text(json.dumps(recipe))
            want = probe(self.folder, "layers.0.q", path)
            got = fake_quantize(model.layers[0].q.weight.detach(), operand).double().flatten()
            # Sums of 16 in float and in double; a sum next to a tie may take the other code of E2M1.
            far = (got - want).abs() > 1e-5 * want.abs().max()
            self.assertLess(far.float().mean().item(), 0.01, operand)

    def test_a_recipe_reaches_the_training(self):
        model, tokens = self.record("softmax")
        plain = model(tokens)[0]
        apply_recipe(model, load_recipe("nvfp4-w4a4"), 0)
        self.assertFalse(torch.equal(model(tokens)[0], plain))
        apply_recipe(model, {"classes": []}, 0)
        self.assertTrue(torch.equal(model(tokens)[0], plain))

    def test_a_training_run_quantizes_experts_and_learns_scales(self):
        """Two steps each: what only experts' weights, only gradients, or only masters' rounding changes shows."""
        model, _ = self.record("softmax")
        torch.save({"model": model.state_dict(), "step": 0}, self.folder / "start.pt")

        def run(recipe):
            path = self.folder / "r.json"
            path.write_text(json.dumps({"name": "r", "classes": [], **recipe}))
            with unittest.mock.patch.object(sys, "argv", ["train.py", "--preset", "softmax", "--resume", str(
                    self.folder / "start.pt"), "--recipe", str(path), "--steps", "3", "--batch", "2", "--length", "16",
                    "--text", os.path.join(os.environ["ASSAY_SOURCE"], "tools"), "--truth", str(self.folder / "t.json")]), \
                    unittest.mock.patch.dict(train.PRESETS, softmax=model.config), \
                    contextlib.redirect_stdout(io.StringIO()):
                train.main()
            return json.loads((self.folder / "t.json").read_text())

        with torch.no_grad():  # 256 bytes
            model = MoeLanguageModel(dataclasses.replace(model.config, vocabulary=256))
        torch.save({"model": model.state_dict(), "step": 0}, self.folder / "start.pt")
        clean = run({})
        expert = run({"classes": [{"class": "expert", "weight": "mxfp4-floor"}]})
        self.assertNotEqual(expert["last_training_losses"][0], clean["last_training_losses"][0])
        gradient = run({"classes": [{"class": "expert", "gradient": "mxfp4-floor"}]})
        self.assertEqual(gradient["last_training_losses"][0], clean["last_training_losses"][0])
        self.assertNotEqual(gradient["last_training_losses"][2], clean["last_training_losses"][2])
        masters = run({"master": "bf16"})
        self.assertEqual(masters["last_training_losses"][0], clean["last_training_losses"][0])
        self.assertNotEqual(masters["last_training_losses"][2], clean["last_training_losses"][2])
        self.assertGreater(masters["lost_updates"], 0)
        scaled = run({"loss_scaling": {"kind": "dynamic", "initial": 1024, "growth_interval": 2}})
        self.assertEqual(scaled["last_training_losses"], clean["last_training_losses"])  # a power of two


if __name__ == "__main__":
    unittest.main()
