// SPDX-License-Identifier: Apache-2.0
// Layout: a line with the key, a line with the hash of the rest, then every member in the order of
// its declaration as this machine holds it: numbers by their bytes, lists and texts behind their
// length, matrices behind their two extents. The key names the build, so nothing else needs to.
#include "tools/responses_file.h"

#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <type_traits>

#include "proptests/sha256.h"
#include "simulator/input_error.h"
#include "simulator/mapped_file.h"

namespace assay::tools {
namespace {

template <class T>
concept Number = std::is_arithmetic_v<T> || std::is_enum_v<T>;

/// Appends the values that it is given to its bytes, or, made of bytes, reads the values from them.
class Archive {
 public:
  Archive() = default;
  explicit Archive(std::string_view from) : from_(from), reading_(true) {}

  template <class... T>
  void operator()(T&... values) {
    (pass(values), ...);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] bool at_end() const { return from_.empty(); }

 private:
  void pass(void* data, std::size_t size) {
    if (!reading_) {
      bytes_.append(static_cast<const char*>(data), size);
      return;
    }
    require(size);
    std::memcpy(data, from_.data(), size);
    from_.remove_prefix(size);
  }
  void require(std::size_t size) const {
    if (size > from_.size()) throw std::length_error("a file of responses ends early");
  }
  template <Number T>
  void pass(T& value) {
    pass(&value, sizeof value);
  }
  template <class List>
  void resize(List& list) {
    std::size_t size = list.size();
    pass(size);
    if (!reading_) return;
    require(size);  // each item takes a byte or more
    list.resize(size);
  }
  void pass(std::string& text) {
    resize(text);
    pass(text.data(), text.size());
  }
  template <class T>
  void pass(std::vector<T>& list) {
    resize(list);
    if constexpr (Number<T>) {
      pass(list.data(), list.size() * sizeof(T));
    } else {
      for (T& item : list) pass(item);
    }
  }
  template <class T>
  void pass(Eigen::PlainObjectBase<T>& m) {
    std::int64_t rows = m.rows();
    std::int64_t cols = m.cols();
    (*this)(rows, cols);
    if (reading_) m.resize(rows, cols);
    pass(m.data(), static_cast<std::size_t>(m.size()) * sizeof(typename T::Scalar));
  }
  void pass(simulator::OperandGroup& g) {
    (*this)(g.name, g.layer, g.tensor_class, g.role, g.nodes, g.share);
  }
  void pass(simulator::Response& r) {
    (*this)(r.logits, r.covariance, r.logit_power, r.curved_power, r.token_loss, r.token_loss_even,
            r.loss_even, r.kl, r.value_nsr, r.gain_logits, r.gain_output);
  }
  void pass(simulator::FlipResponse& f) {
    (*this)(f.own_logits, f.cross_power, f.own_loss, f.cross_loss, f.own_kl, f.cross_kl,
            f.own_output, f.own_value_power, f.cross_value_power);
  }

  std::string bytes_;
  std::string_view from_;
  bool reading_ = false;
};

void members(Archive& archive, simulator::Responses& r) {
  archive(r.groups, r.noise, r.flips, r.watched, r.samples, r.seconds);
}

std::string head(const std::string& key, std::string_view body) {
  return "assay responses 1 " + key + "\n" + proptests::sha256(body) + "\n";
}

}  // namespace

void save_responses(const std::filesystem::path& path, const std::string& key,
                    const simulator::Responses& responses) {
  Archive archive;
  members(archive, const_cast<simulator::Responses&>(responses));  // reads them: it appends
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << head(key, archive.bytes()) << archive.bytes();
  file.close();
  if (!file) throw simulator::OutputError(path.string() + ": cannot be written.");
}

std::optional<simulator::Responses> load_responses(const std::filesystem::path& path,
                                                   const std::string& key) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
  const simulator::MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  const std::size_t size = head(key, "").size();
  if (text.size() < size || text.substr(0, size) != head(key, text.substr(size)))
    return std::nullopt;
  Archive archive(text.substr(size));
  simulator::Responses out;
  members(archive, out);
  if (!archive.at_end()) return std::nullopt;
  return out;
}

}  // namespace assay::tools
