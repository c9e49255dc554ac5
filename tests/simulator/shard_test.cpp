// SPDX-License-Identifier: Apache-2.0
// A tensor that several ranks or microbatches hold is read whole, whatever the cut.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "simulator/recording.h"
#include "tests/simulator/scratch_folder.h"

namespace assay::simulator {
namespace {

using Shape = std::vector<std::int64_t>;

/// Cuts a tensor whose element i is i into shards, one file for each rank, and reads it back.
class Cut {
 public:
  explicit Cut(Shape shape) : shape_(std::move(shape)) {
    for (const auto extent : shape_) count_ *= static_cast<std::size_t>(extent);
  }

  Cut& shard(int rank, const Shape& offset, const Shape& shape, int microbatch = 0) {
    shards_.push_back({"rank" + std::to_string(rank) + ".safetensors",
                       "t@" + std::to_string(shards_.size()), offset, shape, rank, microbatch});
    return *this;
  }
  /// Adds `difference` to the last element of the last shard.
  Cut& spoil(float difference) {
    spoiled_[shards_.size() - 1] = difference;
    return *this;
  }

  Recording write() const {
    std::map<std::string, std::vector<std::size_t>> files;
    for (std::size_t s = 0; s < shards_.size(); ++s) files[shards_[s].file].push_back(s);
    for (const auto& [file, members] : files) {
      std::vector<SafetensorsSpec> specs;
      for (const std::size_t s : members) {
        specs.push_back({shards_[s].key, Dtype::f32, shards_[s].shape});
      }
      SafetensorsWriter writer(folder_.path() / file, specs);
      for (const std::size_t s : members) {
        const auto values = piece(s);
        writer.write(std::as_bytes(std::span(values)));
      }
      writer.commit();
    }
    RecordingHeader header;
    header.name = "cut";
    header.tensors.push_back({"t", Role::weight, Dtype::f32, shape_, shards_});
    folder_.put("recording.json", to_json(header));
    return Recording::open(folder_.path());
  }

  void expect_whole() const {
    const Recording recording = write();
    const RecordedTensor tensor = recording.tensor("t");
    std::vector<float> want(count_);
    std::iota(want.begin(), want.end(), 0.0F);
    EXPECT_EQ(tensor.read(), want);
    // Every window of rows, so that windows begin and end inside shards.
    for (std::int64_t first = 0; first <= tensor.rows(); ++first) {
      for (std::int64_t count = 0; count <= tensor.rows() - first; ++count) {
        std::vector<float> rows(static_cast<std::size_t>(count * tensor.cols()));
        tensor.read_rows(first, count, rows);
        const auto begin = want.begin() + first * tensor.cols();
        EXPECT_EQ(rows, std::vector<float>(begin, begin + count * tensor.cols()));
      }
    }
  }

 private:
  /// The elements of shard s, by counting through its coordinates.
  std::vector<float> piece(std::size_t s) const {
    const Shard& shard = shards_[s];
    std::vector<float> values;
    Shape at(shape_.size(), 0);
    std::size_t left = 1;
    for (const auto extent : shard.shape) left *= static_cast<std::size_t>(extent);
    while (left-- > 0) {
      std::int64_t index = 0;
      for (std::size_t d = 0; d < shape_.size(); ++d) {
        index = index * shape_[d] + shard.offset[d] + at[d];
      }
      values.push_back(static_cast<float>(index));
      for (std::size_t d = shape_.size(); d-- > 0;) {
        if (++at[d] < shard.shape[d]) break;
        at[d] = 0;
      }
    }
    if (spoiled_.contains(s)) values.back() += spoiled_.at(s);
    return values;
  }

  Shape shape_;
  std::size_t count_ = 1;
  std::vector<Shard> shards_;
  std::map<std::size_t, float> spoiled_;
  ScratchFolder folder_;
};

TEST(Shards, TensorParallelByRowsAndByColumns) {
  Cut({6, 4}).shard(0, {0, 0}, {3, 4}).shard(1, {3, 0}, {3, 4}).expect_whole();
  Cut({6, 4}).shard(1, {0, 2}, {6, 2}).shard(0, {0, 0}, {6, 2}).expect_whole();
}

TEST(Shards, TensorParallelInTilesOfUnequalSize) {
  Cut({5, 7})
      .shard(3, {2, 3}, {3, 4})
      .shard(0, {0, 0}, {2, 3})
      .shard(2, {2, 0}, {3, 3})
      .shard(1, {0, 3}, {2, 4})
      .expect_whole();
}

TEST(Shards, ExpertParallelStacksOfExperts) {
  Cut({4, 3, 2})
      .shard(0, {0, 0, 0}, {1, 3, 2})
      .shard(1, {1, 0, 0}, {2, 3, 2})
      .shard(2, {3, 0, 0}, {1, 3, 2})
      .expect_whole();
}

TEST(Shards, ExpertAndTensorParallelTogether) {
  Cut cut({4, 3, 4});
  for (int expert = 0; expert < 4; ++expert) {
    for (int half = 0; half < 2; ++half) {
      cut.shard(2 * expert + half, {expert, 0, 2 * half}, {1, 3, 2});
    }
  }
  cut.expect_whole();
}

TEST(Shards, MicrobatchesFollowEachOther) {
  Cut({5, 2})
      .shard(0, {0, 0}, {2, 2}, 0)
      .shard(0, {2, 0}, {0, 2}, 1)
      .shard(0, {2, 0}, {3, 2}, 2)
      .expect_whole();
}

TEST(Shards, VectorsScalarsAndEmptyTensors) {
  Cut({5}).shard(0, {0}, {2}).shard(1, {2}, {3}).expect_whole();
  Cut({}).shard(0, {}, {}).expect_whole();
  Cut({0, 4}).shard(0, {0, 0}, {0, 4}).expect_whole();
}

TEST(Shards, ReplicasThatAgreeAreOneTensor) {
  Cut({2, 3}).shard(0, {0, 0}, {2, 3}).shard(1, {0, 0}, {2, 3}).expect_whole();
}

TEST(Shards, ReplicasOfNansAgree) {
  Cut({2, 3})
      .shard(0, {0, 0}, {2, 3})
      .spoil(NAN)
      .shard(1, {0, 0}, {2, 3})
      .spoil(NAN)
      .write()
      .tensor("t")
      .read();
}

TEST(Shards, ReplicasThatDisagreeAreAnError) {
  for (const float difference : {1.0F, NAN}) {
    Cut spoiled({2, 3});
    spoiled.shard(0, {0, 0}, {2, 3}).shard(4, {0, 0}, {2, 3}).spoil(difference);
    const Recording recording = spoiled.write();
    const std::string message = message_of<InputError>([&] { (void)recording.tensor("t").read(); });
    EXPECT_NE(message.find("rank4.safetensors: rank 4 holds another copy of tensor \"t\""),
              std::string::npos)
        << message;
    float row[3];  // rows without the difference are still readable
    EXPECT_NO_THROW(recording.tensor("t").read_rows(0, 1, row));
  }
}

TEST(Shards, CutsThatDoNotMakeTheTensorAreNamed) {
  const auto refused = [](const Cut& cut, const std::string& says) {
    const std::string message = message_of<InputError>([&] { (void)cut.write(); });
    EXPECT_NE(message.find("tensor \"t\" " + says), std::string::npos) << message;
  };
  refused(Cut({4, 2}).shard(0, {0, 0}, {2, 2}), "has shards with 4 of its 8 elements.");
  refused(Cut({4, 2}).shard(0, {0, 0}, {3, 2}).shard(1, {2, 0}, {2, 2}),
          "has shards that overlap.");
  refused(Cut({4, 2}).shard(0, {0, 0}, {4, 2}).shard(0, {0, 0}, {4, 2}),
          "has the same piece twice from rank 0.");
  refused(Cut({4, 2}).shard(0, {1, 0}, {4, 2}),
          "has a shard of shape 4x2 at 1x0 that is not inside");
}

TEST(Shards, AFileThatHoldsAnotherShapeIsNamed) {
  Cut cut({4, 2});
  cut.shard(0, {0, 0}, {4, 2});
  const Recording good = cut.write();
  SafetensorsWriter writer(good.folder() / "rank0.safetensors", {{"t@0", Dtype::f32, {2, 4}}});
  writer.write(std::vector<std::byte>(32));
  writer.commit();
  const std::string message = message_of<InputError>([&] { Recording::open(good.folder()); });
  EXPECT_NE(message.find("tensor \"t@0\" is F32 2x4, recording.json says F32 4x2."),
            std::string::npos)
      << message;
}

}  // namespace
}  // namespace assay::simulator
