// SPDX-License-Identifier: Apache-2.0
#include "proptests/batch_json.h"

#include <stdexcept>

namespace assay::proptests {

using Json = nlohmann::ordered_json;

Json to_json(const Diagnosis& d) {
  Json candidates = Json::array();
  for (const Candidate& c : d.candidates)
    candidates.push_back({{"id", c.id},
                          {"name", c.name},
                          {"explained", c.explained},
                          {"failing", c.failing},
                          {"consistent", c.consistent},
                          {"passing", c.passing},
                          {"where", c.where}});
  return {{"candidates", std::move(candidates)}, {"evidence", d.evidence}};
}

Diagnosis diagnosis_from_json(const Json& j) {
  Diagnosis d;
  for (const Json& c : j.at("candidates"))
    d.candidates.push_back({c.at("id"), c.at("name"), c.at("explained"), c.at("failing"),
                            c.at("consistent"), c.at("passing"), c.value("where", "")});
  d.evidence = j.at("evidence");
  return d;
}

Json to_json(const Counterexample& c) {
  Json operands = Json::array();
  for (const NamedText& o : c.operands) operands.push_back({{"name", o.name}, {"text", o.text}});
  return {{"case_index", c.case_index},
          {"token", c.token},
          {"shrink_steps", c.shrink_steps},
          {"where", c.mismatch.where},
          {"criterion", c.mismatch.criterion},
          {"expected", c.mismatch.expected},
          {"observed", c.mismatch.observed},
          {"exact", c.mismatch.exact},
          {"distance", c.mismatch.distance},
          {"operands", std::move(operands)},
          {"replay", c.replay},
          {"diagnosis", to_json(c.diagnosis)}};
}

Counterexample counterexample_from_json(const Json& j) {
  Counterexample c;
  c.case_index = j.at("case_index");
  c.token = j.at("token");
  c.shrink_steps = j.at("shrink_steps");
  c.mismatch = {j.at("where"),    j.at("criterion"), j.at("expected"),
                j.at("observed"), j.at("exact"),     j.at("distance")};
  for (const Json& o : j.at("operands")) c.operands.push_back({o.at("name"), o.at("text")});
  c.replay = j.at("replay");
  c.diagnosis = diagnosis_from_json(j.at("diagnosis"));
  return c;
}

Json to_json(const std::vector<ErrorPoint>& points) {
  Json list = Json::array();
  for (const ErrorPoint& p : points) list.push_back({p.exact, p.allowed, p.error});
  return list;
}

Json to_json(const BatchResult& b) {
  return {{"property", b.property},
          {"first", b.range.first},
          {"count", b.range.count},
          {"status", name_of(b.status)},
          {"cases", b.cases},
          {"undecided", b.undecided},
          {"not_supported", b.not_supported},
          {"flakes", b.flakes},
          {"points", to_json(b.points)},
          {"detail", b.detail},
          {"counterexample", b.counterexample ? to_json(*b.counterexample) : Json(nullptr)},
          {"seconds", b.seconds}};
}

BatchResult batch_from_json(const Json& j) {
  BatchResult b;
  b.property = j.at("property");
  b.range = {j.at("first"), j.at("count")};
  b.status = status_named(j.at("status").get<std::string>());
  b.cases = j.at("cases");
  b.undecided = j.at("undecided");
  b.not_supported = j.at("not_supported");
  b.flakes = j.at("flakes");
  for (const Json& p : j.at("points")) b.points.push_back({p.at(0), p.at(1), p.at(2)});
  b.detail = j.at("detail");
  if (!j.at("counterexample").is_null())
    b.counterexample = counterexample_from_json(j.at("counterexample"));
  b.seconds = j.at("seconds");
  return b;
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace assay::proptests
