// SPDX-License-Identifier: Apache-2.0
#pragma once
// Devices that are not here: calls written as text for a simulator, and its answers read back
// (docs/certify.md, "RTL and simulators"). Words are separated by white space; codes are
// hexadecimal, an element each, row by row. "case" and "end" begin a line; '#' begins a comment.
//
//   assay-vectors 1                    assay-answers 1
//   claim quantize a=mxfp4-rceil       case 0
//   select quantize.mxfp4-rceil        q values
//   cases 100                          0 3 f ...
//   seed 1                             q scales
//   case 0                             7f
//   call m 2 n 0 k 3 groups 0 alpha 3f800000 beta 00000000 limit 00000000 estimator 0 seed 0
//   in x values fp32 2 2 3             case 1
//   3f800000 00000000 40000000         declined
//   ...                                ...
//   out q values e2m1 2 2 3
//   out q scales e8m0 2 2 1
//   end 100                            end 100
//
// A tensor: role and part (assay_dut.h), type, number of dimensions, dimensions. Scale factors in
// the 128x4 layout are one dimension, in the order of their memory.

#include <istream>
#include <memory>
#include <ostream>
#include <string>

#include "proptests/device.h"

namespace assay::proptests {

/// What the judge needs to generate the same cases again.
struct VectorHeader {
  std::string claim;       ///< kernels/abi/claim_text.h
  std::string selection;   ///< property, prefix or profile
  std::int64_t cases = 0;  ///< per property
  std::uint64_t seed = 1;
};

/// One call as above, from `call` to the last `out`.
[[nodiscard]] std::string vector_text(const Call& call);

/// Writes every call that it is asked, and declines it.
class VectorWriter final : public Device {
 public:
  VectorWriter(std::ostream& out, const VectorHeader& header);
  [[nodiscard]] std::string name() const override { return "vectors"; }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override;
  std::vector<Trial> ask(std::span<const Call> calls) override;
  /// Writes the end; the number of cases.
  std::int64_t finish();

 private:
  std::ostream& out_;
  VectorHeader header_;
  std::int64_t written_ = 0;
};

/// Answers a call with what the file of answers says to the case of the same text.
class AnswerReader final : public Device {
 public:
  /// Reads both files whole. Throws std::runtime_error, naming file, line and what was expected,
  /// where the cases of the two do not correspond or one of them ends early.
  AnswerReader(std::istream& vectors, std::string vectors_name, std::istream& answers,
               std::string answers_name);
  ~AnswerReader() override;
  [[nodiscard]] const VectorHeader& header() const;
  [[nodiscard]] std::string name() const override;
  [[nodiscard]] std::vector<kernels::Claim> claims() const override;
  std::vector<Trial> ask(std::span<const Call> calls) override;
  /// Throws the first std::runtime_error that ask() met: an answer that does not fit its call, or a
  /// call that the file of vectors does not have.
  void require_sound() const;

 private:
  struct Files;
  std::unique_ptr<Files> files_;
};

}  // namespace assay::proptests
