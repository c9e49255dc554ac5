// SPDX-License-Identifier: Apache-2.0
#include "tools/operand_journal.h"

namespace assay::tools {
namespace {

using Json = Journal::Json;

constexpr int format_version = 1;

Json to_json(const simulator::OperandResult& r) {
  const simulator::TensorReplay& t = r.tensor;
  return {{"recipe", r.recipe},
          {"tensor", t.tensor},
          {"op", t.op},
          {"role", static_cast<int>(t.role)},
          {"class", static_cast<int>(t.tensor_class)},
          {"place", {t.layer, t.expert}},
          {"shape", {t.rows, t.cols}},
          {"format", t.format},
          {"stand_in", t.stand_in_scales},
          {"error", {t.error.gain, t.error.nsr, t.error.relative_mse}},
          {"worst", {t.worst_block, t.worst_block_error}},
          {"counts", {t.clipped, t.flushed, t.reencode_changed}},
          {"codes", t.codes}};
}

simulator::OperandResult from_json(const Json& j) {
  simulator::OperandResult r;
  simulator::TensorReplay& t = r.tensor;
  r.recipe = j.at("recipe");
  t.tensor = j.at("tensor");
  t.op = j.at("op");
  t.role = static_cast<simulator::Role>(j.at("role").get<int>());
  t.tensor_class = static_cast<simulator::TensorClass>(j.at("class").get<int>());
  t.layer = j.at("place").at(0);
  t.expert = j.at("place").at(1);
  t.rows = j.at("shape").at(0);
  t.cols = j.at("shape").at(1);
  t.format = j.at("format");
  t.stand_in_scales = j.at("stand_in");
  t.error = {j.at("error").at(0), j.at("error").at(1), j.at("error").at(2)};
  t.worst_block = j.at("worst").at(0);
  t.worst_block_error = j.at("worst").at(1);
  t.clipped = j.at("counts").at(0);
  t.flushed = j.at("counts").at(1);
  t.reencode_changed = j.at("counts").at(2);
  t.codes = j.at("codes").get<std::array<std::uint64_t, 16>>();
  return r;
}

}  // namespace

OperandJournal::OperandJournal(const std::filesystem::path& path, const std::string& key,
                               bool resume)
    : journal_(path, {"assay_operand_journal", format_version, "assay replay --operands"}, key,
               resume, [&](const Json& line) {
                 std::vector<simulator::OperandResult> results;
                 for (const Json& r : line.at("results")) results.push_back(from_json(r));
                 found_[line.at("operand")] = std::move(results);
               }) {}

void OperandJournal::append(std::size_t operand,
                            const std::vector<simulator::OperandResult>& results) {
  Json list = Json::array();
  for (const auto& r : results) list.push_back(to_json(r));
  journal_.append({{"operand", operand}, {"results", std::move(list)}});
}

}  // namespace assay::tools
