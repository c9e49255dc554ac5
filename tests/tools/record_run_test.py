# SPDX-License-Identifier: Apache-2.0
"""Recording a training run: chosen steps, updates, the writing thread, ranks, kills, Hugging Face style models.
Needs PyTorch (a CPU is enough)."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import torch
except ImportError:
    print("skipped: this Python has no PyTorch; name one that has with ASSAY_PYTHON")
    sys.exit(77)
from torch import nn
from torch.nn import functional as F

RECORD = os.path.join(os.environ["ASSAY_SOURCE"], "tools", "record")
sys.path.insert(0, RECORD)
import book  # noqa: E402
from hugging_face import Unrecognised, graph_of  # noqa: E402
from model import Config, MoeLanguageModel, RMSNorm, rotate  # noqa: E402
from parallel import Parallel  # noqa: E402
from recorder import WHOLE_NETWORK, Recorder  # noqa: E402

TINY = Config(layers=2, width=32, heads=2, experts=4, expert_width=16, top_k=2, vocabulary=32)
ABOUT = {"name": "tiny", "token_sampling": "random", "text": "random ids", "licence": "Apache-2.0", "facts": {}}


def batch(sequences=2, length=8):
    ids = torch.randint(0, 32, (sequences, length + 1), generator=torch.Generator().manual_seed(2))
    return ids[:, :-1], ids[:, 1:]


def loss_of(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def rounded(model):
    """Weights that bf16 holds, so that the recorded ones are the used ones."""
    with torch.no_grad():  # parameters only: a model's own tables stay as they are
        for p in model.parameters():
            p.copy_(p.bfloat16().float())
    return model


class RecordCase(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="assay-record-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def probe(self, *arguments, folder=None):
        return subprocess.run([os.environ["ASSAY_PROBE"], folder or self.folder, *arguments], capture_output=True,
                              timeout=300)

    def listed(self, folder=None):
        result = self.probe(folder=folder)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        fields = [line.split(" ") for line in result.stdout.decode().splitlines()]
        return {f[0]: (f[1], f[2], [int(x) for x in f[3].split("x")] if f[3] else []) for f in fields}

    def read(self, name, folder=None):
        raw = self.probe(name, folder=folder).stdout
        shape = self.listed(folder)[name][2]
        return torch.frombuffer(bytearray(raw), dtype=torch.float32).view(shape) if raw else torch.empty(shape)

    def network(self, op, folder=None, recipe=()):
        r = subprocess.run([os.environ["ASSAY_NETWORK_PROBE"], folder or self.folder, op, *recipe],
                           capture_output=True, timeout=300)
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        return torch.frombuffer(bytearray(r.stdout), dtype=torch.float64)

    def refused(self, *arguments, says):
        r = subprocess.run([os.environ["ASSAY_BINARY"], "replay", self.folder, "--recipe", "nvfp4-w4a4",
                            *arguments], capture_output=True, text=True, timeout=300)
        self.assertEqual(r.returncode, 4, r.stderr)
        self.assertRegex(r.stderr, says)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)


class Run(RecordCase):
    def test_chosen_steps_with_updates_in_the_background(self):
        torch.manual_seed(1)
        model = MoeLanguageModel(TINY)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        recorder = Recorder(model, optimizer=optimizer, weight_dtype=torch.float32)
        before, after = {}, {}
        for step in range(4):
            chosen = step in (1, 3)
            model.set_dense(not chosen)
            tokens, targets = batch()
            with recorder.at(step, chosen, self.folder / f"run-{step}", tokens=tokens, targets=targets, **ABOUT):
                before[step] = model.head.weight.detach().clone()
                loss_of(model(tokens)[0], targets).backward()
                optimizer.step()
                optimizer.zero_grad()
                after[step] = model.head.weight.detach().clone()
        recorder.wait()
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["run-1", "run-3"])
        for step in (1, 3):
            folder = self.folder / f"run-{step}"
            self.assertEqual(json.loads((folder / "recording.json").read_text())["training_step"], step)
            self.assertEqual(self.listed(folder)["head.update"], ("update", "F32", [32, 32]))
            self.assertTrue(torch.equal(self.read("head.weight", folder), before[step]))
            self.assertTrue(torch.equal(self.read("head.update", folder), after[step] - before[step]))
            self.assertGreater(self.read("head.update", folder).abs().max().item(), 0)
            self.assertIn("layers.1.attn_norm.update", self.listed(folder))
            self.assertEqual(self.network("head", folder).numel(), 16 * 32)

    def test_a_step_that_fails_records_nothing(self):
        model = nn.Sequential(nn.Linear(4, 4))
        recorder = Recorder(model)
        with self.assertRaises(RuntimeError):
            with recorder.at(1, True, self.folder / "run", **ABOUT):
                model(torch.ones(1, 4))
                raise RuntimeError("out of memory")
        recorder.wait()
        self.assertFalse((self.folder / "run").exists())
        self.assertEqual(recorder.calls, {})

    def test_what_the_thread_meets_is_raised(self):
        model = nn.Sequential(nn.Linear(4, 4))
        recorder = Recorder(model)
        (self.folder / "file").write_text("in the way")
        with recorder.at(1, True, self.folder / "file", **ABOUT):
            model(torch.ones(1, 4))
        with self.assertRaises(OSError):
            recorder.wait()

    def test_files_are_cut_and_hashed(self):
        model = rounded(MoeLanguageModel(TINY))
        model.set_dense(False)
        recorder = Recorder(model, shard_bytes=4096)
        tokens, targets = batch()
        with recorder:
            loss_of(model(tokens)[0], targets).backward()
        recorder.write(self.folder, training_step=1, tokens=tokens, targets=targets, **ABOUT)
        manifest = json.loads((self.folder / "recording.json").read_text())["files"]
        self.assertGreater(len(manifest), 5)
        for entry in manifest:
            data = (self.folder / entry["file"]).read_bytes()
            self.assertEqual((len(data), hashlib.sha256(data).hexdigest()), (entry["bytes"], entry["sha256"]))
        self.assertTrue(torch.equal(self.read("layers.1.q.weight"), model.layers[1].q.weight.detach()))
        # A file of another size is refused at once, one of the same size by --verify.
        path = self.folder / manifest[0]["file"]
        data = bytearray(path.read_bytes())
        path.write_bytes(data[:-1])
        self.refused(says="truncated")
        data[-1] ^= 1
        path.write_bytes(data)
        self.refused("--verify", says="SHA-256")

    def test_a_killed_recording_is_no_recording(self):
        program = f"""
import sys; sys.path.insert(0, {RECORD!r})
import torch
from torch import nn
from recorder import Recorder
model = nn.Sequential(*[nn.Linear(256, 256) for _ in range(40)])
recorder = Recorder(model, shard_bytes=1 << 16)
for step in range(100000):
    with recorder.at(step, True, sys.argv[1], name="n", token_sampling="", text="", licence="", facts={{}}):
        model(torch.ones(64, 256))
    print(step, flush=True)
"""
        outcomes = set()
        for delay in (0.0, 0.01, 0.03, 0.08):
            process = subprocess.Popen([sys.executable, "-c", program, self.folder], stdout=subprocess.PIPE)
            for _ in range(3):
                process.stdout.readline()
            limit = time.monotonic() + 60
            while (self.folder / "recording.json").exists() and time.monotonic() < limit:
                time.sleep(0.0005)
            time.sleep(delay)  # a recording is being written now, or in a moment
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            result = self.probe()
            outcomes.add(result.returncode == 0)
            if result.returncode == 0:  # killed between two recordings: then every byte is right
                for entry in json.loads((self.folder / "recording.json").read_text())["files"]:
                    data = (self.folder / entry["file"]).read_bytes()
                    self.assertEqual(hashlib.sha256(data).hexdigest(), entry["sha256"])
            else:
                self.refused("--operands", says="recording")
        self.assertIn(False, outcomes, "no kill fell into a recording: make it longer")


class Cut(nn.Module):
    """A feed-forward layer as rank `rank` of `ranks` holds it, tensor parallel; its output is the whole sum."""

    def __init__(self, whole, rank, ranks):
        super().__init__()
        n = whole.up.weight.shape[0] // ranks
        mine = slice(rank * n, (rank + 1) * n)
        self.norm, self.whole, self.mine = whole.norm, [whole], mine
        self.up, self.down = nn.Linear(16, n, bias=False), nn.Linear(n, 16, bias=False)
        with torch.no_grad():
            self.up.weight.copy_(whole.up.weight[mine])
            self.down.weight.copy_(whole.down.weight[:, mine])

    def forward(self, x):
        return self.down(F.relu(self.up(self.norm(x))))


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = RMSNorm(16, 1e-5)
        self.up, self.down = nn.Linear(16, 24, bias=False), nn.Linear(24, 16, bias=False)

    def forward(self, x):
        return self.down(F.relu(self.up(self.norm(x))))


class Ranks(RecordCase):
    def record_ranks(self, ranks=3, skip=(), runs=None, steps=None):
        torch.manual_seed(4)
        whole = rounded(Whole())
        x = torch.randn(2, 5, 16)
        for rank in set(range(ranks)) - set(skip):
            model = Cut(whole, rank, ranks)
            recorder = Recorder(model, activation_dtype=torch.float32, parallel=Parallel(
                rank, ranks, run=(runs or ["a"] * ranks)[rank],
                cut={"up": ("column", rank, ranks), "down": ("row_partial", rank, ranks)}))
            with recorder:
                model(x).square().sum().backward()
            recorder.write(self.folder, training_step=(steps or [1] * ranks)[rank], **ABOUT)
        return whole, x

    def test_tensor_parallel_parts_are_one_recording(self):
        whole, x = self.record_ranks()
        self.assertFalse((self.folder / "recording.json").exists())
        listed = self.listed()
        self.assertEqual(listed["up.weight"], ("weight", "BF16", [24, 16]))
        self.assertEqual(listed["down.input"][2], [10, 24])
        self.assertNotIn("down.output", listed)  # each rank had a term of it only
        self.assertTrue(torch.equal(self.read("up.weight"), whole.up.weight.detach()))
        self.assertTrue(torch.equal(self.read("down.weight"), whole.down.weight.detach()))
        hidden = whole.up(whole.norm(x)).detach().view(-1, 24)
        torch.testing.assert_close(self.read("up.output"), hidden)
        torch.testing.assert_close(self.read("down.input"), F.relu(hidden))
        self.assertTrue(torch.equal(self.read("norm.output"), whole.norm(x).detach().view(-1, 16)))

    def test_expert_and_pipeline_parallel_parts(self):
        """Rank r has layer r, as its own layer 0, with experts 2r and 2r + 1 as its experts 0 and 1."""
        torch.manual_seed(5)
        models = [nn.ModuleDict({"layers": nn.ModuleList([nn.ModuleDict({
            "experts": nn.ModuleList([nn.Linear(8, 8, bias=False) for _ in range(2)])})])}) for _ in range(2)]
        for rank in (1, 0):
            model = rounded(models[rank])
            expert = model["layers"][0]["experts"]
            name = lambda n, rank=rank: n.replace("layers.0", f"layers.{rank}").replace(
                "experts.1", f"experts.{2 * rank + 1}").replace("experts.0", f"experts.{2 * rank}")
            recorder = Recorder(model, parallel=Parallel(rank, 2, run="b", rename=name, stage=rank))
            with recorder:
                for e in expert:
                    e(torch.ones(3, 8))
            recorder.write(self.folder, training_step=1, **ABOUT)
        self.assertEqual([n for n, e in self.listed().items() if e[0] == "weight"],
                         ["layers.0.experts.0.weight", "layers.0.experts.1.weight",
                          "layers.1.experts.2.weight", "layers.1.experts.3.weight"])
        for rank, e in ((0, 0), (1, 1)):
            self.assertTrue(torch.equal(self.read(f"layers.{rank}.experts.{2 * rank + e}.weight"),
                                        models[rank]["layers"][0]["experts"][e].weight.detach()))

    def test_a_rank_that_was_killed(self):
        self.record_ranks(skip=[1])
        self.refused(says="rank 1 of 3 has left no part")

    def test_parts_of_two_runs(self):
        self.record_ranks(runs=["a", "a", "b"])
        self.refused(says="another run")

    def test_parts_of_two_steps(self):
        self.record_ranks(steps=[1, 1, 2])
        self.refused(says="another run or training step")

    def test_parts_of_two_versions(self):
        self.record_ranks()
        part = self.folder / "part-00002-of-00003.json"
        part.write_text(part.read_text().replace('"version":1', '"version":2'))
        self.refused(says="version 2")


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        w = c.hidden_size
        self.c = c
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(w, 1e-5), RMSNorm(w, 1e-5)
        self.self_attn = nn.ModuleDict({n + "_proj": nn.Linear(w, w, bias=False) for n in "qkvo"})
        self.mlp = nn.ModuleDict({n + "_proj": nn.Linear(*((24, w) if n == "down" else (w, 24)), bias=False)
                                  for n in ("gate", "up", "down")})

    def forward(self, x):
        n, a = self.input_layernorm(x), self.self_attn
        q, k, v = (a[p + "_proj"](n).unflatten(-1, (self.c.num_attention_heads, -1)).transpose(1, 2) for p in "qkv")
        y = F.scaled_dot_product_attention(rotate(q, 1e4), rotate(k, 1e4), v, is_causal=True)
        x = x + a["o_proj"](y.transpose(1, 2).flatten(2))
        n, m = self.post_attention_layernorm(x), self.mlp
        return x + m["down_proj"](F.silu(m["gate_proj"](n)) * m["up_proj"](n))


class Decoder(nn.Module):
    """Names and config of a Hugging Face decoder, with a tied head."""

    def __init__(self, norm="norm"):
        super().__init__()
        self.config = type("Config", (), {"hidden_size": 16, "num_attention_heads": 2, "rms_norm_eps": 1e-5,
                                          "rope_theta": 1e4, "hidden_act": "silu"})()
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(32, 16)
        self.model.layers = nn.ModuleList(Block(self.config) for _ in range(2))
        setattr(self.model, norm, RMSNorm(16, 1e-5))
        self.norm = norm
        self.lm_head = nn.Linear(16, 32, bias=False)
        self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, tokens):
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x)
        return self.lm_head(getattr(self.model, self.norm)(x))


class HuggingFace(RecordCase):
    def agrees(self, model, logits_of=lambda model, tokens: model(tokens), head="lm_head", **options):
        model = rounded(model).eval()
        recorder = Recorder(model, **options)
        tokens, targets = batch()
        with recorder:
            logits_of(model, tokens)
        recorder.write(self.folder, training_step=0, tokens=tokens, targets=targets, keep=WHOLE_NETWORK, **ABOUT)
        want = logits_of(model.double(), tokens).detach().double().flatten()
        error = (self.network(head) - want).abs().max().item()
        return error / want.abs().max().item()

    def test_a_decoder_is_recognised(self):
        torch.manual_seed(6)
        self.assertLess(self.agrees(Decoder()), 1e-12)

    def test_a_mapping_names_the_rest(self):
        torch.manual_seed(7)
        model = Decoder(norm="last")
        with self.assertRaisesRegex(Unrecognised, "final_norm"):
            graph_of(model)
        path = self.folder / "mapping.json"
        path.write_text(json.dumps({"final_norm": "model.last"}))
        self.assertLess(self.agrees(model, mapping=path), 1e-12)

    def test_what_a_recording_cannot_say_is_refused(self):
        model = Decoder()
        model.model.layers[1].self_attn["q_proj"] = nn.Linear(16, 16)
        with self.assertRaisesRegex(Unrecognised, "layers.1.self_attn.q_proj has a bias"):
            graph_of(model)
        model = Decoder()
        model.extra = nn.Linear(2, 2, bias=False)
        with self.assertRaisesRegex(Unrecognised, "extra has no place"):
            graph_of(model)
        with self.assertRaisesRegex(Unrecognised, "unknown key"):
            graph_of(Decoder(), {"heads": 2})
        with self.assertWarnsRegex(UserWarning, "no graph"):
            self.record_plain(model)

    def record_plain(self, model):
        recorder = Recorder(model)
        with recorder:
            model(batch()[0])
        recorder.write(self.folder, training_step=0, **ABOUT)

    def test_models_of_the_transformers_library(self):
        try:
            import transformers
        except ImportError:
            self.skipTest("this Python has no transformers")
        common = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
                  "num_key_value_heads": 2, "vocab_size": 32, "max_position_embeddings": 64,
                  "attn_implementation": "eager"}
        logits = lambda model, tokens: model(tokens, use_cache=False).logits
        torch.manual_seed(8)
        # The library computes the angles of rotary positions and the norms in float32, whatever the weights.
        experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "experts_implementation": "eager"}
        for name, extra in (("Llama", {}), ("Mixtral", experts)):
            config = getattr(transformers, name + "Config")(**common, **extra)
            model = getattr(transformers, name + "ForCausalLM")(config)
            with torch.no_grad():
                for n, p in model.named_parameters():
                    if p.dim() > 1:
                        p.mul_(4)
            with self.subTest(name):
                self.assertLess(self.agrees(model, logits), 1e-5)


if __name__ == "__main__":
    unittest.main()
