// SPDX-License-Identifier: Apache-2.0
#include "proptests/devices/process.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "kernels/abi/claim.h"
#include "proptests/devices/segment.h"

namespace assay::proptests {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// Memory of one batch: much more would leave the caches.
constexpr std::size_t batch_bytes = std::size_t{16} << 20U;
/// Calls in a row that may end badly before the rest of a list is given up.
constexpr int patience = 3;

std::uint32_t read(std::uint32_t& field) {
  return std::atomic_ref(field).load(std::memory_order_acquire);
}

/// How a call ended that has no answer.
struct Failure {
  Outcome outcome = Outcome::crash;
  std::string message;
};

class Process final : public Device {
 public:
  Process(std::vector<std::string> command, const ProcessOptions& options)
      : command_(std::move(command)), options_(options) {
    start();
    const wire::Header& header = segment_.header();
    name_.assign(header.name, strnlen(header.name, sizeof header.name));
    const std::uint32_t entries = std::min(header.n_claims, header.most_claims);
    for (std::uint32_t entry = 0; entry < entries; ++entry) {
      kernels::Claim claim =
          kernels::abi::from_abi(segment_.at<assay_dut_claim>(header.claims)[entry]);
      claim.entry = static_cast<std::int32_t>(entry);
      for (claim.tactic = 0; claim.tactic < claim.tactics; ++claim.tactic) claims_.push_back(claim);
    }
  }

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::vector<kernels::Claim> claims() const override { return claims_; }

  std::vector<Trial> ask(std::span<const Call> calls) override {
    std::vector<Trial> trials(calls.size());
    int bad = 0;
    for (std::size_t next = 0; next < calls.size();) {
      if (bad == patience) {
        give_up(trials, next);
        break;
      }
      const std::size_t count = batch_of(calls.subspan(next));
      const std::span<Trial> answers = std::span(trials).subspan(next, count);
      const std::size_t asked = batch(calls.subspan(next, count), answers);
      const Trial& last = answers[asked - 1];
      const bool well = ended_well(last.first) &&
                        (last.first.outcome == Outcome::declined || ended_well(last.second));
      bad = well ? 0 : asked == 1 ? bad + 1 : 1;
      next += asked;
    }
    return trials;
  }

 private:
  static bool ended_well(const Answer& answer) {
    return answer.outcome == Outcome::answered || answer.outcome == Outcome::declined;
  }

  static void give_up(std::vector<Trial>& trials, std::size_t next) {
    const Trial& last = trials[next - 1];
    const Outcome outcome = ended_well(last.first) ? last.second.outcome : last.first.outcome;
    for (std::size_t i = next; i < trials.size(); ++i)
      trials[i].first = {
          outcome, {}, false, {}, "not called: the three calls before it went wrong"};
  }

  /// How many of the calls fit in a batch; at least one.
  std::size_t batch_of(std::span<const Call> calls) const {
    std::size_t count = 0;
    for (std::size_t bytes = 0; count < calls.size(); ++count) {
      bytes += 2 * arena_bytes(calls[count], {0, options_.guard_pages, true});
      if (count != 0 && bytes > batch_bytes) break;
    }
    return count;
  }

  void start() {
    segment_.reset_header();
    child_ = std::make_unique<Child>(command_, segment_.descriptor());
    char message = 0;
    const Child::Event event = child_->wait(message, options_.start_limit);
    if (event == Child::Event::message && message == wire::ready) return;
    const wire::Header& header = segment_.header();
    std::string why(header.message, strnlen(header.message, sizeof header.message));
    if (event == Child::Event::silence)
      why = "it did not start within " + std::to_string(options_.start_limit.count()) + " ms";
    std::string end = child_->end();
    if (why.empty()) why = end.empty() ? "it does not speak the protocol of wire.h" : end;
    why += printed();
    child_.reset();
    throw std::runtime_error("the device '" + command_.back() + "' cannot start: " + why);
  }

  [[nodiscard]] std::string printed() const {
    const std::string words = child_->last_words();
    return words.empty() ? words : "; it printed: " + words;
  }

  /// Asks the calls until one ends badly; returns how many were asked.
  std::size_t batch(std::span<const Call> calls, std::span<Trial> trials) {
    try {
      if (!child_) start();
    } catch (const std::runtime_error& e) {
      trials[0].first = {Outcome::crash, {}, false, {}, e.what()};
      return 1;
    }
    const std::vector<LaidOut> runs = segment_.lay_out(calls, options_.guard_pages);
    const std::optional<Failure> failure = perform(runs);
    const std::size_t finished =
        std::min<std::size_t>(read(segment_.header().finished), runs.size());
    bool refused = false;
    for (std::size_t i = 0; i < finished; ++i) {
      Answer& answer = i % 2 == 0 ? trials[i / 2].first : trials[i / 2].second;
      answer = answer_of(runs[i], i);
      refused = refused || (answer.outcome == Outcome::failed && !answer.message.empty());
    }
    if (!failure) {
      if (refused) child_.reset();  // what made it fail may stick to it
      return (finished + 1) / 2;
    }
    const std::size_t victim = std::min(finished, runs.size() - 1);
    Answer& answer = victim % 2 == 0 ? trials[victim / 2].first : trials[victim / 2].second;
    answer = {failure->outcome, {}, false, {}, failure->message};
    child_.reset();
    return victim / 2 + 1;
  }

  [[nodiscard]] Answer answer_of(const LaidOut& run, std::size_t i) const {
    const wire::Run result = segment_.result(i);
    if (result.status == wire::not_run) return {};
    Answer answer =
        collect(*run.call, run.placement, run.placed, segment_.at<std::uint8_t>(run.arena));
    if (result.status == ASSAY_DUT_OK) {
      answer.outcome = Outcome::answered;
    } else if (result.status == ASSAY_DUT_DECLINED) {
      answer.outcome = Outcome::declined;
    } else {
      answer.outcome = Outcome::failed;
      answer.message =
          result.message[0] != '\0' ? result.message : "status " + std::to_string(result.status);
    }
    return answer;
  }

  /// Lets the device work, and watches it. What went wrong, if anything did.
  std::optional<Failure> perform(const std::vector<LaidOut>& runs) {
    if (!child_->send(wire::go)) return died(runs);
    std::uint32_t at = 0;
    auto since = Clock::now();
    // A call's time is known as finely as we look.
    const milliseconds look =
        std::clamp(options_.call_limit / 8, milliseconds(5), milliseconds(500));
    for (;;) {
      char message = 0;
      const Child::Event event = child_->wait(message, look);
      if (event == Child::Event::gone) return died(runs);
      const std::uint32_t started = read(segment_.header().started);
      const std::uint32_t finished = read(segment_.header().finished);
      if (event == Child::Event::message && message == wire::done && started == finished) {
        const bool all = finished == runs.size();
        const bool stopped = finished > 0 && finished < runs.size() &&
                             segment_.result(finished - 1).status == ASSAY_DUT_ERROR;
        if (all || stopped) return {};
        return Failure{Outcome::crash, "it said that it was done after " +
                                           std::to_string(finished) + " of " +
                                           std::to_string(runs.size()) + " runs" + printed()};
      }
      if (started != at) {
        at = started;
        since = Clock::now();
      } else if (Clock::now() - since >= options_.call_limit) {
        return Failure{
            Outcome::timeout,
            "no answer within " + std::to_string(options_.call_limit.count()) + " ms" + printed()};
      }
    }
  }

  Failure died(const std::vector<LaidOut>& runs) {
    const std::string end = child_->end();
    std::string message = end.empty() ? "it closed its connection to assay" : end;
    const std::uint64_t fault = segment_.header().fault;
    const std::size_t victim = read(segment_.header().finished);
    if (fault != wire::no_fault && victim < runs.size())
      message += " at " + place_of(runs[victim].placed, fault - runs[victim].arena);
    return {Outcome::crash, message + printed()};
  }

  std::vector<std::string> command_;
  ProcessOptions options_;
  Segment segment_;
  std::unique_ptr<Child> child_;  // null: to be started before the next call
  std::string name_;
  std::vector<kernels::Claim> claims_;
};

}  // namespace

std::unique_ptr<Device> in_own_process(std::vector<std::string> command,
                                       const ProcessOptions& options) {
  if (command.empty()) throw std::invalid_argument("a device needs a command to start it");
  return std::make_unique<Process>(std::move(command), options);
}

std::vector<std::string> device_command(const std::string& target) {
  if (target.ends_with(".py")) return {"python3", target};
  constexpr const char* runner = "assay-runner";
  std::error_code error;
  const std::filesystem::path beside =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / runner;
  const bool here = !error && access(beside.c_str(), X_OK) == 0;
  return {here ? beside.string() : runner, target};
}

}  // namespace assay::proptests
