// SPDX-License-Identifier: Apache-2.0
#pragma once
// A verb of the command line: a row here, a file verb_<name>.cpp that declares its options and runs
// it.

#include <CLI/App.hpp>
#include <array>
#include <functional>
#include <string_view>

#include "tools/exit_code.h"

namespace assay::tools {

/// Runs the verb with the options as parsed. Throws std::invalid_argument or std::runtime_error
/// with one sentence for whatever the user can mend (exit 4); any other exception is an internal
/// error (exit 3).
using Action = std::function<ExitCode()>;

struct Verb {
  std::string_view name;
  std::string_view summary;
  std::string_view examples;  ///< one per line; --help leads with them
  Action (*declare)(CLI::App& app);
};

Action declare_formats(CLI::App& app);
Action declare_convert(CLI::App& app);
Action declare_quantize(CLI::App& app);
Action declare_dequantize(CLI::App& app);
Action declare_identify(CLI::App& app);
Action declare_reencode(CLI::App& app);
Action declare_certify(CLI::App& app);
Action declare_vectors(CLI::App& app);
Action declare_judge(CLI::App& app);
Action declare_claim(CLI::App& app);
Action declare_list(CLI::App& app);
Action declare_report(CLI::App& app);
Action declare_verify_package(CLI::App& app);
Action declare_diff(CLI::App& app);
Action declare_reproduce(CLI::App& app);
Action declare_probe(CLI::App& app);
Action declare_replay(CLI::App& app);
Action declare_attribute(CLI::App& app);
Action declare_ablate(CLI::App& app);
Action declare_schedule(CLI::App& app);
Action declare_bench(CLI::App& app);
Action declare_mma(CLI::App& app);
Action declare_gemm(CLI::App& app);
Action declare_mutants(CLI::App& app);
Action declare_audit_peers(CLI::App& app);

inline constexpr std::array verbs{
    Verb{"formats", "print the tables of formats, block formats, packed blocks and policy profiles",
         "assay formats\n"
         "assay formats e2m1\n"
         "assay formats nvfp4 --json nvfp4.json\n",
         declare_formats},
    Verb{"convert", "round the elements of an array to the codes of a format",
         "assay convert --to e2m1 x.npy codes.npy\n"
         "assay convert --from f64 --to e4m3 --rounding nearest_even --policy cuda13 x.npy "
         "codes.npy\n"
         "assay convert --to e2m1 --rounding stochastic --random-bits 8 --seed 7 x.npy codes.npy\n",
         declare_convert},
    Verb{"quantize", "quantize an array to a block format",
         "assay quantize --block nvfp4 w.npy w.safetensors\n"
         "assay quantize --block mxfp4-rceil --from bf16 w.npy w.safetensors\n"
         "assay quantize --block article --scales s.npy w.npy w.safetensors\n",
         declare_quantize},
    Verb{"dequantize", "turn quantized arrays and checkpoints back into numbers",
         "assay dequantize w.safetensors w.npy\n"
         "assay dequantize model.gguf --list\n"
         "assay dequantize model.gguf --tensor blk.0.ffn_up.weight w.npy\n"
         "assay dequantize model/ all.safetensors --json done.json\n",
         declare_dequantize},
    Verb{"identify", "say which rule and order of operations made given scale factors",
         "assay identify scales.npy x.npy\n"
         "assay identify scales.npy x.npy --codes codes.npy --block 32 --json found.json\n",
         declare_identify},
    Verb{"reencode", "turn MXFP4 into NVFP4 or FP8 blocks without losing a bit, or refuse",
         "assay reencode --to nvfp4 w.safetensors w-nvfp4.safetensors\n"
         "assay reencode --to fp8-deepseek-v4-weight w.safetensors w-fp8.safetensors\n",
         declare_reencode},
    Verb{"certify", "hold a device's kernels against the golden model",
         "assay certify cpu\n"
         "assay certify cpu --profile gemm-nvfp4-1.0 --jobs 2 --junit report.xml\n"
         "assay certify cpu --journal run.jsonl --resume --json report.json\n"
         "assay certify cpu --property quantize.nvfp4 --cases 10000 --seed 7\n"
         "assay certify cuda --cases 100 --json report.json --html report.html\n",
         declare_certify},
    Verb{"report", "make the report of a run, or of all its shards, from journals",
         "assay report run.jsonl --html report.html\n"
         "assay report shard1.jsonl shard2.jsonl --json report.json --junit report.xml\n",
         declare_report},
    Verb{"verify-package", "check the evidence that certify --package wrote",
         "assay verify-package evidence\n"
         "assay verify-package evidence --rerun ./kernel.so\n",
         declare_verify_package},
    Verb{"diff", "list the properties whose status differs between two runs",
         "assay diff yesterday.json today.json\n"
         "assay diff yesterday.jsonl today.json --json changes.json\n",
         declare_diff},
    Verb{"reproduce", "ask the one case again that a failure named",
         "assay reproduce assay1:eyJkZXZpY2...\n"
         "assay reproduce assay1:eyJkZXZpY2... --device ./fixed.so\n",
         declare_reproduce},
    Verb{"vectors", "write cases as text for a simulator that cannot be called",
         "assay vectors quantize-1.0 --claim 'quantize a=mxfp4-rceil' --out cases.txt\n"
         "assay vectors gemm.nvfp4 --claim 'gemm a=nvfp4 b=nvfp4 accumulator=truncating "
         "fraction_bits=25' --cases 20 --out cases.txt\n"
         "assay vectors golden --out vectors.json\n",
         declare_vectors},
    Verb{"judge", "rule on a simulator's answers to the cases of vectors",
         "assay judge cases.txt answers.txt\n"
         "assay judge cases.txt - --json report.json < answers.txt\n",
         declare_judge},
    Verb{"claim", "propose a claim for kernels whose accumulator is not known",
         "assay claim infer libmine.so\n"
         "assay claim infer my_triton.py --entry gemm.nvfp4.nvfp4.fp32\n",
         declare_claim},
    Verb{"list", "print a device's entries, the properties, or the frozen profiles",
         "assay list entries cpu\n"
         "assay list properties gemm.nvfp4_nvfp4\n"
         "assay list profiles gemm-nvfp4-1.0 --json profile.json\n",
         declare_list},
    Verb{"mma", "compute dot products with the bits of a matrix unit",
         "assay mma --list\n"
         "assay mma --model hopper.wgmma.e4m3.f32 --a A.npy --b B.npy --c C.npy D.npy\n",
         declare_mma},
    Verb{"gemm", "compute a GEMM with the bits of a kernel whose reduction plan is known",
         "assay gemm --plan plan.json --a A.npy --b B.npy D.npy\n"
         "assay gemm --plan plan.json --a A.npy --b B.npy --c C.npy --beta 0.5 --threads 2 D.npy\n"
         "assay gemm --infer questions --a-format e4m3 --k 1024\n"
         "assay gemm --infer questions --a-format e4m3 --k 1024 --output bf16 --outputs D.npy\n"
         "assay gemm --infer answers --device ./kernel.so --entry gemm.nvfp4.nvfp4.fp32\n",
         declare_gemm},
    Verb{"mutants",
         "hold kernels that are wrong on purpose against the catalogue and name their faults",
         "assay mutants\n"
         "assay mutants --only ties_away --json mutants.json\n"
         "assay mutants libwrong.so --truth faults.json\n",
         declare_mutants},
    Verb{"probe", "run the matrix instructions of the GPU at hand beside their models",
         "assay probe --json probe.json\n"
         "assay probe --model hopper.wgmma.e4m3.f32 --outputs 1e9\n",
         declare_probe},
    Verb{"replay", "run a recorded training step under precision recipes",
         "assay replay embedded --recipe nvfp4\n"
         "assay replay embedded --recipe nvfp4 --recipe mxfp4-rceil --html report.html\n"
         "assay replay embedded --recipe nvfp4-w4a4 --both --html forecast.html\n"
         "assay replay my_recording --recipe my_recipe.json --json report.json\n",
         declare_replay},
    Verb{"attribute", "say which operands of a network a recipe's error comes from",
         "assay attribute embedded --recipe nvfp4-w4a4\n"
         "assay attribute embedded --recipe nvfp4-w4a4 --without \"layer 5\"\n"
         "assay attribute embedded --recipe mxfp4-rceil --measure --json blame.json\n",
         declare_attribute},
    Verb{"ablate", "price block sizes and scale rules of a network's weights",
         "assay ablate embedded\n"
         "assay ablate my_recording --class expert --json ablation.json\n",
         declare_ablate},
    Verb{"schedule", "say from which training step on a recipe is harmless",
         "assay schedule run/step-100 run/step-300 run/step-1000 --recipe article\n"
         "assay schedule run/step-100 run/step-1000 --recipe nvfp4 --max-flips 0.1\n",
         declare_schedule},
    Verb{"bench", "measure how fast the codec is, beside the CUDA headers",
         "assay bench codec\n"
         "assay bench codec --elements 1048576 --threads 1\n",
         declare_bench},
    Verb{"audit-peers", "hold the conversions of other libraries against golden",
         "assay audit-peers\n"
         "assay audit-peers --python venv/bin/python --markdown audit.md\n"
         "assay audit-peers --peer cuda --full --json audit.json\n",
         declare_audit_peers},
};

}  // namespace assay::tools
