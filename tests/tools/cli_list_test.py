# SPDX-License-Identifier: Apache-2.0
"""assay list: entries, properties and profiles, and what a wrong name is answered with."""
import json
import unittest

from cli_fixture import CliTest


class List(CliTest):
    def test_entries_carry_their_claims(self):
        listed = json.loads(self.passes("list", "entries", "cpu", "--json", "-").stdout)
        names = [entry["name"] for entry in listed["entries"]]
        self.assertEqual(len(names), len(set(names)))
        self.assertIn("gemm.nvfp4.nvfp4.fp32", names)
        self.assertIn("gemm.fp8-deepseek-v4.mxfp4-rceil.bf16", self.passes("list", "entries", "cpu").stdout)

    def test_a_prefix_selects_properties(self):
        listed = json.loads(
            self.passes("list", "properties", "gemm.nvfp4_nvfp4", "--json", "-").stdout)["properties"]
        self.assertTrue(listed)
        for row in listed:
            self.assertTrue(row["id"].startswith("gemm.nvfp4_nvfp4."))
            self.assertTrue(row["section"] and row["statement"])

    def test_profiles_list_properties_that_exist(self):
        known = {row["id"] for row in json.loads(
            self.passes("list", "properties", "--json", "-").stdout)["properties"]}
        for row in json.loads(self.passes("list", "profiles", "--json", "-").stdout)["profiles"]:
            profile = json.loads(self.passes("list", "profiles", row["name"], "--json", "-").stdout)
            self.assertEqual(profile["hash"], row["hash"])
            self.assertLessEqual(set(profile["properties"]), known)
            self.assertEqual(self.passes("list", "profiles", row["name"]).stdout.split(),
                             profile["properties"])

    def test_wrong_names_suggest_the_right_one(self):
        for arguments, suggestion in (
                (("list", "property"), "did you mean 'properties'"),
                (("list", "profiles", "gemm-nvfp-1.0"), "did you mean 'gemm-nvfp4-1.0'"),
                (("list", "properties", "gem.nvfp4_nvfp4"), "did you mean 'gemm.nvfp4_nvfp4'"),
                (("list", "entries", "cpuu"), "did you mean 'cpu'")):
            self.refuses(*arguments, says=suggestion)


if __name__ == "__main__":
    unittest.main()
