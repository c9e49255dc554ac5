// SPDX-License-Identifier: Apache-2.0
#pragma once
// A recording small enough to replay by hand: one linear on the residual stream, then a router.
//
//   stream = embed + linear(x), x and W given; h = RMSNorm(stream), eps 0; logits = h (W_r =
//   identity); the router takes the best of 2 experts.

#include <unistd.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "simulator/safetensors.h"

namespace assay::simulator {

class TinyRecording {
 public:
  // Dyadic values; the comments of replay_test.cpp quantize W by hand.
  std::vector<float> w{1, 0.3125F, 6, 2.25F};           // 2 x 2
  std::vector<float> x{1, 1, 0, 2, -1, 1};              // 3 tokens
  std::vector<float> residual{1, 1.125F, 1, 2, -1, 3};  // after the linear, before the norm
  std::vector<float> output_grad{1, 0, 0, 1, 0.5F, 0};
  std::vector<float> bias{0, 0};  // of the choice, for an op that is made to name it

  TinyRecording()
      : folder_(std::filesystem::temp_directory_path() /
                ("assay-tiny-recording-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~TinyRecording() { std::filesystem::remove_all(folder_); }
  TinyRecording(const TinyRecording&) = delete;
  TinyRecording& operator=(const TinyRecording&) = delete;

  /// Writes the files; `edit` may spoil the JSON.
  const std::filesystem::path& write(const std::string& find = "", const std::string& put = "") {
    std::string json = kJson;
    if (!find.empty()) json.replace(json.find(find), find.size(), put);
    std::ofstream(folder_ / "recording.json") << json;
    const std::vector<std::pair<SafetensorsSpec, std::vector<float>>> tensors{
        {{"w", Dtype::f32, {2, 2}}, w},
        {{"x", Dtype::f32, {3, 2}}, x},
        {{"grad", Dtype::f32, {3, 2}}, output_grad},
        {{"residual", Dtype::f32, {3, 2}}, residual},
        {{"norm", Dtype::f32, {2}}, {1, 1}},
        {{"router", Dtype::f32, {2, 2}}, {1, 0, 0, 1}},
        {{"bias", Dtype::f32, {2}}, bias},
    };
    std::vector<SafetensorsSpec> specs;
    for (const auto& t : tensors) specs.push_back(t.first);
    SafetensorsWriter writer(folder_ / "t.safetensors", specs);
    for (const auto& t : tensors) writer.write(std::as_bytes(std::span(t.second)));
    writer.commit();
    return folder_;
  }

 private:
  static constexpr const char* kJson = R"({"schema":"assay-recording","version":1,"name":"tiny",
"training_step":7,"token_sampling":"by hand","provenance":{"text":"by hand","licence":"Apache-2.0","facts":{}},
"ops":[
{"id":"embed","kind":"embedding","class":"embedding","inputs":[],"tensors":{}},
{"id":"lin","kind":"linear","class":"expert","inputs":[],"tensors":{"weight":"w","input":"x","output_grad":"grad"},"layer":0},
{"id":"sum","kind":"add","class":"residual","inputs":["embed","lin"],"tensors":{},"layer":0},
{"id":"norm","kind":"rmsnorm","class":"norm","inputs":["sum"],"tensors":{"norm_weight":"norm","residual":"residual"},"layer":0,"numbers":{"eps":0}},
{"id":"router","kind":"linear","class":"router","inputs":["norm"],"tensors":{"weight":"router","input":"residual"},"layer":0},
{"id":"top","kind":"top_k","class":"router","inputs":["router"],"tensors":{},"layer":0,"numbers":{"k":1,"experts":2}}
],
"tensors":[
{"name":"w","role":"weight","shape":[2,2],"shards":[{"file":"t.safetensors"}],"dtype":"F32"},
{"name":"x","role":"input","shape":[3,2],"shards":[{"file":"t.safetensors"}],"dtype":"F32"},
{"name":"grad","role":"output_grad","shape":[3,2],"shards":[{"file":"t.safetensors"}],"dtype":"F32"},
{"name":"residual","role":"residual","shape":[3,2],"shards":[{"file":"t.safetensors"}],"dtype":"F32"},
{"name":"norm","role":"norm_weight","shape":[2],"shards":[{"file":"t.safetensors"}],"dtype":"F32"},
{"name":"router","role":"weight","shape":[2,2],"shards":[{"file":"t.safetensors"}],"dtype":"F32"},
{"name":"bias","role":"router_bias","shape":[2],"shards":[{"file":"t.safetensors"}],"dtype":"F32"}
]})";
  std::filesystem::path folder_;
};

}  // namespace assay::simulator
