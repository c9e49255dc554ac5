// SPDX-License-Identifier: Apache-2.0
#include "tools/operand_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "simulator/input_error.h"

namespace assay::tools {
namespace {

using Json = nlohmann::json;
using simulator::InputError;
using simulator::OutputError;

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
    : path_(path) {
  const bool exists = std::filesystem::exists(path);
  if (exists && !resume)
    throw InputError(path.string() +
                     ": exists already; go on with it by --resume, or remove it first.");
  const std::uint64_t whole = exists ? read(key) : 0;
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || ::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)
    throw OutputError(path.string() + ": cannot be written: " + std::strerror(errno) + ".");
  if (whole == 0)
    write(Json{{"assay_operand_journal", format_version}, {"run", key}}.dump() + "\n");
}

OperandJournal::~OperandJournal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t OperandJournal::read(const std::string& key) {
  std::ifstream file(path_, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw InputError(path_.string() + ": cannot be read.");
  std::uint64_t whole = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) break;  // torn: that operand is audited again
    const Json line = Json::parse(text.substr(at, end - at), nullptr, false);
    try {
      if (whole == 0) {
        if (line.at("assay_operand_journal") != format_version) throw std::invalid_argument("");
        if (line.at("run") != key)
          throw InputError(path_.string() +
                           ": is the journal of another run: of other tensors, recipes, options or "
                           "another build; name another file.");
      } else {
        std::vector<simulator::OperandResult> results;
        for (const Json& r : line.at("results")) results.push_back(from_json(r));
        found_[line.at("operand")] = std::move(results);
      }
    } catch (const InputError&) {
      throw;
    } catch (const std::exception&) {
      throw InputError(path_.string() + (whole == 0 ? ": is no journal of assay replay --operands."
                                                    : ": is damaged; remove it and start again."));
    }
    at = end + 1;
    whole = at;
  }
  return whole;
}

void OperandJournal::append(std::size_t operand,
                            const std::vector<simulator::OperandResult>& results) {
  Json list = Json::array();
  for (const auto& r : results) list.push_back(to_json(r));
  write(Json{{"operand", operand}, {"results", std::move(list)}}.dump() + "\n");
}

void OperandJournal::write(const std::string& line) {
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t n = ::write(descriptor_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      throw OutputError(path_.string() + ": cannot be written: " + std::strerror(errno) + ".");
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace assay::tools
