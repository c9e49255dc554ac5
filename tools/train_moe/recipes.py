# SPDX-License-Identifier: Apache-2.0
"""Recipe files (docs/replay.md) on a model: which linear reads which operands at which step."""
import json
import math
import pathlib

from torch import nn

from recipe_linear import Operands, RecipeLinear

HIGH = (None, "bf16", "fp32")


def class_of(name):
    for word, cls in (("experts", "expert"), ("router", "router"), ("head", "head")):
        if word in name:
            return cls
    return "attention"


def layer_of(name):
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "layers" and len(parts) > 1 else -1


def kept_layers(recipe, layers):
    """Those in high precision: a share of L layers is ceil(share * L) of them."""
    first, last = (math.ceil(recipe.get("high_precision_layers", {}).get(side, 0) * layers) for side in ("first", "last"))
    return set(range(first)) | set(range(layers - last, layers))


def load_recipe(name_or_path):
    path = pathlib.Path(name_or_path)
    if not path.is_file():
        path = pathlib.Path(__file__).parents[2] / "simulator" / "recipes" / f"{name_or_path}.json"
    return json.loads(path.read_text())


def not_applied(recipe):
    """What the recipe says and training here does not do, a phrase each: for whoever compares."""
    found = set()
    accumulators = [c["accumulator"] for c in [recipe, *recipe["classes"]] if "accumulator" in c]
    if any(a.get("kind") != "fp32" for a in accumulators):
        found.add("accumulators (products are PyTorch's in float32)")
    for c in recipe["classes"]:
        for operand in c.values():
            if isinstance(operand, dict) and "reencode" in operand:
                found.add("re-encoding of an operand (it changes no value that it takes)")
    return sorted(found)


def apply_recipe(model, recipe, step):
    """Gives every linear the operands that the recipe has for its class at this step. Linears may get learned scales:
    parameters that no optimizer knows yet."""
    classes = {c["class"]: c for c in recipe["classes"]}
    scheduled = {}
    for entry in recipe.get("schedule", []):
        scheduled.setdefault(entry["class"], None)
        if entry["step"] <= step:
            scheduled[entry["class"]] = entry["weight"]
    kept = kept_layers(recipe, 1 + max((layer_of(n) for n, _ in model.named_modules()), default=-1))
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        module.__class__ = RecipeLinear
        c = classes.get(class_of(name), {})
        weight = scheduled.get(class_of(name), c.get("weight"))
        if layer_of(name) in kept or class_of(name) in scheduled and weight in HIGH:
            module.set_operands(Operands())
        else:
            parts = {key: c.get(key) for key in ("activation", "gradient", "wgrad_input", "wgrad_gradient")}
            module.set_operands(Operands(weight=weight, ste=c.get("ste", recipe.get("ste", "identity")), **parts))


def quantizes(model):
    return any(isinstance(m, RecipeLinear) and not m.operands.exact for m in model.modules())
