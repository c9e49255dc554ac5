# SPDX-License-Identifier: Apache-2.0
"""A linear that trains under a recipe: what each of its three products reads.

    Y  = Q(X) Q(W)'           activation, weight
    dX = Q(dY) Q(W)           gradient, and the weight of the forward pass
    dW = Q(dY)' Q(X)          wgrad_gradient and wgrad_input, else gradient and the activation of the forward pass

The gradient passes the activation's quantizer as if it were not there, and the weight's by the recipe's estimator.
Products are PyTorch's in float32.
"""
import dataclasses
import typing

import torch
from torch import nn

from estimators import gradients
from quantizers import described, fake_quantize, least_squares_scales

Operand = typing.Union[None, str, dict]


@dataclasses.dataclass(frozen=True)
class Operands:
    weight: Operand = None
    activation: Operand = None
    gradient: Operand = None
    wgrad_input: Operand = None
    wgrad_gradient: Operand = None
    ste: typing.Union[str, dict] = "identity"

    @property
    def exact(self):
        return not any(map(described, (self.weight, self.activation, self.gradient, self.wgrad_input,
                                       self.wgrad_gradient)))

    @property
    def learns_scales(self):
        weight = described(self.weight)
        return weight is not None and weight.get("scales") == "least_squares"


class RecipeProduct(torch.autograd.Function):
    """x [rows, in], w [out, in], scale: learned scale factors of w's blocks or None."""

    @staticmethod
    def forward(ctx, x, w, scale, operands):
        quantized_x, quantized_w = fake_quantize(x, operands.activation), fake_quantize(w, operands.weight, scale)
        ctx.save_for_backward(x if operands.wgrad_input is not None else quantized_x, w, quantized_w, scale)
        ctx.operands = operands
        return quantized_x @ quantized_w.t()

    @staticmethod
    def backward(ctx, dy):
        x, w, quantized_w, scale = ctx.saved_tensors
        o = ctx.operands
        if dy.shape[0] == 0:  # an expert without tokens
            return torch.zeros_like(x), torch.zeros_like(w), None if scale is None else torch.zeros_like(scale), None
        quantized_dy = fake_quantize(dy, o.gradient)
        dx = quantized_dy @ quantized_w
        if o.wgrad_gradient is not None:
            quantized_dy = fake_quantize(dy, o.wgrad_gradient)
        if o.wgrad_input is not None:
            x = fake_quantize(x, o.wgrad_input)
        dw, dscale = gradients(w, o.weight, quantized_dy.t() @ x, o.ste, scale)
        return dx, dw, dscale, None


class RecipeLinear(nn.Linear):
    operands = Operands()

    def set_operands(self, operands):
        """Learned scales (`log_scale`, a number a block) begin where their squared error is least, at the step that turns
        them on. What moves is their logarithm, this project's choice: a step of Adam has the size of the learning rate,
        which is larger than the scales."""
        self.operands = operands
        if operands.learns_scales and "log_scale" not in self._parameters:
            scale = least_squares_scales(self.weight.detach(), described(operands.weight)["block"])
            self.log_scale = nn.Parameter(scale.log())

    def forward(self, x):
        if self.operands.exact:
            return super().forward(x)
        scale = self.log_scale.exp() if self.operands.learns_scales else None
        return RecipeProduct.apply(x.flatten(0, -2), self.weight, scale, self.operands).unflatten(0, x.shape[:-1])
