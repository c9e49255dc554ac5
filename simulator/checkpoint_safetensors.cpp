// SPDX-License-Identifier: Apache-2.0
#include "simulator/checkpoint_safetensors.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "formats/codec.h"
#include "formats/layout.h"
#include "simulator/shape.h"
#include "simulator/strict_json.h"

namespace assay::simulator {
namespace {

namespace fs = std::filesystem;

bool one_of(std::span<const Dtype> dtypes, Dtype dtype) {
  return std::find(dtypes.begin(), dtypes.end(), dtype) != dtypes.end();
}

std::string quoted(const std::string& name) { return "'" + name + "'"; }

std::int64_t product(std::span<const std::int64_t> extents) {
  std::int64_t n = 1;
  for (const std::int64_t extent : extents) n *= extent;
  return n;
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

SafetensorsCheckpoint::SafetensorsCheckpoint(std::string path, std::vector<SafetensorsFile> files,
                                             const fs::path& folder,
                                             std::optional<GlobalScale> global_scale)
    : Checkpoint(std::move(path)), files_(std::move(files)), override_(global_scale) {
  read_configuration(folder);
  for (const SafetensorsFile& file : files_) {
    for (const SafetensorsEntry& entry : file.header().entries) {
      if (!parts_.emplace(entry.name, Part{&file, file.tensor(entry.name)}).second)
        throw InputError(path_ + ": the tensor '" + entry.name + "' is in two of its files.");
    }
  }
  for (const auto& [name, codes] : parts_) {
    for (const std::string_view suffix : {".weight_scale", ".weight_scale_inv", ".scale"})
      scaled_ |= codes.view.dtype == Dtype::f8_e4m3 && name.ends_with(".weight") &&
                 part(name.substr(0, name.size() - 7), suffix) != nullptr;
  }
  // Scale factors are parts of their weights, not weights of their own.
  std::set<std::string, std::less<>> consumed;
  for (const auto& [name, codes] : parts_) {
    for (const CheckpointKind& kind : checkpoint_kinds) {
      if (!name.ends_with(kind.codes)) continue;
      const std::string prefix = name.substr(0, name.size() - kind.codes.size());
      const Part* scales = part(prefix, kind.scales);
      if (!one_of(kind.code_dtypes, codes.view.dtype) || scales == nullptr) continue;
      for (const std::string_view suffix : {kind.scales, kind.global})
        if (!suffix.empty()) consumed.insert(prefix + std::string(suffix));
      if (kind.code == StoredCode::int_words) consumed.insert(prefix + ".weight_shape");
    }
  }
  for (const auto& [name, codes] : parts_)
    if (!consumed.contains(name)) add(name, codes);
}

const SafetensorsCheckpoint::Part* SafetensorsCheckpoint::part(std::string_view prefix,
                                                               std::string_view suffix) const {
  const auto found = parts_.find(std::string(prefix) + std::string(suffix));
  return found == parts_.end() ? nullptr : &found->second;
}

void SafetensorsCheckpoint::read_configuration(const fs::path& folder) {
  const auto json_of = [&](const char* name) {
    const fs::path path = folder / name;
    if (!fs::is_regular_file(path)) return nlohmann::json();
    const MappedFile file(path);
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                                file.bytes().size());
    return parse_strict_json(text, path.string(), "it");
  };
  const auto text_at = [](const nlohmann::json& json, const char* key) {
    return json.is_object() && json.contains(key) && json[key].is_string()
               ? json[key].get<std::string>()
               : std::string();
  };
  const nlohmann::json config = json_of("config.json");
  if (config.is_object() && config.contains("quantization_config")) {
    const nlohmann::json& quantization = config["quantization_config"];
    maker_ = text_at(quantization, "quant_method");
    if (quantization.is_object() && quantization.contains("weight_block_size")) {
      const nlohmann::json& block = quantization["weight_block_size"];
      if (block.is_array() && block.size() == 2 && block[0].is_number_integer() &&
          block[1].is_number_integer() && block[0] >= 1 && block[1] >= 1)
        weight_block_size_ = {block[0].get<std::int64_t>(), block[1].get<std::int64_t>()};
    }
  }
  const nlohmann::json exported = json_of("hf_quant_config.json");
  if (maker_.empty() && exported.is_object() && exported.contains("producer"))
    maker_ = text_at(exported["producer"], "name");
}

void SafetensorsCheckpoint::add(const std::string& name, const Part& codes) {
  // Of the kinds whose codes and scales are there, the one whose global scale is there too.
  const CheckpointKind* best = nullptr;
  std::string problem;
  for (const CheckpointKind& kind : checkpoint_kinds) {
    if (!name.ends_with(kind.codes)) continue;
    const std::string prefix = name.substr(0, name.size() - kind.codes.size());
    const Part* scales = part(prefix, kind.scales);
    const bool packed = kind.codes == ".weight_packed";
    if (!one_of(kind.code_dtypes, codes.view.dtype)) {
      if (packed && best == nullptr && problem.empty())
        problem = "its dtype " + std::string(info(codes.view.dtype).name) +
                  " is none that packed weights have";
      continue;
    }
    if (scales == nullptr) {
      if ((packed || (codes.view.dtype == Dtype::f8_e4m3 && scaled_)) && best == nullptr)
        problem = "there is no tensor " + quoted(prefix + std::string(kind.scales)) +
                  " with its scale factors";
      continue;
    }
    if (!one_of(kind.scale_dtypes, scales->view.dtype)) {
      if (best == nullptr)
        problem = "the dtype " + std::string(info(scales->view.dtype).name) + " of " +
                  quoted(prefix + std::string(kind.scales)) + " fits no known kind";
      continue;
    }
    const bool whole = kind.global.empty() || part(prefix, kind.global) != nullptr;
    if (best == nullptr ||
        (whole && !best->global.empty() && part(prefix, best->global) == nullptr))
      best = &kind;
  }
  if (best != nullptr && add_quantized(name, codes, *best)) return;
  Plan plan;
  plan.codes = codes;
  const std::span<const std::int64_t> shape = codes.view.shape;
  tensors_.push_back({name,
                      std::string(info(codes.view.dtype).name),
                      {shape.begin(), shape.end()},
                      product(shape),
                      problem});
  plan.bits = info(codes.view.dtype).bits;
  plan.cols = std::max<std::int64_t>(1, product(shape));
  plans_.push_back(plan);
}

bool SafetensorsCheckpoint::add_quantized(const std::string& name, const Part& codes,
                                          const CheckpointKind& kind) {
  const std::string prefix = name.substr(0, name.size() - kind.codes.size());
  Plan plan;
  plan.kind = &kind;
  plan.codes = codes;
  plan.scales = *part(prefix, kind.scales);
  CheckpointTensor tensor{prefix + std::string(kind.weight), std::string(kind.name), {}, 0, ""};
  std::vector<std::int64_t> shape;
  tensor.problem = fit(plan, shape, part(prefix, ".weight_shape"));
  if (tensor.problem.empty() && !kind.global.empty()) {
    const Part* global = part(prefix, kind.global);
    if (global == nullptr) {
      tensor.problem = "there is no tensor " + quoted(prefix + std::string(kind.global)) +
                       " with its global scale";
    } else {
      plan.global = *global;
      tensor.problem =
          fit_global(plan, product(shape) / std::max<std::int64_t>(1, plan.rows * plan.cols));
    }
    bool ambiguous = !kind.convention.has_value();
    for (const CheckpointKind& other : checkpoint_kinds)  // both global scales are there
      ambiguous |= other.codes == kind.codes && !other.global.empty() &&
                   other.global != kind.global && part(prefix, other.global) != nullptr;
    ambiguous |= (maker_ == kinds::compressed_tensors || maker_ == kinds::modelopt) &&
                 !kind.maker.empty() && maker_ != kind.maker;
    if (tensor.problem.empty() && ambiguous && !override_)
      tensor.problem =
          "its names" +
          (maker_.empty() ? std::string() : " and the configuration (" + maker_ + ")") +
          " do not tell whether its global scale multiplies or divides; say --global-scale "
          "multiplier or --global-scale divisor";
    plan.divide = override_.value_or(kind.convention.value_or(GlobalScale::multiplier)) ==
                  GlobalScale::divisor;
  }
  for (const std::string_view refused : refused_parts)
    if (tensor.problem.empty() && part(prefix, refused) != nullptr)
      tensor.problem = quoted(prefix + std::string(refused)) +
                       " belongs to it, and asymmetric or reordered groups cannot be read";
  tensor.elements = tensor.problem.empty() ? product(shape) : 0;
  tensor.shape = std::move(shape);
  tensors_.push_back(std::move(tensor));
  plans_.push_back(plan);
  return true;
}

std::string SafetensorsCheckpoint::fit(Plan& plan, std::vector<std::int64_t>& shape,
                                       const Part* stored_shape) const {
  const std::span<const std::int64_t> stored = plan.codes.view.shape;
  if (stored.empty()) return "its codes are a scalar";
  shape.assign(stored.begin(), stored.end());
  switch (plan.kind->code) {
    case StoredCode::number:
      plan.bits = info(plan.codes.view.dtype).bits;
      break;
    case StoredCode::e2m1_pair:
      plan.bits = 4;
      if (shape.back() > INT64_MAX / 2) return "its rows are too long";
      shape.back() *= 2;
      break;
    case StoredCode::e2m1_block:
      plan.bits = 4;
      if (shape.size() < 2 || shape.back() != 16)
        return "its shape " + shape_text(stored) + " does not end in blocks of 16 bytes";
      shape.pop_back();
      if (shape.back() > INT64_MAX / 32) return "its rows are too long";
      shape.back() *= 32;
      break;
    case StoredCode::int_words: {
      if (stored_shape == nullptr) return "there is no weight_shape beside it";
      std::vector<std::int64_t> extents(stored_shape->view.element_count());
      if (info(stored_shape->view.dtype).floating || extents.size() != stored.size())
        return "its weight_shape does not have " + std::to_string(stored.size()) + " integers";
      to_int(stored_shape->view.dtype, stored_shape->view.bytes, 0, extents);
      const std::int64_t cols = extents.back();
      const bool same_rows = std::equal(extents.begin(), extents.end() - 1, stored.begin());
      if (!same_rows || cols < 1 || cols > INT64_MAX / 8)
        return "its weight_shape " + shape_text(extents) + " does not fit its codes, " +
               shape_text(stored);
      const bool four = ceil_div(cols, 8) == stored.back();
      const bool eight = ceil_div(cols, 4) == stored.back();
      if (four == eight)
        return "rows of " + std::to_string(cols) + " in " + std::to_string(stored.back()) +
               " words do not tell whether its codes have 4 or 8 bits";
      plan.bits = four ? 4 : 8;
      shape = extents;
      break;
    }
  }
  if (!element_count(shape)) return "its shape " + shape_text(shape) + " is too large";
  if (product(shape) == 0) return "it has no elements";
  plan.cols = shape.back();
  plan.rows = shape.size() < 2 ? 1 : shape[shape.size() - 2];
  plan.stride =
      static_cast<std::int64_t>(plan.codes.view.bytes.size()) / (product(shape) / plan.cols);
  return fit_blocks(plan, shape);
}

std::string SafetensorsCheckpoint::fit_blocks(Plan& plan,
                                              std::span<const std::int64_t> shape) const {
  const std::span<const std::int64_t> scales = plan.scales.view.shape;
  const std::string mismatch =
      "its scale factors, " + shape_text(scales) + ", do not fit its shape " + shape_text(shape);
  const std::int64_t count = product(scales);
  const std::int64_t matrices = product(shape) / (plan.rows * plan.cols);
  const auto set = [&](std::int64_t block_rows, std::int64_t block_cols) {
    plan.block_rows = block_rows;
    plan.block_cols = block_cols;
    plan.scale_rows = ceil_div(plan.rows, block_rows);
    plan.scale_cols = ceil_div(plan.cols, block_cols);
    return count == matrices * plan.scale_rows * plan.scale_cols;
  };
  const bool leading = scales.size() == shape.size() && shape.size() >= 2 &&
                       std::equal(shape.begin(), shape.end() - 2, scales.begin());
  const std::int64_t down = leading ? scales[scales.size() - 2] : 0;
  const std::int64_t across = leading ? scales.back() : 0;
  const auto is_grid = [&](std::int64_t block_rows, std::int64_t block_cols) {
    return set(block_rows, block_cols) && leading && down == plan.scale_rows &&
           across == plan.scale_cols;
  };
  const StoredBlock square = weight_block_size_.value_or(StoredBlock{128, 128});
  if (plan.kind->block.cols != from_shapes) {
    const bool one_row = plan.kind->block.rows == 1;
    const StoredBlock block = one_row ? plan.kind->block : square;
    if (is_grid(block.rows, block.cols)) return "";
    // A vector of codes is one row.
    const bool vector = shape.size() == 1 && scales.size() == 1;
    return vector && set(block.rows, block.cols) ? "" : mismatch;
  }
  if (count == 1) {
    plan.scale_rows = 0;  // the only one, whatever the matrix
    plan.scale_cols = 0;
    plan.block_rows = plan.rows;
    plan.block_cols = plan.cols;
    return "";
  }
  const bool per_row =
      scales.size() + 1 == shape.size() && std::equal(scales.begin(), scales.end(), shape.begin());
  if (per_row && set(1, plan.cols)) return "";
  const bool per_matrix = shape.size() == 3 && scales.size() == 1 && scales[0] == matrices;
  if (per_matrix && set(plan.rows, plan.cols)) return "";
  if (!leading || across < 1 || down < 1) return mismatch;
  if (down == plan.rows && plan.cols % across == 0 && is_grid(1, plan.cols / across)) return "";
  return is_grid(square.rows, square.cols) ? "" : mismatch;
}

std::string SafetensorsCheckpoint::fit_global(Plan& plan, std::int64_t matrices) const {
  const TensorView& view = plan.global.view;
  if (!one_of(kinds::real, view.dtype))
    return "its global scale has the dtype " + std::string(info(view.dtype).name) +
           ", not F32, BF16 or F16";
  const auto count = static_cast<std::int64_t>(view.element_count());
  if (count != 1 && count != matrices)
    return "it has " + std::to_string(count) + " global scales for " + std::to_string(matrices) +
           " matrices";
  std::vector<float> values(static_cast<std::size_t>(count));
  to_float(view.dtype, view.bytes, 0, values);
  for (const float g : values)
    if (!(std::isfinite(g) && g > 0)) return "a global scale of it is not a positive number";
  return "";
}

// Exact in double: a code has at most 8 significant bits, a scale factor 24; a global scale, 24, is
// there for E2M1 codes with E4M3 scales only, 6 bits together. The quotient by a divisor is rounded
// twice, to 53 bits and to 24 (or fewer, if the result is subnormal), with the result of one
// rounding: a quotient a/g differs from a midpoint m of two floats, if at all, by |a - m g| / g; a
// and m g, of at most 6 and 25 + 24 bits, are integers on one grid, so relatively by 2^-49 or more,
// and rounding to 53 bits cannot reach m.
void SafetensorsCheckpoint::read_elements(std::size_t index, std::int64_t first,
                                          std::span<float> out) const {
  const Plan& plan = plans_[index];
  const TensorView& codes = plan.codes.view;
  if (plan.kind == nullptr)
    return to_float(codes.dtype, codes.bytes, static_cast<std::size_t>(first), out);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(codes.bytes.data());
  const bool exponents = plan.scales.view.dtype == Dtype::u8;
  const Dtype scale_dtype = exponents ? Dtype::f8_e8m0 : plan.scales.view.dtype;
  const auto scalar = [](Dtype dtype, const TensorView& view, std::int64_t at) {
    float value = 0;
    to_float(dtype, view.bytes, static_cast<std::size_t>(at), std::span(&value, 1));
    return value;
  };
  std::vector<float> numbers;
  for (std::size_t done = 0; done < out.size();) {
    const std::int64_t flat = first + static_cast<std::int64_t>(done);
    const std::int64_t row = flat / plan.cols;
    const std::int64_t col = flat % plan.cols;
    const std::int64_t matrix = row / plan.rows;
    const std::int64_t count = std::min({plan.block_cols - col % plan.block_cols, plan.cols - col,
                                         static_cast<std::int64_t>(out.size() - done)});
    const std::int64_t scale_at =
        (matrix * plan.scale_rows + row % plan.rows / plan.block_rows) * plan.scale_cols +
        col / plan.block_cols;
    const double scale = scalar(scale_dtype, plan.scales.view, scale_at);
    const TensorView& globals = plan.global.view;
    const double global =
        plan.global.file == nullptr
            ? 1.0
            : scalar(globals.dtype, globals, globals.element_count() == 1 ? 0 : matrix);
    numbers.resize(static_cast<std::size_t>(count));
    if (plan.kind->code == StoredCode::number) {
      to_float(codes.dtype, codes.bytes, static_cast<std::size_t>(flat), numbers);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::uint32_t code =
            formats::load_code(bytes + row * plan.stride, col + i, plan.bits);
        numbers[static_cast<std::size_t>(i)] =
            plan.kind->code == StoredCode::int_words
                ? static_cast<float>(static_cast<int>(code) - (1 << (plan.bits - 1)))
                : formats::decode(formats::e2m1, code);
      }
    }
    for (const float x : numbers) {
      const double scaled = static_cast<double>(x) * scale;
      out[done++] = static_cast<float>(plan.divide ? scaled / global : scaled * global);
    }
  }
}

void SafetensorsCheckpoint::release(std::size_t index, std::int64_t first,
                                    std::int64_t count) const {
  const Plan& plan = plans_[index];
  const auto begin = plan.codes.view.bytes.data() - plan.codes.file->file().bytes().data();
  const std::int64_t size = static_cast<std::int64_t>(plan.codes.view.bytes.size());
  const std::int64_t from = std::min(size, first * plan.bits / 8);
  const std::int64_t to = std::min(size, (first + count) * plan.bits / 8);
  plan.codes.file->file().release(static_cast<std::size_t>(begin + from),
                                  static_cast<std::size_t>(to - from));
}

}  // namespace assay::simulator
