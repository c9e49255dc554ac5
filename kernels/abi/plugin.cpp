// SPDX-License-Identifier: Apache-2.0
#include "kernels/abi/plugin.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <system_error>

#include "kernels/abi/claim.h"
#include "kernels/abi/plugin_memory.h"

namespace assay::kernels::abi {
namespace {

/// Structs grow at their end: what a shorter one lacks reads as zero.
template <class T>
T shortest(const T& theirs) {
  T ours{};
  std::memcpy(&ours, &theirs, std::min<std::size_t>(theirs.size, sizeof ours));
  ours.size = static_cast<std::uint32_t>(sizeof ours);
  return ours;
}

class Plugin final : public DeviceUnderTest {
 public:
  explicit Plugin(std::string path) : path_(std::move(path)) {
    load();
    read_device();
    read_claims();
  }

  [[nodiscard]] std::string name() const override {
    return api_.name != nullptr ? api_.name : std::filesystem::path(path_).filename().string();
  }
  [[nodiscard]] std::vector<Claim> claims() const override { return claims_; }
  [[nodiscard]] std::string last_error() const override { return error_; }

  Status run(const Claim& claim, const assay_dut_call& call) const override {
    assay_dut_call ours = call;
    ours.size = sizeof ours;
    ours.entry = claim.entry;
    ours.tactic = claim.tactic;
    error_.clear();
    if (!device_) return launch(ours);
    return device_->run(
        claim, ours, [this](const assay_dut_call& c) { return launch(c); }, error_);
  }

 private:
  [[noreturn]] void reject(const std::string& why) const {
    throw std::invalid_argument("the plugin '" + path_ + "' " + why);
  }

  void load() {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path_, error))
      reject("is not a file; name the shared object to certify");
    // A bare name would be searched for in the system's library folders.
    const std::string path = std::filesystem::absolute(path_).string();
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) reject(std::string("cannot be loaded: ") + dlerror());
    const auto get_api =
        reinterpret_cast<assay_dut_get_api_function>(dlsym(library, "assay_dut_get_api"));
    if (get_api == nullptr)
      reject("does not export assay_dut_get_api; export it with C linkage and default visibility");
    const assay_dut_api* const api = get_api(ASSAY_DUT_ABI_VERSION);
    if (api == nullptr)
      reject("does not speak version " + std::to_string(ASSAY_DUT_ABI_VERSION) +
             " of the interface or anything older (assay_dut_get_api returned NULL); build it with "
             "the assay_dut.h of this assay");
    if (api->size < offsetof(assay_dut_api, last_error))
      reject("returns an assay_dut_api of " + std::to_string(api->size) +
             " bytes; set its size to sizeof(assay_dut_api)");
    api_ = shortest(*api);
    if (api_.version < 1 || api_.version > ASSAY_DUT_ABI_VERSION)
      reject("answers in version " + std::to_string(api_.version) +
             " of the interface, but was asked for at most " +
             std::to_string(ASSAY_DUT_ABI_VERSION) + "; set version to ASSAY_DUT_ABI_VERSION");
    if (api_.describe == nullptr || api_.run == nullptr)
      reject("has no function describe or run; both must be set");
    if (api_.entries < 1)
      reject("has " + std::to_string(api_.entries) + " entries; it needs at least one");
  }

  void read_device() {
    if (api_.device == nullptr) return;
    if (api_.device->size <= offsetof(assay_dut_device, synchronize))
      reject("returns an assay_dut_device of " + std::to_string(api_.device->size) +
             " bytes; set its size to sizeof(assay_dut_device)");
    const assay_dut_device device = shortest(*api_.device);
    if (device.allocate == nullptr || device.release == nullptr || device.to_device == nullptr ||
        device.to_host == nullptr || device.synchronize == nullptr)
      reject("names a device without allocate, release, to_device, to_host or synchronize");
    device_ = std::make_unique<PluginMemory>(device);
  }

  void read_claims() {
    std::set<std::string> names;
    for (std::int32_t entry = 0; entry < api_.entries; ++entry) {
      // Room behind the claim: a newer plugin's struct may be longer than ours.
      struct {
        assay_dut_claim claim;
        char beyond[1024];
      } memory{default_claim(), {}};
      if (const std::int32_t status = api_.describe(entry, &memory.claim); status != 0)
        reject("does not describe entry " + std::to_string(entry) + ": describe returned " +
               std::to_string(status) + error_text());
      Claim claim;
      try {
        claim = from_abi(memory.claim);
      } catch (const std::invalid_argument& e) {
        reject(std::string("makes a wrong claim: ") + e.what());
      }
      if (!names.insert(claim.name).second)
        reject("has two entries called '" + claim.name + "'; give each a name of its own");
      if ((claim.flags & ASSAY_DUT_GRAPH) != 0 && (!device_ || !device_->has_graphs()))
        reject("claims ASSAY_DUT_GRAPH for entry '" + claim.name +
               "' but its device lacks stream_create, capture_begin, capture_end, graph_launch or "
               "graph_release");
      claim.entry = entry;
      for (claim.tactic = 0; claim.tactic < claim.tactics; ++claim.tactic) claims_.push_back(claim);
    }
  }

  [[nodiscard]] std::string error_text() const {
    const char* const text = api_.last_error != nullptr ? api_.last_error() : nullptr;
    return text != nullptr && *text != '\0' ? std::string(": ") + text : std::string();
  }

  Status launch(const assay_dut_call& call) const {
    std::int32_t status = ASSAY_DUT_ERROR;
    try {
      status = api_.run(&call);
    } catch (const std::exception& e) {
      error_ = std::string("threw an exception: ") + e.what();
      return Status::failed;
    } catch (...) {
      error_ = "threw something that is no std::exception";
      return Status::failed;
    }
    if (status == ASSAY_DUT_OK) return Status::ok;
    if (status == ASSAY_DUT_DECLINED) return Status::not_supported;
    error_ = "returned " + std::to_string(status) + error_text();
    return Status::failed;
  }

  std::string path_;
  assay_dut_api api_{};
  std::unique_ptr<PluginMemory> device_;
  std::vector<Claim> claims_;
  mutable std::string error_;  // calls are made one after the other
};

}  // namespace

std::shared_ptr<const DeviceUnderTest> open_plugin(const std::string& path) {
  return std::make_shared<Plugin>(path);
}

}  // namespace assay::kernels::abi
