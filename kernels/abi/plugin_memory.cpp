// SPDX-License-Identifier: Apache-2.0
#include "kernels/abi/plugin_memory.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace assay::kernels::abi {
namespace {

/// Keeps the alignment that allocators give: vector loads need it.
constexpr std::size_t margin = 256;
constexpr std::uint8_t margin_byte = 0xC9;

void require(std::int32_t status, const char* what) {
  if (status != 0)
    throw std::runtime_error(std::string("the device's ") + what + " returned " +
                             std::to_string(status));
}

/// One tensor on the device: margin, data, margin.
class Copy {
 public:
  Copy(const assay_dut_device& device, const assay_dut_tensor& host)
      : device_(device), host_(host), before_(host.bytes + 2 * margin, margin_byte) {
    if (host.bytes != 0) std::memcpy(before_.data() + margin, host.data, host.bytes);
    require(device_.allocate(&memory_, before_.size()), "allocate");
  }
  ~Copy() { (void)device_.release(memory_); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  void send() const {
    require(device_.to_device(memory_, before_.data(), before_.size()), "to_device");
  }
  [[nodiscard]] std::vector<std::uint8_t> fetch() const {
    std::vector<std::uint8_t> after(before_.size());
    require(device_.to_host(after.data(), memory_, after.size()), "to_host");
    return after;
  }
  [[nodiscard]] assay_dut_tensor tensor() const {
    assay_dut_tensor t = host_;
    t.data = static_cast<std::uint8_t*>(memory_) + margin;
    return t;
  }
  /// To the host's tensor, bytes between rows and all.
  void store(const std::vector<std::uint8_t>& after) const {
    const auto untouched = [](std::uint8_t byte) { return byte == margin_byte; };
    if (!std::all_of(after.begin(), after.begin() + margin, untouched) ||
        !std::all_of(after.end() - margin, after.end(), untouched))
      throw std::runtime_error("wrote outside a tensor of " + std::to_string(host_.bytes) +
                               " bytes (role " + std::to_string(host_.role) + ", part " +
                               std::to_string(host_.part) + ") in device memory");
    if (host_.bytes != 0) std::memcpy(host_.data, after.data() + margin, host_.bytes);
  }

 private:
  const assay_dut_device& device_;
  assay_dut_tensor host_;
  std::vector<std::uint8_t> before_;
  void* memory_ = nullptr;
};

/// Instantiates the capture, launches it, and gives it back whatever happens.
class Graph {
 public:
  Graph(const assay_dut_device& device, void* stream) : device_(device) {
    require(device_.capture_end(stream, &graph_), "capture_end");
  }
  ~Graph() { (void)device_.graph_release(graph_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch(void* stream) const { require(device_.graph_launch(graph_, stream), "graph_launch"); }

 private:
  const assay_dut_device& device_;
  void* graph_ = nullptr;
};

}  // namespace

bool PluginMemory::has_graphs() const {
  return device_.stream_create != nullptr && device_.capture_begin != nullptr &&
         device_.capture_end != nullptr && device_.graph_launch != nullptr &&
         device_.graph_release != nullptr;
}

Status PluginMemory::run(const Claim& claim, const assay_dut_call& call, const Launch& launch,
                         std::string& error) try {
  const bool captured = (claim.flags & ASSAY_DUT_GRAPH) != 0;
  assay_dut_call there = call;
  if ((captured || (claim.flags & ASSAY_DUT_STREAM) != 0) && device_.stream_create != nullptr) {
    if (stream_ == nullptr) require(device_.stream_create(&stream_), "stream_create");
    there.stream = stream_;
  }
  std::vector<std::unique_ptr<Copy>> copies;
  std::vector<assay_dut_tensor> tensors;
  const auto add = [&](const assay_dut_tensor* host, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      copies.push_back(std::make_unique<Copy>(device_, host[i]));
      copies.back()->send();
      tensors.push_back(copies.back()->tensor());
    }
  };
  add(call.in, call.n_in);
  add(call.out, call.n_out);
  there.in = tensors.data();
  there.out = tensors.data() + call.n_in;

  const Status status = launch(there);
  if (status != Status::ok) return status;
  require(device_.synchronize(there.stream), "synchronize");
  std::vector<std::vector<std::uint8_t>> first;
  for (const auto& copy : copies) copy->store(first.emplace_back(copy->fetch()));
  if (!captured) return Status::ok;

  for (const auto& copy : copies) copy->send();
  require(device_.capture_begin(there.stream), "capture_begin");
  const Status while_captured = launch(there);
  const Graph graph(device_, there.stream);
  if (while_captured != Status::ok) {
    error = "ran, but not while its stream was captured" + (error.empty() ? error : ": " + error);
    return Status::failed;
  }
  graph.launch(there.stream);
  require(device_.synchronize(there.stream), "synchronize");
  for (std::size_t i = 0; i < copies.size(); ++i)
    if (copies[i]->fetch() != first[i] && (claim.flags & ASSAY_DUT_DETERMINISTIC) != 0) {
      error = "the captured graph gives other bits than the launch";
      return Status::failed;
    }
  return Status::ok;
} catch (const std::runtime_error& e) {
  error = e.what();
  return Status::failed;
}

}  // namespace assay::kernels::abi
