# SPDX-License-Identifier: Apache-2.0
"""assay replay --operands: recordings and checkpoints, streamed; journals; what is refused in one sentence."""
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import time
import unittest

from cli_fixture import ASSAY, SOURCE, CliTest, safetensors

EMBEDDED = SOURCE / "simulator" / "recordings" / "pystdlib-moe"


def run(*arguments):
    return subprocess.run([ASSAY, "replay", *map(str, arguments)], capture_output=True, text=True, timeout=300)


def f32_tensors(tensors):
    """{name: (shape, values)} as a safetensors file."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return safetensors(header, data)


class Operands(CliTest):
    def document(self, *arguments):
        out = self.folder / "report.json"
        r = run(*arguments, "--json", out)
        self.assertEqual(r.returncode, 0, r.stderr)
        return json.loads(out.read_text())

    def test_weights_have_the_figures_of_the_whole_replay(self):
        recipes = ("--recipe", "nvfp4-w4a4", "--recipe", "deepseek-v4")
        streamed = self.document(EMBEDDED, *recipes, "--operands")["replays"]
        whole = self.document(EMBEDDED, *recipes)["replays"]
        checked = 0
        for a, b in zip(streamed, whole):
            found = {(t["tensor"], t["role"]): t for t in a["tensors"]}
            for t in b["tensors"]:
                mine = found[t["tensor"], t["role"]]
                if (mine["rows"], mine["cols"]) != (t["rows"], t["cols"]):
                    continue  # an expert's input, gathered there and as it was stored here
                for figure in ("gain", "nsr", "relative_mse"):
                    self.assertAlmostEqual(mine["error"][figure], t["error"][figure], delta=1e-9, msg=t["tensor"])
                self.assertEqual(mine["worst_block"]["index"], t["worst_block"]["index"])
                self.assertEqual((mine["clipped"], mine["flushed"], mine["reencode_changed"]),
                                 (t["clipped"], t["flushed"], t["reencode_changed"]))
                checked += 1
        self.assertGreater(checked, 500)

    def test_a_checkpoint_that_no_one_recorded(self):
        values = random.Random(1)
        normal = lambda n: [values.gauss(0, 1) for _ in range(n)]  # noqa: E731
        path = self.file("model.safetensors", f32_tensors({
            "encoder.layer.0.attention.self.query.weight": ([48, 33], normal(48 * 33)),
            "encoder.layer.0.attention.self.query.bias": ([48], normal(48)),
            "encoder.layer.0.intermediate.dense.weight": ([64, 48], normal(64 * 48)),
            "embeddings.word_embeddings.weight": ([90, 48], normal(90 * 48))}))
        r = run(path, "--recipe", "nvfp4-w4a4", "--recipe", "fp4-rtn", "--operands")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("encoder.layer.0.intermediate.dense.weight", r.stdout)
        document = self.document(path, "--recipe", "nvfp4-w4a4", "--operands")
        tensors = document["replays"][0]["tensors"]
        self.assertEqual([t["class"] for t in tensors], ["attention", "dense"])  # the embedding stays BF16
        for t in tensors:
            self.assertAlmostEqual(t["error"]["nsr"], 9e-3, delta=1e-3)  # N(0, 1), docs/evidence/error-tables.md

    def recording(self, name, dtype, bits, spaces):
        """Three weights of 96 x 1056 in a file each, whose data begins behind so many spaces."""
        folder = self.folder / name
        folder.mkdir()
        ops, tensors = [], []
        for i, cls in enumerate(("attention", "expert", "dense")):
            weight, file = f"layers.{i}.w.weight", f"weights-{i}.safetensors"
            mine = bits[i * 5000:] + bits[:i * 5000]
            data = struct.pack(f"<{len(mine)}H", *mine) if dtype == "BF16" else struct.pack(
                f"<{len(mine)}I", *(b << 16 for b in mine))
            header = json.dumps({weight: {"dtype": dtype, "shape": [96, 1056], "data_offsets": [0, len(data)]}})
            with open(folder / file, "wb") as f:
                f.write(safetensors(header.encode() + b" " * spaces, data))
                f.flush()
                os.fsync(f.fileno())
            ops.append({"id": f"layers.{i}.w", "kind": "linear", "class": cls, "layer": i, "inputs": [],
                        "tensors": {"weight": weight}})
            tensors.append({"name": weight, "role": "weight", "dtype": dtype, "shape": [96, 1056],
                            "shards": [{"file": file}]})
        (folder / "recording.json").write_text(json.dumps({
            "schema": "assay-recording", "version": 1, "name": "three", "training_step": 0, "token_sampling": "",
            "provenance": {"text": "noise", "licence": "CC0-1.0", "facts": {}}, "ops": ops, "tensors": tensors}))
        return folder

    def test_bf16_has_the_figures_of_the_same_floats_wherever_it_lies(self):
        source = random.Random(3)
        bits = [struct.unpack("<I", struct.pack("<f", source.gauss(0, 0.02)))[0] >> 16 for _ in range(96 * 1056)]
        recipes = [a for name in ("nvfp4-w4a4", "mxfp4-w4a4", "fp8-deepseek-v3") for a in ("--recipe", name)]

        def figures(folder):
            return [r["tensors"] for r in self.document(folder, *recipes, "--operands")["replays"]]
        want = figures(self.recording("f32", "F32", bits, 0))
        self.assertEqual([len(tensors) for tensors in want], [3, 3, 3])
        for spaces in (0, 1):  # 16 bits at odd addresses are read another way
            folder = self.recording(f"bf16-{spaces}", "BF16", bits, spaces)
            self.assertEqual(figures(folder), want)  # in the page cache
            for file in folder.glob("*.safetensors"):
                with open(file, "rb") as f:
                    os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(figures(folder), want)  # from the disk

    def test_every_recipe_of_the_program(self):
        shown = run("--help").stdout.split("to compare:")[1].split("--")[0].split()
        known = [name for name in shown if (SOURCE / "simulator" / "recipes" / f"{name}.json").exists()]
        self.assertEqual(len(known), len(list((SOURCE / "simulator" / "recipes").glob("*.json"))))
        recipes = [a for name in known for a in ("--recipe", name)]
        for replay in self.document(EMBEDDED, *recipes, "--operands")["replays"]:
            self.assertEqual(bool(replay["tensors"]), replay["recipe"]["name"] != "bf16")

    def test_nothing_quantized_is_said(self):
        self.assertEqual(run(EMBEDDED, "--recipe", "bf16", "--operands").returncode, 5)

    def refused(self, *arguments, says):
        r = run(*arguments)
        self.assertEqual(r.returncode, 4, r.stderr)
        self.assertRegex(r.stderr, says)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)

    def test_options_that_do_not_agree(self):
        self.refused(EMBEDDED, "--recipe", "nvfp4", "--operands", "--measure", says="leave --predict")
        self.refused(EMBEDDED, "--recipe", "nvfp4", "--journal", self.folder / "j", says="go with --operands, --predict")
        self.refused(EMBEDDED, "--recipe", "nvfp4", "--operands", "--resume", says="needs the --journal")
        self.refused(EMBEDDED, "--recipe", "nvfp4", "--verify", says="no list of files and hashes")
        self.refused(self.file("x.bin", b"x"), "--recipe", "nvfp4", says="with --operands")

    def test_damaged_checkpoints(self):
        good = f32_tensors({"mlp.weight": ([16, 16], [1.0] * 256)})
        self.refused(self.file("cut.safetensors", good[:-3]), "--recipe", "w4a16", "--operands", says="truncated")
        nan = self.file("nan.safetensors", good[:-4] + struct.pack("<f", float("nan")))
        self.refused(nan, "--recipe", "w4a16", "--operands", says="mlp.weight holds a NaN in row 15, column 15")
        vectors = self.file("v.safetensors", f32_tensors({"bias": ([4], [1.0] * 4)}))
        self.refused(vectors, "--recipe", "w4a16", "--operands", says="no floating-point tensor")
        self.refused(self.folder / "absent", "--recipe", "w4a16", "--operands", says="absent")


class Journals(CliTest):
    ARGUMENTS = ("--recipe", "nvfp4-w4a4", "--recipe", "article", "--operands")

    def report(self, *arguments):
        out = self.folder / "report.json"
        r = run(EMBEDDED, *self.ARGUMENTS, "--json", out, *arguments)
        self.assertEqual(r.returncode, 0, r.stderr)
        return out.read_bytes()

    def test_killed_and_resumed_is_the_same_report(self):
        want = self.report()
        journal = self.folder / "journal"
        sizes = []
        for _ in range(12):
            process = subprocess.Popen([ASSAY, "replay", EMBEDDED, *self.ARGUMENTS, "--journal", journal, "--resume"],
                                       stdout=subprocess.DEVNULL)
            size = journal.stat().st_size if journal.exists() else 0
            begin = time.monotonic()
            while process.poll() is None and time.monotonic() - begin < 60 and (
                    not journal.exists() or journal.stat().st_size < size + 20000):
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            process.wait()
            sizes.append(journal.stat().st_size)
        self.assertGreater(len(set(sizes)), 3, "the kills hit a run that was over")
        self.assertEqual(self.report("--journal", journal, "--resume"), want)
        self.assertEqual(self.report("--journal", journal, "--resume"), want)  # all of it known

    def test_torn_lines_and_other_runs(self):
        want = self.report("--journal", self.folder / "journal")
        whole = (self.folder / "journal").read_bytes()
        for cut in (0, 10, len(whole) // 2, len(whole) - 1):
            torn = self.file(f"torn-{cut}", whole[:cut])
            self.assertEqual(self.report("--journal", torn, "--resume"), want)
            self.assertEqual(torn.read_bytes(), whole)

        def refused(says, *arguments):
            r = run(EMBEDDED, *arguments)
            self.assertEqual(r.returncode, 4, r.stderr)
            self.assertIn(says, r.stderr)
        refused("exists already", *self.ARGUMENTS, "--journal", self.folder / "journal")
        refused("of another run", "--recipe", "nvfp4", "--operands", "--journal", self.folder / "journal", "--resume")
        refused("of another run", *self.ARGUMENTS, "--seed", 2, "--journal", self.folder / "journal", "--resume")
        lines = whole.split(b"\n")
        damaged = self.file("damaged", b"\n".join([lines[0], b"{}"] + lines[2:]))
        refused("is damaged", *self.ARGUMENTS, "--journal", damaged, "--resume")
        refused("no journal", *self.ARGUMENTS, "--journal", self.file("other", b"hello\n"), "--resume")


    def test_a_file_that_was_written_since_is_another_run(self):
        values = random.Random(2)
        tensors = {"mlp.weight": ([32, 32], [values.gauss(0, 1) for _ in range(1024)])}
        path = self.file("model.safetensors", f32_tensors(tensors))
        arguments = (path, "--recipe", "w4a16", "--operands", "--journal", self.folder / "journal")
        self.assertEqual(run(*arguments).returncode, 0)
        self.assertEqual(run(*arguments, "--resume").returncode, 0)
        tensors["mlp.weight"][1][0] = 7.0
        path = self.file("model.safetensors", f32_tensors(tensors))
        os.utime(path, ns=(1, 1))
        r = run(*arguments, "--resume")
        self.assertEqual(r.returncode, 4, r.stderr)
        self.assertIn("of another run", r.stderr)


class BadRecordings(CliTest):
    """What every way of replaying says of a damaged recording."""

    def setUp(self):
        super().setUp()
        self.recording = self.folder / "recording"
        shutil.copytree(EMBEDDED, self.recording)

    def edited(self, change):
        path = self.recording / "recording.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    def refused(self, says, *ways):
        for way in ways or ((), ("--operands",), ("--measure",)):
            r = run(self.recording, "--recipe", "nvfp4-w4a4", *way)
            self.assertEqual(r.returncode, 4, (way, r.stderr))
            self.assertRegex(r.stderr, says)
            self.assertEqual(r.stderr.count("\n"), 1, r.stderr)

    def tensor(self, document, role):
        return next(t for t in document["tensors"] if t["role"] == role)

    def test_no_manifest(self):
        (self.recording / "recording.json").unlink()
        self.refused("recording.json", (), ("--measure",))

    def test_half_a_manifest(self):
        path = self.recording / "recording.json"
        path.write_bytes(path.read_bytes()[:5000])
        self.refused("not JSON|JSON")

    def test_a_missing_file(self):
        next(self.recording.glob("weights*")).unlink()
        self.refused("weights.*No such file")

    def test_a_truncated_file(self):
        path = next(self.recording.glob("weights*"))
        os.truncate(path, path.stat().st_size - 1)
        self.refused("truncated|does not fill|claims")

    def test_a_tensor_that_is_not_listed(self):
        self.edited(lambda d: d["tensors"].remove(self.tensor(d, "weight")))
        self.refused("not listed")

    def test_a_tensor_that_is_not_in_its_file(self):
        self.edited(lambda d: self.tensor(d, "weight")["shards"][0].update(key="absent"))
        self.refused("no tensor \"absent\"")

    def test_another_shape_than_the_file_has(self):
        self.edited(lambda d: self.tensor(d, "weight").update(shape=[8, 8]))
        self.refused("recording.json says")

    def test_shapes_that_do_not_fit_each_other(self):
        def change(d):
            ops = {o["id"]: o for o in d["ops"]}
            ops["layers.0.q"]["tensors"]["weight"] = ops["layers.0.experts.0.w_down"]["tensors"]["weight"]
        self.edited(change)
        self.refused("layers.0.q .*columns", (), ("--measure",))

    def test_another_version(self):
        self.edited(lambda d: d.update(version=2))
        self.refused("version 2")

    def test_a_nan_in_a_weight(self):
        path = next(self.recording.glob("weights*"))
        data = bytearray(path.read_bytes())
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + length])
        begin = 8 + length + header["layers.0.q.weight"]["data_offsets"][0]
        data[begin:begin + 2] = b"\xc0\x7f"
        path.write_bytes(data)
        self.refused("layers.0.q.weight holds a NaN")


if __name__ == "__main__":
    unittest.main()
