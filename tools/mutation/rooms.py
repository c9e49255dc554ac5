# SPDX-License-Identifier: Apache-2.0
"""What is mutated and which tests must notice, as data."""
import fnmatch
import re
from dataclasses import dataclass

# Tests that are not a GoogleTest binary without arguments: {name: (target, arguments)}.
# {source} is the root of the tree.
COMMANDS = {
    "fuzz.npy.corpus": ("fuzz_npy_corpus", ["{source}/tests/fuzz/corpus/npy"]),
    "fuzz.safetensors.corpus": ("fuzz_safetensors_corpus", ["{source}/tests/fuzz/corpus/safetensors"]),
    "fuzz.recording.corpus": ("fuzz_recording_corpus", ["{source}/tests/fuzz/corpus/recording"]),
    "exhaustive.e2m1.nearest_even": (
        "codec_sweep", ["--only", "golden/e2m1/nearest_even/saturate,nan=max_finite", "--threads", "2"]),
    "exhaustive.e4m3.nearest_even": (
        "codec_sweep", ["--only", "golden/e4m3/nearest_even/saturate,nan=canonical", "--threads", "2"]),
    "exhaustive.e8m0.nearest_even": (
        "codec_sweep",
        ["--only", "golden/e8m0/nearest_even/saturate,nan=canonical,negative=clamp", "--threads", "2"]),
}


@dataclass(frozen=True)
class Room:
    files: tuple    # patterns
    without: tuple  # patterns
    folder: str     # tests/FOLDER holds its own tests, which all take part; "" where only these do:
    tests: tuple    # the default tests that exercise the room, cheapest first; no whole certification,
                    # whose minutes per survivor would buy few kills


_BOUNDS = ("golden/bounds.cpp", "golden/gemm_bounds.cpp", "golden/qat_bounds.cpp", "golden/truncating.cpp",
           "golden/gated.cpp")
_SWEEPS = ("exhaustive.e2m1.nearest_even", "exhaustive.e4m3.nearest_even", "exhaustive.e8m0.nearest_even")

ROOMS = {
    "formats": Room(
        ("formats/*.cpp", "formats/*.h"), (), "formats",
        ("formats_names_test", "formats_codec_test", "formats_spec_test", "formats_block_variants_test",
         "formats_block_test", "formats_learned_scale_test",
         "formats_cuda_headers_test", "formats_block_mse_test", "formats_golden_test", "kernels_cpu_test",
         "formats_block_golden_test", "formats_array_test", "golden_quantize_test", *_SWEEPS)),
    "golden": Room(
        ("golden/*.cpp",), _BOUNDS, "golden",
        ("golden_codec_test", "golden_exact_test", "golden_quantize_test", "golden_gemm_test",
         "golden_qat_test", "golden_master_test", "golden_lossless_test", "golden_intervals_test",
         "golden_encode_compiler_test", "golden_encode_definition_test", "golden_bounds_test",
         "golden_qat_bounds_test", "golden_bounds_formula_test", "golden_truncating_test", "formats_block_test",
         "formats_packed_test",
         "formats_learned_scale_test", "formats_golden_test", "formats_block_golden_test", *_SWEEPS)),
    "simulator": Room(
        ("simulator/*.cpp",), (), "simulator",
        ("recipe_test", "network_test", "npy_test", "figures_test", "fake_quantize_test",
         "writer_test", "recording_json_test", "dtype_test", "shard_test",
         "fuzz.npy.corpus", "fuzz.safetensors.corpus", "fuzz.recording.corpus", "recording_test",
         "replay_test", "report_test")),
    "judgement": Room(
        (*_BOUNDS, "proptests/judge.cpp", "proptests/properties/qat_judge.cpp", "analysis/statistics.cpp"), (), "",
        ("golden_bounds_test", "golden_truncating_test", "golden_qat_bounds_formula_test",
         "golden_bounds_formula_test", "golden_qat_bounds_test", "golden_gated_test", "proptests_judge_test",
         "proptests_token_test", "statistics_test", "proptests_mutation_test")),
}

# The tests to begin with, by file: a fault dies sooner in the test that aims at it.
FIRST = (
    ("formats/layout*", ("formats_block_test",)),
    ("formats/block*", ("formats_block_test", "formats_block_golden_test")),
    ("formats/order*", ("formats_block_test",)),
    ("formats/array*", ("formats_codec_test", "formats_array_test")),
    ("formats/encode*", ("formats_array_test",)),
    ("formats/learned_scale*", ("formats_learned_scale_test",)),
    ("formats/names*", ("formats_names_test", "formats_codec_test")),
    ("formats/presets.h", ("formats_block_golden_test", "golden_quantize_test")),
    ("golden/exact*", ("golden_exact_test",)),
    ("golden/value*", ("golden_gemm_test",)),
    ("golden/intervals*", ("golden_intervals_test",)),
    ("golden/quantize*", ("golden_quantize_test",)),
    ("golden/order*", ("golden_quantize_test",)),
    ("golden/layout*", ("golden_gemm_test", "formats_block_test")),
    ("golden/gemm.cpp", ("golden_gemm_test",)),
    ("golden/fp32_order*", ("golden_gemm_test",)),
    ("golden/qat.cpp", ("golden_qat_test",)),
    ("golden/master*", ("golden_master_test",)),
    ("golden/lossless*", ("golden_lossless_test",)),
    ("golden/philox*", ("formats_codec_test", "formats_golden_test")),
    ("golden/relayout*", ("golden_relayout_test",)),
    ("golden/packed*", ("formats_packed_test",)),
    ("golden/requantize*", ("golden_requantize_test",)),
    ("golden/grouped*", ("golden_grouped_test",)),
    ("golden/silu*", ("golden_silu_test", "golden_gated_test")),
    ("golden/gated*", ("golden_gated_test",)),
    ("golden/stochastic*", ("golden_stochastic_test",)),
    ("golden/truncating*", ("golden_bounds_formula_test", "golden_truncating_test")),
    ("golden/bounds*", ("golden_bounds_test", "golden_bounds_formula_test")),
    ("golden/gemm_bounds*", ("golden_truncating_test", "golden_bounds_test")),
    ("golden/qat_bounds*", ("golden_qat_bounds_formula_test", "golden_qat_bounds_test")),
    ("simulator/recording_json*", ("recording_json_test",)),
    ("simulator/recording*", ("shard_test", "recording_test")),
    ("simulator/safetensors*", ("writer_test", "fuzz.safetensors.corpus", "recording_test")),
    ("simulator/npy*", ("npy_test", "writer_test", "fuzz.npy.corpus", "recording_test")),
    ("simulator/atomic_file*", ("writer_test",)),
    ("simulator/dtype*", ("dtype_test",)),
    ("simulator/network*", ("network_test", "figures_test")),
    ("simulator/recipe*", ("recipe_test",)),
    ("simulator/fake_quantize*", ("fake_quantize_test",)),
    ("simulator/error_figures*", ("figures_test",)),
    ("simulator/router_noise*", ("figures_test",)),
    ("simulator/strict_json*", ("npy_test",)),
    ("simulator/gguf*", ("gguf_test",)),
    ("simulator/*", ("figures_test", "replay_test")),
    ("proptests/*", ("proptests_judge_test", "proptests_mutation_test")),
    ("analysis/*", ("statistics_test",)),
)


def files_of(room, paths):
    """Those of the paths that belong to the room."""
    def matches(path, patterns):
        return any(fnmatch.fnmatchcase(path, p) for p in patterns)
    return [p for p in sorted(paths) if matches(p, room.files) and not matches(p, room.without)]


def all_tests(room, root):
    """The tests of the table, then those that tests/FOLDER/CMakeLists.txt declares beside them."""
    if not room.folder:
        return list(room.tests)
    declared = (root / "tests" / room.folder / "CMakeLists.txt").read_text()
    return list(dict.fromkeys([*room.tests, *re.findall(r"assay_test\((\w+)", declared)]))


def tests_of(room, path, root):
    """All of the room's tests, in the order in which they are tried on a mutant of path."""
    first = next((tests for pattern, tests in FIRST if fnmatch.fnmatchcase(path, pattern)), ())
    return list(dict.fromkeys([*first, *all_tests(room, root)]))


def target_of(test):
    return COMMANDS.get(test, (test, []))[0]
