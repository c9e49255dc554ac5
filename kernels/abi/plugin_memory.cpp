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

/// Rows of a tensor this many bytes apart are copied one by one: memory between them may be more
/// than a host has.
constexpr std::uint64_t far_apart = std::uint64_t{1} << 24U;

/// Bytes of a tensor that are copied, margins not counted.
struct Stretch {
  std::uint64_t first = 0, bytes = 0;
};
std::vector<Stretch> stretches(const assay_dut_tensor& t) {
  const bool matrix = t.layout == ASSAY_DUT_STRIDED && t.ndim == 2 && t.shape[0] > 1;
  const std::uint64_t stride =
      matrix ? static_cast<std::uint64_t>(t.strides[0]) * t.type_bits / 8 : 0;
  if (stride < far_apart) return {{0, t.bytes}};
  std::vector<Stretch> rows;
  const std::uint64_t width = (static_cast<std::uint64_t>(t.shape[1]) * t.type_bits + 7) / 8;
  for (std::int64_t r = 0; r < t.shape[0]; ++r) {
    const std::uint64_t row = static_cast<std::uint64_t>(r) * stride;
    const std::uint64_t first = row - std::min<std::uint64_t>(row, margin);
    rows.push_back({first, std::min(row + width + margin, t.bytes) - first});
  }
  return rows;
}

/// Rows far apart for which the device has no memory: nothing is wrong with the kernel.
struct NoRoom {};

/// One tensor on the device: margin, data, margin.
class Copy {
 public:
  Copy(const assay_dut_device& device, const assay_dut_tensor& host)
      : device_(device), host_(host), stretches_(stretches(host)) {
    before_.assign(margin, margin_byte);
    const auto* data = static_cast<const std::uint8_t*>(host.data);
    for (const Stretch& s : stretches_)
      before_.insert(before_.end(), data + s.first, data + s.first + s.bytes);
    before_.insert(before_.end(), margin, margin_byte);
    const std::int32_t status = device_.allocate(&memory_, host.bytes + 2 * margin);
    if (status != 0 && stretches_.size() > 1) throw NoRoom{};
    require(status, "allocate");
  }
  ~Copy() { (void)device_.release(memory_); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  void send() const {
    pieces([this](std::uint64_t there, std::size_t here, std::size_t bytes) {
      require(device_.to_device(at(there), before_.data() + here, bytes), "to_device");
    });
  }
  [[nodiscard]] std::vector<std::uint8_t> fetch() const {
    std::vector<std::uint8_t> after(before_.size());
    pieces([this, &after](std::uint64_t there, std::size_t here, std::size_t bytes) {
      require(device_.to_host(after.data() + here, at(there), bytes), "to_host");
    });
    return after;
  }
  [[nodiscard]] assay_dut_tensor tensor() const {
    assay_dut_tensor t = host_;
    t.data = at(margin);
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
    const std::uint8_t* from = after.data() + margin;
    for (const Stretch& s : stretches_) {
      if (s.bytes != 0)
        std::memcpy(static_cast<std::uint8_t*>(host_.data) + s.first, from, s.bytes);
      from += s.bytes;
    }
  }

 private:
  [[nodiscard]] std::uint8_t* at(std::uint64_t offset) const {
    return static_cast<std::uint8_t*>(memory_) + offset;
  }
  /// copy(offset on the device, offset in before_, bytes) for all that is copied, in few pieces: a
  /// tensor in one stretch is one piece with its margins.
  template <class Function>
  void pieces(const Function& copy) const {
    if (stretches_.size() == 1) return copy(0, 0, before_.size());
    copy(0, 0, margin);
    std::size_t here = margin;
    for (const Stretch& s : stretches_) {
      copy(margin + s.first, here, s.bytes);
      here += s.bytes;
    }
    copy(margin + host_.bytes, here, margin);
  }

  const assay_dut_device& device_;
  assay_dut_tensor host_;
  std::vector<Stretch> stretches_;
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
} catch (const NoRoom&) {
  return Status::not_supported;
} catch (const std::runtime_error& e) {
  error = e.what();
  return Status::failed;
}

}  // namespace assay::kernels::abi
