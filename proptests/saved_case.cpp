// SPDX-License-Identifier: Apache-2.0
#include "proptests/saved_case.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/abi/claim_text.h"
#include "proptests/batch_json.h"
#include "proptests/devices/text_tensor.h"
#include "proptests/token.h"
#include "simulator/npy.h"

namespace assay::proptests {
namespace {

using Json = nlohmann::ordered_json;
using simulator::Dtype;

struct Item {
  std::string_view type;  ///< as type_name() has it
  Dtype dtype;
};
constexpr Item numbers[] = {{"fp32", Dtype::f32}, {"fp16", Dtype::f16}, {"fp64", Dtype::f64}};

/// The smallest item that holds an element.
Dtype dtype_of(const std::string& type, int bits) {
  for (const Item& item : numbers)
    if (item.type == type) return item.dtype;
  if (bits <= 8) return Dtype::u8;
  if (bits <= 16) return Dtype::u16;
  return bits <= 32 ? Dtype::u32 : Dtype::u64;
}
std::size_t bytes_of_item(int bits) { return bits <= 8 ? 1 : static_cast<std::size_t>(bits) / 8; }

std::vector<std::int64_t> shape_of(const assay_dut_tensor& t) {
  return {t.shape, t.shape + t.ndim};
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  simulator::AtomicFile file(path);
  file.write(text);
  file.commit();
}

void write_operand(const std::filesystem::path& path, const Operand& operand) {
  const Rows rows = rows_of(operand.shape);
  const std::size_t size = bytes_of_item(rows.bits);
  std::vector<std::byte> items;
  items.reserve(static_cast<std::size_t>(rows.count * rows.length) * size);
  for (std::int64_t r = 0; r < rows.count; ++r)
    for (std::int64_t i = 0; i < rows.length; ++i) {
      const std::uint64_t bits = element(operand.bytes.data() + r * rows.row_bytes(), i, rows.bits);
      for (std::size_t b = 0; b < size; ++b)
        items.push_back(static_cast<std::byte>(bits >> (8 * b) & 255U));
    }
  simulator::NpyWriter file(path, dtype_of(type_name(operand.shape), rows.bits),
                            shape_of(operand.shape));
  file.write(items);
  file.commit();
}

Json tensor_json(const assay_dut_tensor& t) {
  return {{"tensor", tensor_name(t)},
          {"type", type_name(t)},
          {"layout", t.layout == ASSAY_DUT_SCALES_128X4 ? "swizzled_128x4" : "row_major"},
          {"shape", shape_of(t)}};
}

Json save_call(const std::filesystem::path& folder, const Call& call) {
  Json in = Json::array();
  for (const Operand& operand : call.in) {
    Json tensor = tensor_json(operand.shape);
    std::string name = tensor["tensor"];
    std::replace(name.begin(), name.end(), ' ', '_');
    tensor["file"] = name + ".npy";
    write_operand(folder / (name + ".npy"), operand);
    in.push_back(std::move(tensor));
  }
  Json out = Json::array();
  for (const Operand& operand : call.out) out.push_back(tensor_json(operand.shape));
  return {{"entry", name_of(call.claim)},
          {"claim", kernels::abi::text_of(call.claim)},
          {"tactic", call.claim.tactic},
          {"m", call.m},
          {"n", call.n},
          {"k", call.k},
          {"groups", call.groups},
          {"alpha_bits", std::bit_cast<std::uint32_t>(call.alpha)},
          {"beta_bits", std::bit_cast<std::uint32_t>(call.beta)},
          {"limit_bits", std::bit_cast<std::uint32_t>(call.limit)},
          {"estimator", call.estimator},
          {"seed", call.seed},
          {"row_gap", call.row_gap},
          {"pad", call.pad},
          {"in", std::move(in)},
          {"out", std::move(out)}};
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw simulator::OutputError(folder.string() + ": cannot be made: " + error.message());
}

}  // namespace

void save_case(const std::filesystem::path& folder, const CaseRunner& runner,
               const Verdict& verdict) {
  const Counterexample& c = verdict.counterexample.value();
  const Token token = parse_token(c.token);
  const ExperimentPtr experiment = follow(runner.generate(token.index), token.path).value();
  const std::filesystem::path place = folder / verdict.property;
  make_folder(place);
  const auto call = experiment->call();
  Json json{
      {"property", verdict.property},   {"section", verdict.section},
      {"statement", verdict.statement}, {"status", name_of(verdict.status)},
      {"counterexample", to_json(c)},   {"call", call ? save_call(place, *call) : Json(nullptr)}};
  if (const Experiment* companion = experiment->companion(); companion != nullptr) {
    if (const auto second = companion->call()) {
      make_folder(place / "companion");
      json["companion"] = save_call(place / "companion", *second);
    }
  }
  write_text(place / "case.json", json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace assay::proptests
