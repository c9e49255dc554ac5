// SPDX-License-Identifier: Apache-2.0
// The recording that ships with assay: whole, and consistent with the model it says it is.
#include "simulator/recording.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace assay::simulator {
namespace {

const Recording& shipped() {
  static const Recording recording = Recording::open(default_recording());
  return recording;
}

std::vector<const Op*> ops_of(OpKind kind, const std::string& tensor_class) {
  std::vector<const Op*> result;
  for (const Op& op : shipped().ops()) {
    if (op.kind == kind && op.tensor_class == tensor_class) result.push_back(&op);
  }
  return result;
}

// The recorded values were computed in fp32 from operands of which the stored ones are bf16
// roundings (relative 2^-8, both operands of a product are exact or so rounded): |error| <= 2^-8
// sum |x w| for the operand, 2^-8 |y| for the stored output, and the sums in fp32 are far below
// that.
void expect_linear(const Op& op, std::size_t& checked) {
  const RecordedTensor w = shipped().tensor(op, Role::weight);
  const RecordedTensor x = shipped().tensor(op, Role::input);
  const RecordedTensor y =
      shipped().tensor(op, op.has(Role::output) ? Role::output : Role::router_logits);
  const auto weight = w.read();
  const auto input = x.read();
  const auto output = y.read();
  // An operand that is wider than the output's rows is read through `rows`.
  const bool gathered = op.has(Role::rows) && x.entry().name != op.id + ".input";
  std::vector<std::int64_t> rows;
  if (gathered) rows = shipped().tensor(op, Role::rows).read_ints();
  ASSERT_EQ(w.cols(), x.cols()) << op.id;
  ASSERT_EQ(w.rows(), y.cols()) << op.id;
  for (std::int64_t r = 0; r < y.rows(); ++r) {
    const std::int64_t source = gathered ? rows.at(static_cast<std::size_t>(r)) : r;
    for (std::int64_t c = 0; c < y.cols(); ++c) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t k = 0; k < w.cols(); ++k) {
        const double p = double{input[source * x.cols() + k]} * weight[c * w.cols() + k];
        sum += p;
        magnitude += std::abs(p);
      }
      const double got = output[r * y.cols() + c];
      ASSERT_LE(std::abs(sum - got), std::ldexp(magnitude + std::abs(got), -8) + 1e-6) << op.id;
      ++checked;
    }
  }
}

TEST(ShippedRecording, EveryLinearIsItsWeightTimesItsInput) {
  std::size_t checked = 0;
  for (const Op& op : shipped().ops()) {
    if (op.kind == OpKind::linear) expect_linear(op, checked);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(checked, 1'000'000U);
}

TEST(ShippedRecording, RouterLogitsComeFromTheExactResidualAndChooseTheExperts) {
  const auto routers = ops_of(OpKind::linear, "router");
  ASSERT_EQ(routers.size(), 6U);
  for (const Op* router : routers) {
    const Op& norm = shipped().op(router->inputs.at(0));
    const Op& top = shipped().op("layers." + std::to_string(router->layer) + ".top_k");
    const auto h = shipped().tensor(norm, Role::residual).read();
    const auto g = shipped().tensor(norm, Role::norm_weight).read();
    const auto w = shipped().tensor(*router, Role::weight).read();
    const auto logits = shipped().tensor(*router, Role::router_logits).read();
    const auto choice = shipped().tensor(top, Role::router_choice).read_ints();
    const auto gate = shipped().tensor(top, Role::router_gate).read();
    const std::size_t width = g.size();
    const auto k = static_cast<std::size_t>(top.number("k"));
    const auto experts = static_cast<std::size_t>(top.number("experts"));
    for (std::size_t t = 0; t < h.size() / width; ++t) {
      double square = norm.number("eps") * static_cast<double>(width);
      for (std::size_t i = 0; i < width; ++i) square += double{h[t * width + i]} * h[t * width + i];
      const double scale = 1 / std::sqrt(square / static_cast<double>(width));
      for (std::size_t e = 0; e < experts; ++e) {
        double sum = 0;
        double magnitude = 0;
        for (std::size_t i = 0; i < width; ++i) {
          const double p = double{h[t * width + i]} * scale * g[i] * w[e * width + i];
          sum += p;
          magnitude += std::abs(p);
        }
        // fp32: at most width + 4 roundings of 2^-24 on each product.
        ASSERT_LE(std::abs(sum - logits[t * experts + e]),
                  std::ldexp(magnitude * static_cast<double>(width + 4), -24))
            << router->id;
      }
      std::set<std::int64_t> chosen(&choice[t * k], &choice[t * k] + k);
      ASSERT_EQ(chosen.size(), k);
      float least = INFINITY;
      float gates = 0;
      for (std::size_t i = 0; i < k; ++i) {
        least = std::min(least, logits[t * experts + choice.at(t * k + i)]);
        gates += gate[t * k + i];
      }
      ASSERT_NEAR(gates, 1.0F, 1e-6F);
      for (std::size_t e = 0; e < experts; ++e) {
        if (!chosen.contains(static_cast<std::int64_t>(e))) {
          ASSERT_LE(logits[t * experts + e], least);
        }
      }
    }
  }
}

TEST(ShippedRecording, SaysWhereItComesFromAndIsSmall) {
  const auto& header = shipped().header();
  EXPECT_EQ(header.provenance.licence, "PSF-2.0");
  EXPECT_EQ(header.training_step, 5000);
  for (const char* fact : {"seed", "date", "device", "held_out_loss", "text_sha256"}) {
    EXPECT_TRUE(header.provenance.facts.contains(fact)) << fact;
  }
  std::uintmax_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(shipped().folder())) {
    bytes += file.file_size();
  }
  EXPECT_LT(bytes, 16'000'000U);
  std::int64_t parameters = 0;
  for (const TensorEntry& t : header.tensors) {
    if (t.role != Role::weight && t.role != Role::norm_weight) continue;
    EXPECT_EQ(t.dtype, Dtype::bf16);
    std::int64_t count = 1;
    for (const auto extent : t.shape) count *= extent;
    parameters += count;
  }
  EXPECT_EQ(std::to_string(parameters), header.provenance.facts.at("parameters"));
  EXPECT_EQ(shipped().tensor(shipped().op("embed"), Role::tokens).shape(),
            (std::vector<std::int64_t>{2, 128}));
}

TEST(ShippedRecording, ItsHeaderSurvivesARoundTrip) {
  const auto& header = shipped().header();
  const std::string text = to_json(header);
  const RecordingHeader again = parse_recording(text, "again");
  EXPECT_TRUE(again == header);
  EXPECT_EQ(to_json(again), text);
}

}  // namespace
}  // namespace assay::simulator
