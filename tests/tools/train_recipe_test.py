# SPDX-License-Identifier: Apache-2.0
"""The parts of training under a recipe, each from its definition. Needs PyTorch (CPU)."""
import fractions
import os
import sys
import unittest
import unittest.mock

try:
    import torch
except ImportError:
    print("skipped: this Python has no PyTorch; name one that has with ASSAY_PYTHON")
    sys.exit(77)
from torch import nn

sys.path.insert(0, os.path.join(os.environ["ASSAY_SOURCE"], "tools", "train_moe"))
import estimators  # noqa: E402
import quantizers  # noqa: E402
from precision import Precision  # noqa: E402
from quantizers import E2M1, blocks, fake_quantize, fixed_signs, least_squares_scales, rotation, round_element  # noqa: E402
from recipe_linear import Operands, RecipeLinear, RecipeProduct  # noqa: E402

Q = fractions.Fraction


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def nearest(u):
    """E2M1 by search: the code of least distance, of two the one with an even index."""
    magnitudes = [Q(v.item()) for v in E2M1]
    best = min(range(8), key=lambda i: (abs(magnitudes[i] - min(abs(u), 6)), i % 2))
    return magnitudes[best] if u >= 0 else -magnitudes[best]


def estimate(kind, parameter, w, s, g):
    """(dW, dv/ds before LSQ's gain) by golden/estimator.h, in rationals."""
    u = w / s
    q = nearest(u)
    closed, opened = abs(w) <= 6 * s, abs(w) < 6 * s
    outside = 6 if u > 0 else -6
    if kind == "clip_mask":
        return (g if closed else 0), None
    if kind == "lsq":
        return (g if closed else 0), (q - u if closed else outside)
    if kind == "pact":
        return (g if opened else 0), (0 if opened else outside)
    if kind == "ewgs":
        return (g * (1 + parameter * (1 if g * s > 0 else -1) * (u - q)) if closed else 0), None
    if kind == "trust_mask":
        return (g if abs(w - q * s) <= parameter * s else 0), None
    low = max(v for v in (Q(e.item()) for e in E2M1) if v <= abs(u)) if abs(u) < 6 else Q(4)
    width = Q(1, 2) if low < 2 else Q(1) if low < 4 else Q(2)
    z = abs(2 * (abs(u) - low) / width - 1)
    return (float(g) * min(3.0, float(z) ** -0.8 / 5 if z else 3.0) if closed else 0), None


class Estimators(unittest.TestCase):
    def test_are_those_of_the_definition(self):
        w = (randn(4, 32) * 4).clamp(-9, 9)
        scale = torch.tensor([[1.0], [0.5], [1.5], [1.25]])
        w[0, :4] = torch.tensor([6.0, -6.0, 6.5, 0.0])  # the boundary, beyond, zero
        g = randn(4, 32, seed=1)
        for kind, parameter in (("clip_mask", 0), ("lsq", 0), ("pact", 0), ("ewgs", 0.25), ("dge", 0), ("trust_mask", 0.75)):
            ste = {"kind": kind, "parameter": parameter}
            dw, dscale = estimators.gradients(w, "article", g, ste, scale)
            for r in range(4):
                total = 0
                for c in range(32):
                    want, dv = estimate(kind, Q(parameter), *(Q(t.item()) for t in (w[r, c], scale[r, 0], g[r, c])))
                    self.assertAlmostEqual(dw[r, c].item(), float(want), delta=2e-6 * max(1, abs(float(want))), msg=(kind, r, c))
                    total += Q(g[r, c].item()) * dv if dv is not None else 0
                if kind in ("lsq", "pact"):
                    gain = (32 * 6) ** -0.5 if kind == "lsq" else 1
                    self.assertAlmostEqual(dscale[r, 0].item(), float(total) * gain, delta=1e-4, msg=(kind, r))
                else:
                    self.assertIsNone(dscale)

    def test_gain_of_a_partial_block_counts_what_is_there(self):
        w, g = torch.full((1, 40), 9.0), torch.ones(1, 40)
        _, dscale = estimators.gradients(w, "article", g, "lsq", torch.ones(1, 2))
        self.assertAlmostEqual(dscale[0, 0].item(), 32 * 6 / (32 * 6) ** 0.5, places=4)
        self.assertAlmostEqual(dscale[0, 1].item(), 8 * 6 / (8 * 6) ** 0.5, places=4)


class Quantizers(unittest.TestCase):
    def test_stochastic_rounding_over_all_words(self):
        """Of 2^n words exactly floor(f 2^n) go up; codes stay, and what saturates saturates."""
        bits = 4
        for element, u in (("e2m1", [0.1, 0.3, 1.3, 2.0, 2.9, 5.99, 6.0, 7.0, -3.3, 0.0]), ("e4m3", [0.001, 17.3, 449.0, -0.3])):
            u = torch.tensor(u)
            step = quantizers.spacing(u.abs().clamp(max=quantizers.LARGEST[element]), element)
            low = (u.abs().clamp(max=quantizers.LARGEST[element]) / step).floor() * step
            share = ((u.abs().clamp(max=quantizers.LARGEST[element]) - low) / step * 2 ** bits).floor()
            ups = torch.zeros_like(u)
            for word in range(2 ** bits):
                with unittest.mock.patch("torch.randint", lambda lo, hi, shape, device, word=word: torch.full(shape, word)):
                    r = round_element(u, element, bits)
                self.assertTrue(((r.abs() == low) | (r.abs() == low + step)).all(), (element, r))
                self.assertTrue(((r.sign() == u.sign()) | (r == 0)).all())
                ups += r.abs() > low
            self.assertTrue(torch.equal(ups, share), (element, ups, share))

    def test_no_scale_has_less_error(self):
        x = randn(3, 70)
        scale = least_squares_scales(x, (1, 32))
        of = lambda s: blocks((fake_quantize(x, "article", s) - x).double() ** 2, (1, 32)).sum((2, 3))
        best = of(scale)
        for ratio in torch.linspace(0.3, 2.5, 441):
            self.assertTrue((of(scale * ratio) >= best * (1 - 1e-5)).all(), ratio)
        self.assertTrue((least_squares_scales(torch.zeros(1, 32), (1, 32)) == 1).all())

    def test_transform_is_orthonormal_and_undone(self):
        h = rotation(16, "random")
        self.assertLess((h @ h.t() - torch.eye(16)).abs().max().item(), 1e-12)
        self.assertEqual(set(fixed_signs(16).tolist()), {1.0, -1.0})
        x = randn(40, 20)
        operand = {"format": "nvfp4-paper", "block": (16, 1), "hadamard": 16, "signs": "random"}
        again = quantizers.turned(quantizers.turned(x, operand, False), operand, True)
        self.assertLess((again - x).abs().max().item(), 1e-6)
        self.assertTrue(torch.equal(again[32:], x[32:]))  # the rest


class Products(unittest.TestCase):
    def test_each_product_reads_its_operands(self):
        x, w, dy = randn(48, 32), randn(24, 32, seed=1), randn(48, 24, seed=2)
        o = Operands(weight="nvfp4", activation="mxfp4-rceil", gradient="fp8-deepseek-v3", wgrad_input="mxfp4-floor",
                     wgrad_gradient={"format": "nvfp4", "block": (16, 1)})

        def backward(operands):
            a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
            y = RecipeProduct.apply(a, b, None, operands)
            y.backward(dy)
            return y, a.grad, b.grad

        y, dx, dw = backward(o)
        self.assertTrue(torch.equal(y, fake_quantize(x, o.activation) @ fake_quantize(w, o.weight).t()))
        self.assertTrue(torch.equal(dx, fake_quantize(dy, o.gradient) @ fake_quantize(w, o.weight)))
        self.assertTrue(torch.equal(dw, fake_quantize(dy, o.wgrad_gradient).t() @ fake_quantize(x, o.wgrad_input)))
        _, _, dw = backward(Operands(activation="mxfp4-rceil", gradient="nvfp4"))
        self.assertTrue(torch.equal(dw, fake_quantize(dy, "nvfp4").t() @ fake_quantize(x, "mxfp4-rceil")))

    def test_learned_scales_move_and_an_expert_without_tokens_has_no_gradient(self):
        linear = nn.Linear(32, 8, bias=False)
        linear.__class__ = RecipeLinear
        linear.set_operands(Operands(weight={"format": "article", "scales": "least_squares"}, ste="lsq"))
        linear(randn(5, 32)).sum().backward()
        self.assertGreater(linear.log_scale.grad.abs().max().item(), 0)
        linear.zero_grad()
        linear(randn(0, 32)).sum().backward()
        self.assertEqual(linear.log_scale.grad.abs().max().item(), 0)
        self.assertEqual(linear.weight.grad.abs().max().item(), 0)


class Masters(unittest.TestCase):
    def test_are_bf16_and_count_what_is_lost(self):
        model = nn.Linear(64, 64, bias=False)
        with torch.no_grad():
            model.weight.copy_(model.weight.bfloat16())
        precision = Precision(model, {"master": "bf16", "moments": "bf16"}, 1e-6)
        precision.step(model(randn(4, 64)).square().sum(), 1e-6)  # far below half a place of most weights
        self.assertTrue(torch.equal(model.weight, model.weight.bfloat16().float()))
        self.assertGreater(precision.lost_updates, 0.9)
        for state in precision.optimizer.state.values():
            self.assertTrue(torch.equal(state["exp_avg_sq"], state["exp_avg_sq"].bfloat16().float()))

    def test_a_loss_that_overflows_skips_the_step_and_halves_the_scale(self):
        model = nn.Linear(4, 1, bias=False)
        precision = Precision(model, {"loss_scaling": {"kind": "dynamic", "initial": 65536, "growth_interval": 1}}, 1e-3)
        before = model.weight.detach().clone()
        precision.step(model(torch.full((1, 4), 1e38)).sum() * 1e38, 1e-3)
        self.assertTrue(torch.equal(model.weight, before))
        self.assertEqual((precision.skipped, precision.scale), (1, 32768))
        precision.step(model(torch.ones(1, 4)).sum(), 1e-3)
        self.assertFalse(torch.equal(model.weight, before))
        self.assertEqual(precision.scale, 65536)


if __name__ == "__main__":
    unittest.main()
