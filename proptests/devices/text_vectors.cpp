// SPDX-License-Identifier: Apache-2.0
#include "proptests/devices/text_vectors.h"

#include <fmt/format.h>

#include <bit>

#include "kernels/abi/claim_text.h"
#include "proptests/devices/text_tensor.h"

namespace assay::proptests {

std::string vector_text(const Call& call) {
  const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
  std::string text = fmt::format(
      "call m {} n {} k {} groups {} alpha {:08x} beta {:08x} limit {:08x} estimator {} seed {}\n",
      call.m, call.n, call.k, call.groups, bits(call.alpha), bits(call.beta), bits(call.limit),
      call.estimator, call.seed);
  for (const Operand& in : call.in) {
    const Rows rows = rows_of(in.shape);
    text += fmt::format("in {} {}\n", tensor_name(in.shape), tensor_shape(in.shape));
    for (std::int64_t r = 0; r < rows.count; ++r) {
      const std::uint8_t* row = in.bytes.data() + r * rows.row_bytes();
      for (std::int64_t i = 0; i < rows.length; ++i)
        text +=
            fmt::format("{}{:0{}x}", i == 0 ? "" : " ", element(row, i, rows.bits), rows.bits / 4);
      text += "\n";
    }
  }
  for (const Operand& out : call.out)
    text += fmt::format("out {} {}\n", tensor_name(out.shape), tensor_shape(out.shape));
  return text;
}

VectorWriter::VectorWriter(std::ostream& out, const VectorHeader& header)
    : out_(out), header_(header) {
  out_ << fmt::format("assay-vectors 1\nclaim {}\nselect {}\ncases {}\nseed {}\n", header.claim,
                      header.selection, header.cases, header.seed);
}

std::vector<kernels::Claim> VectorWriter::claims() const {
  return {kernels::abi::parse_claim(header_.claim)};
}

std::vector<Trial> VectorWriter::ask(std::span<const Call> calls) {
  std::vector<Trial> trials(calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    out_ << "case " << written_++ << "\n" << vector_text(calls[i]);
    trials[i].first.outcome = Outcome::declined;
  }
  return trials;
}

std::int64_t VectorWriter::finish() {
  out_ << "end " << written_ << "\n" << std::flush;
  return written_;
}

}  // namespace assay::proptests
