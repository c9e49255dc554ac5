// SPDX-License-Identifier: Apache-2.0
#include "tools/audit/python_peers.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "formats/names.h"
#include "tools/audit/pipe_process.h"

namespace assay::tools::audit {
namespace {

using formats::FormatSpec;
using formats::Profile;
using nlohmann::json;

/// Which conventions a peer's conversion is held against: the first row that fits. The nearest
/// profile there is; what it says otherwise is a finding (findings.cpp).
struct Convention {
  std::string_view peer;
  const FormatSpec* destination;  ///< null: any
  bool saturates;
  const Profile* profile;
};
constexpr Convention conventions[] = {
    {"ml_dtypes", nullptr, false, &formats::ml_dtypes},
    {"torch", &formats::e5m2, false, &formats::cuda13_nosat},
    {"torch", &formats::e8m0, false, &formats::cuda13_nosat},
    {"torch", nullptr, false, &formats::cuda13},
    {"gfloat", nullptr, true, &formats::saturating},
    {"gfloat", nullptr, false, &formats::ieee},
};

/// gfloat needs minutes for each of its conversions of all FP32 numbers.
bool fast(std::string_view peer) { return peer != "gfloat"; }

const Profile& convention(std::string_view peer, const FormatSpec& destination, bool saturates) {
  for (const Convention& row : conventions) {
    if (row.peer == peer && row.saturates == saturates &&
        (row.destination == nullptr || row.destination == &destination))
      return *row.profile;
  }
  throw std::logic_error(fmt::format("no convention for {} to {}", peer, destination.name));
}

class Casting {
 public:
  Casting(std::shared_ptr<PipeProcess> process, std::string peer, std::size_t index)
      : process_(std::move(process)), peer_(std::move(peer)), index_(index) {}

  /// An array with an element that is refused is asked again in halves, down to the element.
  void operator()(std::span<const std::uint32_t> in, std::span<std::uint32_t> out) const {
    if (in.empty() || ask(in, out)) return;
    if (in.size() == 1) {
      out[0] = refused;
      return;
    }
    const std::size_t half = in.size() / 2;
    (*this)(in.first(half), out.first(half));
    (*this)(in.subspan(half), out.subspan(half));
  }

 private:
  bool ask(std::span<const std::uint32_t> in, std::span<std::uint32_t> out) const {
    const std::string request = fmt::format("{} {} {}\n", peer_, index_, in.size());
    process_->write(std::as_bytes(std::span(request)));
    process_->write(std::as_bytes(in));
    const std::string answer = process_->read_line();
    if (answer.starts_with("refused ")) return false;
    if (answer != "codes")
      throw std::runtime_error(fmt::format("the script of the peers answered '{}'", answer));
    process_->read(std::as_writable_bytes(out));
    return true;
  }

  std::shared_ptr<PipeProcess> process_;
  std::string peer_;
  std::size_t index_;
};

Cast cast_of(const std::shared_ptr<PipeProcess>& process, const std::string& peer,
             std::size_t index, const json& row) {
  const FormatSpec& destination = formats::find_format(row.at(2).get<std::string>());
  const auto mode = row.at(3).get<std::string>();
  const bool saturates = row.at(4).get<bool>();
  std::string function =
      fmt::format("{} to {}", row.at(1).get<std::string>(), row.at(0).get<std::string>());
  if (peer == "gfloat") function += fmt::format(", {}, sat={}", mode, saturates ? "True" : "False");
  return {peer,
          std::move(function),
          &formats::find_format(row.at(1).get<std::string>()),
          &destination,
          formats::find_rounding_mode(mode),
          &convention(peer, destination, saturates),
          Casting(process, peer, index),
          false,
          fast(peer)};
}

}  // namespace

std::string peers_script() {
  std::error_code error;
  const std::filesystem::path beside =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "assay_peers.py";
  if (!error && std::filesystem::exists(beside)) return beside.string();
  throw std::runtime_error(
      fmt::format("'{}' is missing: it is installed beside assay", beside.string()));
}

std::vector<Peer> python_peers(const std::string& python, const std::string& script) {
  const auto process = std::make_shared<PipeProcess>(std::vector{python, script});
  const json greeting = json::parse(process->read_line(), nullptr, false);
  if (greeting.is_discarded() || !greeting.is_object() || !greeting.contains("peers"))
    throw std::runtime_error(
        fmt::format("'{}' does not answer like Python; name one with --python", python));
  std::vector<Peer> peers;
  for (const json& row : greeting.at("peers")) {
    Peer peer{row.at("name").get<std::string>(), "", row.value("absent", ""), {}};
    if (peer.absent.empty()) {
      peer.version = fmt::format("{}, Python {}", row.at("version").get<std::string>(),
                                 greeting.at("python").get<std::string>());
      std::size_t index = 0;
      for (const json& cast : row.at("casts"))
        peer.casts.push_back(cast_of(process, peer.name, index++, cast));
    }
    peers.push_back(std::move(peer));
  }
  return peers;
}

}  // namespace assay::tools::audit
