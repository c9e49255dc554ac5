// SPDX-License-Identifier: Apache-2.0
#pragma once
// A counterexample as files that other tools read: what the device was asked, bit for bit.
//
//   case.json        the property, where and how the answer is wrong, the claim, the scalars of the
//                    call, and for each operand its file, type and layout
//   a_values.npy ... an operand each, named by role and part. One element an item, codes of 4 bits
//                    too: FP32 as float32, FP16 as float16, FP64 as float64, every other type as
//                    unsigned integers that hold its bits

#include <cstdint>
#include <filesystem>
#include <string>

#include "proptests/case_run.h"
#include "proptests/verdict.h"

namespace assay::proptests {

/// Writes the case of `verdict`, which must have a counterexample, into the new folder
/// `folder`/PROPERTY; a second case that was asked along with it into PROPERTY/companion.
/// `runner` is one for that property, with the seed and the entry of the run. A case of the
/// library's own code has no call: its operands stand in case.json as text. Throws
/// simulator::OutputError.
void save_case(const std::filesystem::path& folder, const CaseRunner& runner,
               const Verdict& verdict);

}  // namespace assay::proptests
