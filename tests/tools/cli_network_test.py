# SPDX-License-Identifier: Apache-2.0
"""The verbs that run a whole recorded network: what they print, and what they refuse, in one sentence with exit 4."""
import json
import os
import shutil
import subprocess
import unittest

from cli_fixture import ASSAY, SOURCE, CliTest

RECORDINGS = SOURCE / "simulator" / "recordings"
SMALL = RECORDINGS / "moe-softmax-100"


def run(*arguments):
    return subprocess.run([ASSAY, *map(str, arguments)], capture_output=True, text=True, timeout=300)


class Network(CliTest):
    def test_both_reports_predictions_beside_measurements(self):
        out = self.folder / "report.json"
        page = self.folder / "report.html"
        self.passes("replay", SMALL, "--recipe", "nvfp4-w4a4", "--both", "--samples", "1", "--json", out, "--html", page)
        network = json.loads(out.read_text())["network"]
        forecast = network["forecasts"][0]
        self.assertEqual(len(forecast["predicted"]["routers"]), len(forecast["measured"]["routers"]))
        self.assertTrue(forecast["measured"]["gradients"])
        self.assertGreater(len(network["agreement"]), 4)
        self.assertIn("The network as a whole", page.read_text())

    def test_a_measurement_has_the_range_of_training_and_the_use_of_experts(self):
        out = self.folder / "report.json"
        self.passes("replay", SMALL, "--recipe", "article", "--measure", "--learning-rate", "0.01", "--json", out)
        network = json.loads(out.read_text())["network"]
        self.assertEqual(len(network["utilisation"]), 4)
        self.assertEqual(len(network["experts"]), 4)
        self.assertTrue(network["channels"])
        for use in network["utilisation"]:
            self.assertAlmostEqual(sum(use["load"]), 1)
            self.assertLessEqual(use["effective_experts"], len(use["load"]) + 1e-9)
        measured = network["forecasts"][0]["measured"]
        self.assertEqual(measured["arithmetic"], "exact")
        self.assertEqual(measured["accumulators"], [])
        for gradients in measured["training"]["gradients"]:
            self.assertEqual(gradients["loss_scale"], 65536)
            self.assertLessEqual(gradients["best_flushed"], gradients["flushed_unscaled"])
        self.assertEqual({u["learning_rate"] for u in measured["training"]["updates"]}, {0.01})

    def test_the_recipes_arithmetic_is_measured_beside_exact_products(self):
        out = self.folder / "report.json"
        self.passes("replay", SMALL, "--recipe", "fp8-deepseek-v3", "--measure", "--arithmetic", "recipe", "--json", out)
        measured = json.loads(out.read_text())["network"]["forecasts"][0]["measured"]
        self.assertEqual(measured["arithmetic"], "recipe")
        self.assertEqual(len(measured["accumulators"]), len(measured["linears"]))
        self.assertTrue(all(0 < a["nsr"] < 1e-3 for a in measured["accumulators"]))

    def test_an_accumulator_of_no_unit_is_refused(self):
        recipe = json.loads((SOURCE / "simulator" / "recipes" / "fp8-deepseek-v3.json").read_text())
        for accumulator, word in (({"kind": "hopper.wgmma.e4m3.f33"}, "did you mean"),
                                  ({"kind": "hopper.wgmma.bf16.f32"}, "not e4m3 by e4m3")):
            for treatment in recipe["classes"]:
                treatment["accumulator"] = accumulator
            path = self.folder / "recipe.json"
            path.write_text(json.dumps(recipe))
            r = run("replay", SMALL, "--recipe", path, "--measure", "--arithmetic", "recipe")
            self.assertEqual((r.returncode, r.stderr.count("\n")), (4, 1), r.stderr)
            self.assertIn(word, r.stderr)

    def test_every_expert_is_a_group_of_its_own(self):
        out = self.folder / "experts.json"
        self.passes("attribute", SMALL, "--recipe", "mxfp4-rceil", "--samples", "1", "--by-expert", "--json", out)
        blame = json.loads(out.read_text())
        self.assertAlmostEqual(sum(g["kl"] for g in blame["groups"]), blame["kl"], delta=1e-12)
        self.assertGreaterEqual(sum("of expert" in g["group"] for g in blame["groups"]), 4 * 8 - 2)

    def test_attribution_adds_up(self):
        out = self.folder / "blame.json"
        self.passes("attribute", SMALL, "--recipe", "mxfp4-rceil", "--samples", "1", "--json", out)
        blame = json.loads(out.read_text())
        self.assertAlmostEqual(sum(g["kl"] for g in blame["groups"]), blame["kl"], delta=1e-12)
        # The KL is a square of the sum of all errors. Of a = layer 0 and b = the rest, quantized alone, and of their parts
        # in the whole: a half of the cross term belongs to either, so part(a) - alone(a) = part(b) - alone(b).
        def first(group):
            return "layer 0" in group["group"]

        def alone(*left_out):
            path = self.folder / "alone.json"
            self.passes("attribute", SMALL, "--recipe", "mxfp4-rceil", "--samples", "1", *left_out, "--json", path)
            return json.loads(path.read_text())["groups"]

        rest = alone("--without", "layer 0")
        layer = alone("--without", "layer 1", "--without", "layer 2", "--without", "layer 3")
        nsr = {g["group"]: g["nsr"] for g in blame["groups"]}
        self.assertEqual({g["group"]: g["nsr"] for g in rest + layer}, nsr)
        self.assertFalse(any(map(first, rest)))
        self.assertTrue(all(map(first, layer)))
        cross = [sum(g["kl"] for g in blame["groups"] if first(g) == of) - sum(g["kl"] for g in part)
                 for of, part in ((True, layer), (False, rest))]
        self.assertAlmostEqual(cross[0], cross[1], delta=1e-4 * blame["kl"])  # derivatives in FP32

    def test_larger_blocks_of_one_rule_are_worse(self):
        out = self.folder / "ablation.json"
        self.passes("ablate", SMALL, "--class", "expert", "--samples", "1", "--json", out)
        rows = [r for r in json.loads(out.read_text())["rows"] if r["format"] == "fp4-fp32"]
        nsr = [r["nsr"] for r in rows]
        self.assertEqual([r["block"] for r in rows], ["16", "32", "64", "128", "row", "tensor"])
        self.assertEqual(nsr, sorted(nsr))

    def test_a_schedule_follows_the_steps(self):
        out = self.folder / "schedule.json"
        self.passes("schedule", RECORDINGS / "moe-softmax-300", SMALL, "--recipe", "article", "--samples", "1",
                    "--max-flips", "1", "--max-loss", "100", "--json", out)
        plan = json.loads(out.read_text())
        self.assertEqual([p["part"] for p in plan["parts"]], ["attention", "expert", "all"])
        for part in plan["parts"]:
            self.assertEqual([m["step"] for m in part["steps"]], [100, 300])
            self.assertEqual(part["earliest_step"], 100)  # everything is allowed
        self.assertEqual([u["step"] for u in plan["utilisation"]], [100, 300])
        self.assertTrue(all(len(u["routers"]) == 4 for u in plan["utilisation"]))

    def test_nothing_to_do_is_said(self):
        for verb in ("attribute", "schedule"):
            self.assertEqual(run(verb, SMALL, "--recipe", "bf16", "--samples", "1").returncode, 5, verb)


class BadRecordings(CliTest):
    def refused(self, damage, sentence):
        folder = self.folder / "recording"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(SMALL, folder)
        damage(folder)
        r = run("replay", folder, "--recipe", "nvfp4", "--both")
        self.assertEqual(r.returncode, 4, r.stderr)
        self.assertRegex(r.stderr, sentence)
        self.assertEqual(r.stderr.count("\n"), 1)

    def edited(self, change):
        def damage(folder):
            path = folder / "recording.json"
            document = json.loads(path.read_text())
            change(document)
            path.write_text(json.dumps(document))
        return damage

    def test_a_killed_recording(self):
        self.refused(lambda f: (f / "recording.json").unlink(), "recording.json")

    def test_truncated_weights(self):
        self.refused(lambda f: os.truncate(f / "weights.safetensors", 10000), "truncated")

    def test_a_nan(self):
        def damage(folder):
            path = folder / "weights.safetensors"
            data = bytearray(path.read_bytes())
            data[-2:] = b"\xc0\x7f"
            path.write_bytes(data)
        self.refused(damage, "NaN")

    def test_another_version(self):
        self.refused(self.edited(lambda d: d.update(version=2)), "version 2")

    def test_a_missing_weight(self):
        linear = lambda d: next(o for o in d["ops"] if o["id"] == "layers.0.k")  # noqa: E731
        self.refused(self.edited(lambda d: linear(d)["tensors"].clear()), "layers.0.k.*weight")

    def test_more_choices_than_experts(self):
        top = lambda d: next(o for o in d["ops"] if o["kind"] == "top_k")  # noqa: E731
        self.refused(self.edited(lambda d: top(d)["numbers"].update(k=99)), "chooses 99 of 8")

    def test_steps_of_two_networks_are_no_schedule(self):
        r = run("schedule", SMALL, RECORDINGS / "moe-sigmoid-1000", "--recipe", "nvfp4")
        self.assertEqual((r.returncode, r.stderr.count("\n")), (4, 1))
        r = run("schedule", SMALL, SMALL, "--recipe", "nvfp4")
        self.assertIn("same training step", r.stderr)

    def test_without_what_is_not_there(self):
        self.assertEqual(run("attribute", SMALL, "--recipe", "nvfp4", "--without", "nothing").returncode, 4)


if __name__ == "__main__":
    unittest.main()
