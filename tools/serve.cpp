// SPDX-License-Identifier: Apache-2.0
#include "tools/serve.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/abi/claim.h"
#include "proptests/wire.h"

namespace assay::tools {
namespace {

namespace wire = proptests::wire;

template <std::size_t N>
void put(char (&to)[N], const std::string& text) {
  const std::size_t n = std::min(text.size(), N - 1);
  std::memcpy(to, text.data(), n);
  to[n] = '\0';
}

/// The shared memory, mapped anew when it has grown.
class Segment {
 public:
  Segment() {
    struct stat file {};
    if (fstat(wire::memory_descriptor, &file) != 0 ||
        static_cast<std::size_t>(file.st_size) < sizeof(wire::Header))
      throw std::runtime_error(
          "assay-runner is started by assay certify, with shared memory as descriptor 4");
    map(static_cast<std::size_t>(file.st_size));
    if (header().magic != wire::magic || header().version != wire::version)
      throw std::runtime_error("assay and assay-runner are of different versions");
  }
  void follow_growth() {
    if (header().bytes == size_) return;
    const std::size_t size = header().bytes;
    munmap(base_, size_);
    map(size);
  }
  [[nodiscard]] wire::Header& header() const { return *at<wire::Header>(0); }
  template <class T>
  [[nodiscard]] T* at(std::uint64_t offset) const {
    return reinterpret_cast<T*>(base_ + offset);
  }
  [[nodiscard]] bool contains(const void* address) const {
    const auto* p = static_cast<const std::uint8_t*>(address);
    return p >= base_ && p < base_ + size_;
  }
  [[nodiscard]] std::uint64_t offset_of(const void* address) const {
    return static_cast<std::uint64_t>(static_cast<const std::uint8_t*>(address) - base_);
  }

 private:
  void map(std::size_t size) {
    void* const memory =
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, wire::memory_descriptor, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("cannot map the shared memory");
    base_ = static_cast<std::uint8_t*>(memory);
    size_ = size;
  }

  std::uint8_t* base_ = nullptr;
  std::size_t size_ = 0;
};

/// For the signal handler alone.
const Segment* handler_segment = nullptr;

/// Leaves the address to the host and dies of the signal, as if it had not been caught.
void on_fault(int signal, siginfo_t* info, void*) {
  if (handler_segment != nullptr && handler_segment->contains(info->si_addr))
    handler_segment->header().fault = handler_segment->offset_of(info->si_addr);
  std::signal(signal, SIG_DFL);
}

void catch_faults(const Segment& segment) {
  static std::array<std::uint8_t, 65536> stack;  // a kernel may have used up its own
  handler_segment = &segment;
  stack_t alternate{};
  alternate.ss_sp = stack.data();
  alternate.ss_size = stack.size();
  sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

/// The host reads it while the device works, or after it has died.
void publish(std::uint32_t& field, std::uint32_t value) {
  std::atomic_ref(field).store(value, std::memory_order_release);
}
bool send(char message) { return write(wire::socket_descriptor, &message, 1) == 1; }
bool receive(char& message) { return read(wire::socket_descriptor, &message, 1) == 1; }

void announce(const kernels::DeviceUnderTest& device, Segment& segment,
              const std::vector<kernels::Claim>& claims) {
  wire::Header& header = segment.header();
  put(header.name, device.name());
  std::uint32_t entries = 0;
  for (const kernels::Claim& claim : claims) {
    if (claim.tactic != 0) continue;
    if (entries == header.most_claims)
      throw std::runtime_error("the device has more entries than assay takes, " +
                               std::to_string(header.most_claims));
    segment.at<assay_dut_claim>(header.claims)[entries++] = kernels::abi::to_abi(claim);
  }
  header.n_claims = entries;
}

/// Makes pages of the segment inaccessible while it lives.
class Guards {
 public:
  Guards(const Segment& segment, const wire::Run& run) : segment_(segment), run_(run) {
    protect(PROT_NONE);
  }
  ~Guards() { protect(PROT_READ | PROT_WRITE); }
  Guards(const Guards&) = delete;
  Guards& operator=(const Guards&) = delete;

 private:
  void protect(int protection) const {
    const auto* const pages = segment_.at<std::uint64_t>(run_.guards);
    for (std::uint32_t i = 0; i < run_.n_guards; ++i)
      mprotect(segment_.at<std::uint8_t>(pages[i]), wire::page, protection);
  }
  const Segment& segment_;
  const wire::Run& run_;
};

class Server {
 public:
  Server(const kernels::DeviceUnderTest& device, Segment& segment,
         std::vector<kernels::Claim> claims)
      : device_(device), segment_(segment), claims_(std::move(claims)) {}

  void batch() {
    segment_.follow_growth();
    const std::uint32_t runs = segment_.header().n_runs;
    std::int32_t status = ASSAY_DUT_OK;
    for (std::uint32_t i = 0; i < runs && status != ASSAY_DUT_ERROR; ++i) {
      publish(segment_.header().started, i + 1);
      wire::Run& run = segment_.at<wire::Run>(segment_.header().runs)[i];
      if (run.follows == 0 || status == ASSAY_DUT_OK) {
        status = call(run);
        // A kernel that forks gives us a twin, which must not answer as well.
        if (getpid() != self_) _exit(0);
        run.status = status;
      }
      publish(segment_.header().finished, i + 1);
    }
  }

 private:
  std::int32_t call(wire::Run& run) {
    assay_dut_call call = run.call;
    std::vector<assay_dut_tensor> in = tensors(call.in, call.n_in);
    std::vector<assay_dut_tensor> out = tensors(call.out, call.n_out);
    call.in = in.data();
    call.out = out.data();
    const auto claim = std::find_if(claims_.begin(), claims_.end(), [&](const auto& c) {
      return c.entry == call.entry && c.tactic == call.tactic;
    });
    if (claim == claims_.end()) {
      put(run.message, "there is no such entry");
      return ASSAY_DUT_ERROR;
    }
    kernels::Status status = kernels::Status::failed;
    std::string thrown;
    {
      const Guards guards(segment_, run);
      try {
        status = device_.run(*claim, call);
      } catch (const std::exception& e) {
        thrown = std::string("threw an exception: ") + e.what();
      }
    }
    if (status == kernels::Status::ok) return ASSAY_DUT_OK;
    if (status == kernels::Status::not_supported) return ASSAY_DUT_DECLINED;
    put(run.message, thrown.empty() ? device_.last_error() : thrown);
    return ASSAY_DUT_ERROR;
  }

  [[nodiscard]] std::vector<assay_dut_tensor> tensors(const assay_dut_tensor* offset,
                                                      std::uint32_t count) const {
    const auto* const first =
        segment_.at<const assay_dut_tensor>(reinterpret_cast<std::uint64_t>(offset));
    std::vector<assay_dut_tensor> list(first, first + count);
    for (assay_dut_tensor& t : list)
      t.data = segment_.at<std::uint8_t>(reinterpret_cast<std::uint64_t>(t.data));
    return list;
  }

  const kernels::DeviceUnderTest& device_;
  Segment& segment_;
  std::vector<kernels::Claim> claims_;
  pid_t self_ = getpid();
};

}  // namespace

int serve(const kernels::DeviceUnderTest& device) {
  Segment segment;
  catch_faults(segment);
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // what a crash would otherwise swallow
  std::vector<kernels::Claim> claims = kernels::numbered_claims(device);
  announce(device, segment, claims);
  if (!send(wire::ready)) return 1;
  Server server(device, segment, std::move(claims));
  for (char message = 0; receive(message);) {
    if (message != wire::go) return 1;
    server.batch();
    if (!send(wire::done)) return 1;
  }
  return 0;
}

void announce_failure(const char* why) {
  Segment segment;
  put(segment.header().message, why);
  (void)send(wire::unable);
}

}  // namespace assay::tools
