# SPDX-License-Identifier: Apache-2.0
"""The golden vectors as others use them: the JSON schema, the independent script, the command."""
import json
import os
import pathlib
import re
import subprocess
import unittest

from cli_fixture import SOURCE, CliTest

FOLDER = SOURCE / "docs" / "vectors"
FILE = FOLDER / "assay-vectors-1.0.json"
PYTHON = os.environ["ASSAY_PYTHON"]
KINDS = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def errors(schema, value, path="$"):
    """What of JSON Schema the file's schema uses; an unknown keyword is an error of the test."""
    known = {"$schema", "title", "type", "required", "additionalProperties", "properties", "const", "pattern",
             "minItems", "items", "enum", "minimum"}
    assert set(schema) <= known, set(schema) - known
    if "type" in schema and not isinstance(value, KINDS[schema["type"]]):
        return [f"{path}: not of type {schema['type']}"]
    found = []
    if "const" in schema and value != schema["const"] or "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: {value!r}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path}: {value!r} is not {schema['pattern']}")
    if "minimum" in schema and value < schema["minimum"]:
        found.append(f"{path}: {value} < {schema['minimum']}")
    if isinstance(value, dict):
        found += [f"{path}: no {name}" for name in schema.get("required", []) if name not in value]
        for name, part in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            found += [f"{path}: unknown {name}"] if inner is False else errors(inner, part, f"{path}.{name}")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            found.append(f"{path}: {len(value)} items")
        for i, item in enumerate(value):
            found += errors(schema.get("items", {}), item, f"{path}[{i}]")
    return found


class GoldenVectors(CliTest):
    def test_schema(self):
        schema = json.loads((FOLDER / "assay-vectors.schema.json").read_text())
        document = json.loads(FILE.read_text())
        self.assertEqual(errors(schema, document), [])
        del document["cases"][0]["source"]
        document["cases"][1]["expected"]["codes"] = "0x7"
        document["cases"][2]["operation"] = "guess"
        self.assertEqual(len(errors(schema, document)), 3)

    def check(self, path):
        if subprocess.run([PYTHON, "-c", "import numpy"], capture_output=True).returncode != 0:
            self.skipTest(f"{PYTHON} has no NumPy; name one that has in ASSAY_PYTHON")
        return subprocess.run([PYTHON, FOLDER / "check_vectors.py", path], capture_output=True, text=True)

    def test_independent_script_agrees(self):
        run = self.check(FILE)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        total, agreeing, differing, unchecked = map(int, re.findall(r"\d+", run.stdout.splitlines()[0]))
        self.assertEqual((total, differing), (agreeing + unchecked, 0))
        self.assertGreaterEqual(agreeing, 60)
        self.assertLessEqual(unchecked, 14)

    def test_independent_script_sees_a_wrong_bit_of_each_operation(self):
        document = json.loads(FILE.read_text())
        operations = ("encode", "decode", "random", "quantize", "dequantize", "quantize_packed",
                      "dequantize_packed", "scale_offset", "hadamard", "reencode")
        changed = []
        for operation in operations:
            case = next(c for c in document["cases"] if c["operation"] == operation)
            name, text = next((n, t) for n, t in case["expected"].items() if isinstance(t, str))
            case["expected"][name] = text[:-1] + ("1" if text[-1] != "1" else "2")
            changed.append(case["id"])
        run = self.check(self.file("wrong.json", json.dumps(document).encode()))
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        self.assertIn(f" {len(changed)} differ", run.stdout)
        for case in changed:
            self.assertIn(case, run.stdout)

    def test_independent_script_refuses_other_files(self):
        for content in (b"{", b"[]", b"{}"):
            run = self.check(self.file("other.json", content))
            self.assertEqual(run.returncode, 4, run.stdout)
            self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)

    def test_command(self):
        out = self.folder / "vectors.json"
        self.passes("vectors", "golden", "--out", out)
        self.assertEqual(out.read_text(), FILE.read_text())
        self.assertEqual(self.passes("vectors", "golden").stdout, FILE.read_text())

    def test_bad_inputs(self):
        self.refuses("vectors", "golden", "--claim", "quantize a=nvfp4", says="--claim does not go with")
        self.refuses("vectors", "golden", "--cases", "3", says="--cases does not go with")
        self.refuses("vectors", "golden", "--seed", "3", says="--seed does not go with")
        self.refuses("vectors", "golden", "--out", self.folder / "no" / "file.json", says="no/file.json")
        self.refuses("vectors", "quantize.nvfp4", says="--claim is required")


if __name__ == "__main__":
    unittest.main()
