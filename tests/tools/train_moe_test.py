# SPDX-License-Identifier: Apache-2.0
"""Whole-network replay and its quantizers, held against PyTorch in double and float32. Needs PyTorch (CPU)."""
import os
import pathlib
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

for part in ("record", "train_moe"):
    sys.path.insert(0, os.path.join(os.environ["ASSAY_SOURCE"], "tools", part))
import dataclasses  # noqa: E402

import train  # noqa: E402
from model import MoeLanguageModel, RMSNorm  # noqa: E402
from quantizers import (apply_recipe, blocks, class_of, codes_and_scales, joined, kept_layers,  # noqa: E402
                        layer_of, load_recipe, FORMATS)
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
    name, block = (operand, None) if isinstance(operand, str) else (operand["format"], operand.get("block"))
    q, scale, tensor_scale = codes_and_scales(x, name, block)
    spread = blocks(q.double(), block or FORMATS[name][1]) * (scale.double() * tensor_scale.double())[:, :, None, None]
    return joined(spread, x.shape).flatten()


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

    def test_a_recipe_reaches_the_training(self):
        model, tokens = self.record("softmax")
        plain = model(tokens)[0]
        apply_recipe(model, load_recipe("nvfp4-w4a4"), 0)
        self.assertFalse(torch.equal(model(tokens)[0], plain))
        apply_recipe(model, {"classes": []}, 0)
        self.assertTrue(torch.equal(model(tokens)[0], plain))


if __name__ == "__main__":
    unittest.main()
