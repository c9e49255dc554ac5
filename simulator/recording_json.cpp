// SPDX-License-Identifier: Apache-2.0
// recording.json <-> RecordingHeader.
#include <algorithm>
#include <filesystem>
#include <set>

#include "simulator/recording.h"
#include "simulator/recording_tiling.h"
#include "simulator/shape.h"
#include "simulator/strict_json.h"

namespace assay::simulator {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSchema = "assay-recording";
constexpr std::string_view kRoles[] = {
    "weight",   "norm_weight",   "input",         "output",      "output_grad",
    "residual", "router_logits", "router_choice", "router_gate", "rows",
    "row_gate", "tokens",        "targets",       "router_bias", "update"};
constexpr std::string_view kKinds[] = {"embedding", "rmsnorm", "linear", "attention", "top_k",
                                       "swiglu",    "combine", "add",    "loss"};

/// Reads the fields of one JSON object and says which one is wrong.
class Object {
 public:
  Object(const Json& json, std::string_view file, std::string what)
      : json_(json), file_(file), what_(std::move(what)) {
    if (!json_.is_object()) fail("is not an object");
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw InputError(std::string(file_) + ": " + what_ + " " + problem + ".");
  }

  void rename(std::string what) { what_ = std::move(what); }
  bool has(const char* key) const { return json_.contains(key); }

  const Json& get(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) fail(std::string("has no \"") + key + "\"");
    return *found;
  }

  std::string text(const char* key) const {
    const Json& value = get(key);
    if (!value.is_string()) fail(std::string("has a \"") + key + "\" that is not a string");
    return value.get<std::string>();
  }

  std::int64_t integer(const char* key) const {
    const Json& value = get(key);
    if (!value.is_number_integer() ||
        (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)) {
      fail(std::string("has a \"") + key + "\" that is not a 64-bit integer");
    }
    return value.get<std::int64_t>();
  }

  int small(const char* key, int otherwise) const {
    if (!has(key)) return otherwise;
    const std::int64_t value = integer(key);
    if (value < -1 || value > 1'000'000'000)
      fail(std::string("has a \"") + key + "\" out of range");
    return static_cast<int>(value);
  }

  std::vector<std::int64_t> extents(const char* key) const {
    std::vector<std::int64_t> result;
    for (const Json& value : list(key)) {
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() > INT64_MAX) {
        fail(std::string("has a \"") + key + "\" with something else than natural numbers");
      }
      result.push_back(value.get<std::int64_t>());
    }
    return result;
  }

  const Json& list(const char* key) const {
    const Json& value = get(key);
    if (!value.is_array()) fail(std::string("has a \"") + key + "\" that is not a list");
    return value;
  }

  std::map<std::string, std::string> texts(const char* key) const {
    std::map<std::string, std::string> result;
    if (!get(key).is_object()) fail(std::string("has a \"") + key + "\" that is not an object");
    for (const auto& [name, value] : get(key).items()) {
      if (!value.is_string()) fail("has \"" + name + "\" that is not a string");
      result[name] = value.get<std::string>();
    }
    return result;
  }

  template <typename Enum, std::size_t N>
  Enum one_of(const std::string& value, const std::string_view (&names)[N]) const {
    const auto found = std::find(std::begin(names), std::end(names), value);
    if (found == std::end(names)) fail("has the unknown word \"" + value + "\"");
    return static_cast<Enum>(found - std::begin(names));
  }

  std::string_view file() const { return file_; }

 private:
  const Json& json_;
  std::string_view file_;
  std::string what_;
};

Shard parse_shard(const Json& json, const TensorEntry& tensor, std::string_view file) {
  const Object object(json, file, "a shard of tensor \"" + tensor.name + "\"");
  Shard shard;
  shard.file = object.text("file");
  const std::filesystem::path path(shard.file);
  const bool inside = !shard.file.empty() && shard.file.find('\0') == std::string::npos &&
                      !path.is_absolute() &&
                      std::find(path.begin(), path.end(), "..") == path.end();
  if (!inside) object.fail("names the file \"" + shard.file + "\" outside the recording's folder");
  shard.key = object.has("key") ? object.text("key") : tensor.name;
  shard.shape = object.has("shape") ? object.extents("shape") : tensor.shape;
  shard.offset = object.has("offset") ? object.extents("offset")
                                      : std::vector<std::int64_t>(tensor.shape.size(), 0);
  shard.rank = object.small("rank", 0);
  shard.microbatch = object.small("microbatch", 0);
  return shard;
}

TensorEntry parse_tensor(const Json& json, bool whole, std::string_view file) {
  Object object(json, file, "a tensor");
  TensorEntry tensor{};
  tensor.name = object.text("name");
  object.rename("tensor \"" + tensor.name + "\"");
  tensor.role = object.one_of<Role>(object.text("role"), kRoles);
  const DtypeInfo* dtype = find_dtype(object.text("dtype"));
  if (dtype == nullptr) object.fail("has the unknown dtype \"" + object.text("dtype") + "\"");
  tensor.dtype = dtype->dtype;
  tensor.shape = object.extents("shape");
  if (!byte_count(tensor.dtype, tensor.shape)) {
    object.fail("of shape " + shape_text(tensor.shape) + " is too large or ends inside a byte");
  }
  for (const Json& shard : object.list("shards")) {
    tensor.shards.push_back(parse_shard(shard, tensor, file));
  }
  if (const std::string problem = tiling_problem(tensor, whole); !problem.empty())
    object.fail(problem);
  return tensor;
}

Op parse_op(const Json& json, const std::set<std::string>& tensors,
            const std::set<std::string>* before, std::string_view file) {
  Object object(json, file, "an op");
  Op op{};
  op.id = object.text("id");
  object.rename("op \"" + op.id + "\"");
  op.kind = object.one_of<OpKind>(object.text("kind"), kKinds);
  op.tensor_class = object.text("class");
  op.layer = object.small("layer", -1);
  op.expert = object.small("expert", -1);
  for (const Json& input : object.list("inputs")) {
    if (!input.is_string() || (before && !before->contains(input.get<std::string>()))) {
      object.fail("has an input that is no op before it: " + input.dump());
    }
    op.inputs.push_back(input.get<std::string>());
  }
  for (const auto& [role, name] : object.texts("tensors")) {
    if (!tensors.contains(name))
      object.fail("names the tensor \"" + name + "\", which is not listed");
    op.tensors[object.one_of<Role>(role, kRoles)] = name;
  }
  if (object.has("numbers")) {
    if (!object.get("numbers").is_object()) object.fail("has \"numbers\" that are not an object");
    for (const auto& [key, value] : object.get("numbers").items()) {
      if (!value.is_number()) object.fail("has \"" + key + "\" that is not a number");
      op.numbers[key] = value.get<double>();
    }
  }
  return op;
}

RecordedPart parse_part(const Object& object) {
  RecordedPart part;
  if (!object.has("ranks")) return part;
  part.ranks = object.small("ranks", 1);
  part.rank = object.small("rank", 0);
  part.stage = object.small("stage", 0);
  if (object.has("run")) part.run = object.text("run");
  if (part.ranks < 1 || part.rank < 0 || part.rank >= part.ranks)
    object.fail("is rank " + std::to_string(part.rank) + " of " + std::to_string(part.ranks));
  return part;
}

RecordedFile parse_file(const Json& json, std::string_view file) {
  const Object object(json, file, "an entry of \"files\"");
  RecordedFile entry{object.text("file"), 0, object.text("sha256")};
  const std::int64_t bytes = object.integer("bytes");
  if (bytes < 0) object.fail("has a negative number of bytes");
  entry.bytes = static_cast<std::uint64_t>(bytes);
  return entry;
}

Json shard_json(const Shard& shard, const TensorEntry& tensor) {
  Json json = {{"file", shard.file}};
  if (shard.key != tensor.name) json["key"] = shard.key;
  const bool whole = shard.shape == tensor.shape &&
                     std::ranges::all_of(shard.offset, [](auto o) { return o == 0; });
  if (!whole || tensor.shards.size() > 1) {
    json["offset"] = shard.offset;
    json["shape"] = shard.shape;
  }
  if (shard.rank != 0) json["rank"] = shard.rank;
  if (shard.microbatch != 0) json["microbatch"] = shard.microbatch;
  return json;
}

Json tensor_json(const TensorEntry& tensor) {
  Json json = {{"name", tensor.name},
               {"role", name(tensor.role)},
               {"dtype", info(tensor.dtype).name},
               {"shape", tensor.shape},
               {"shards", Json::array()}};
  for (const Shard& shard : tensor.shards) json["shards"].push_back(shard_json(shard, tensor));
  return json;
}

Json op_json(const Op& op) {
  Json json = {{"id", op.id},
               {"kind", name(op.kind)},
               {"class", op.tensor_class},
               {"inputs", op.inputs},
               {"tensors", Json::object()}};
  for (const auto& [role, tensor] : op.tensors) json["tensors"][std::string(name(role))] = tensor;
  if (op.layer != -1) json["layer"] = op.layer;
  if (op.expert != -1) json["expert"] = op.expert;
  if (!op.numbers.empty()) json["numbers"] = op.numbers;
  return json;
}

}  // namespace

std::string_view name(Role role) { return kRoles[static_cast<std::size_t>(role)]; }
std::string_view name(OpKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

RecordingHeader parse_recording(std::string_view json_text, std::string_view file_name) {
  const Json json = parse_strict_json(json_text, file_name, "the recording");
  const Object object(json, file_name, "the recording");
  if (object.text("schema") != kSchema) object.fail("has another schema than \"assay-recording\"");
  if (object.integer("version") != kRecordingSchemaVersion) {
    object.fail("has schema version " + std::to_string(object.integer("version")) +
                ", this program reads version " + std::to_string(kRecordingSchemaVersion));
  }
  RecordingHeader header;
  header.name = object.text("name");
  header.training_step = object.integer("training_step");
  header.token_sampling = object.text("token_sampling");
  const Object provenance(object.get("provenance"), file_name, "the provenance");
  header.provenance = {provenance.text("text"), provenance.text("licence"),
                       provenance.texts("facts")};

  header.part = parse_part(object);
  const bool whole = header.part.ranks == 1;
  if (object.has("files")) {
    for (const Json& file : object.list("files"))
      header.files.push_back(parse_file(file, file_name));
  }
  std::set<std::string> tensors;
  for (const Json& tensor : object.list("tensors")) {
    header.tensors.push_back(parse_tensor(tensor, whole, file_name));
    if (!tensors.insert(header.tensors.back().name).second) {
      object.fail("has the tensor \"" + header.tensors.back().name + "\" twice");
    }
  }
  std::set<std::string> ops;
  for (const Json& op : object.list("ops")) {
    header.ops.push_back(parse_op(op, tensors, whole ? &ops : nullptr, file_name));
    if (!ops.insert(header.ops.back().id).second) {
      object.fail("has the op \"" + header.ops.back().id + "\" twice");
    }
  }
  return header;
}

std::string to_json(const RecordingHeader& header) {
  Json head = {{"schema", kSchema},
               {"version", kRecordingSchemaVersion},
               {"name", header.name},
               {"training_step", header.training_step},
               {"token_sampling", header.token_sampling},
               {"provenance",
                {{"text", header.provenance.text},
                 {"licence", header.provenance.licence},
                 {"facts", header.provenance.facts}}}};
  if (header.part.ranks != 1) {
    head["rank"] = header.part.rank;
    head["ranks"] = header.part.ranks;
    head["stage"] = header.part.stage;
    head["run"] = header.part.run;
  }
  for (const RecordedFile& f : header.files)
    head["files"].push_back({{"file", f.file}, {"bytes", f.bytes}, {"sha256", f.sha256}});
  // One op or tensor a line, so that a diff of two recordings can be read.
  std::string text = head.dump();
  text.pop_back();
  const auto append = [&](const char* key, const auto& values, auto to) {
    text += std::string(",\n\"") + key + "\":[";
    for (std::size_t i = 0; i < values.size(); ++i) {
      text += (i == 0 ? "\n" : ",\n") + to(values[i]).dump();
    }
    text += "\n]";
  };
  append("ops", header.ops, op_json);
  append("tensors", header.tensors, tensor_json);
  return text + "}\n";
}

}  // namespace assay::simulator
