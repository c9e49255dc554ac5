// SPDX-License-Identifier: Apache-2.0
#include "simulator/linear_replay.h"

#include <cmath>

#include "simulator/error_figures.h"
#include "simulator/fake_quantize.h"
#include "simulator/hadamard.h"

namespace assay::simulator {
namespace {

struct Operand {
  std::string tensor;
  std::vector<float> values;
  std::int64_t rows = 0, cols = 0;
};

/// The linear's input as it saw it: gathered by `rows` where the op has them.
Operand read_input(const Recording& recording, const Op& op) {
  const auto tensor = recording.tensor(op, Role::input);
  Operand x{op.tensor(Role::input), {}, tensor.rows(), tensor.cols()};
  auto all = read_finite(tensor);
  // The last linear of an expert names its rows too, for combining; its input is gathered already.
  const bool gathered = !op.has(Role::rows) || op.has(Role::row_gate);
  if (gathered) {
    x.values = std::move(all);
    return x;
  }
  const auto rows = recording.tensor(op, Role::rows).read_ints();
  for (const std::int64_t r : rows) {
    if (r < 0 || r >= x.rows) {
      throw InputError("recording " + recording.header().name + ": op " + op.id + " reads row " +
                       std::to_string(r) + " of " + x.tensor + ", which has " +
                       std::to_string(x.rows) + ".");
    }
    const auto begin = all.begin() + r * x.cols;
    x.values.insert(x.values.end(), begin, begin + x.cols);
  }
  x.rows = static_cast<std::int64_t>(rows.size());
  return x;
}

class LinearJob {
 public:
  LinearJob(const Recording& recording, const Op& op, const Recipe& recipe,
            const ReplayOptions& options)
      : recording_(recording),
        op_(op),
        recipe_(recipe),
        options_(options),
        class_(linear_class(op)),
        treatment_(treatment_of(op, recipe, options)) {}

  LinearOutcome run(const Matrix* clean_input, const Matrix* perturbed_input) {
    outcome_.touched =
        quantizes(treatment_.weight, recipe_) || quantizes(treatment_.activation, recipe_);
    const auto weight = recording_.tensor(op_, Role::weight);
    Operand w{op_.tensor(Role::weight), read_finite(weight), weight.rows(), weight.cols()};
    const Matrix clean_w = to_matrix(w.values, w.rows, w.cols);
    const Matrix hat_w = quantized(w, treatment_.weight, Role::weight).value_or(clean_w);
    Operand x = read_input(recording_, op_);
    if (x.cols != w.cols) {
      throw InputError("recording " + recording_.header().name + ": op " + op_.id + " has " +
                       std::to_string(w.cols) + " weight columns for an input of " +
                       std::to_string(x.cols) + ".");
    }
    outcome_.has_rows = x.rows > 0;
    if (x.rows > 0) {
      const Matrix clean_x = to_matrix(x.values, x.rows, x.cols);
      const Matrix hat_x = quantized(x, treatment_.activation, Role::input).value_or(clean_x);
      outcome_.clean = clean_x * clean_w.transpose();
      outcome_.perturbed = outcome_.touched ? Matrix(hat_x * hat_w.transpose()) : outcome_.clean;
      if (outcome_.touched) measure_output(x);
      measure_gradient();
    }
    if (clean_input != nullptr) propagate(*clean_input, *perturbed_input, clean_w, hat_w);
    return std::move(outcome_);
  }

 private:
  /// nullopt where the recipe leaves the operand alone.
  std::optional<Matrix> quantized(const Operand& x, const OperandFormat& format, Role role) {
    if (!quantizes(format, recipe_) || x.values.empty()) return std::nullopt;
    // What quantization does is measured where it happens; the transform keeps lengths and angles.
    OperandFormat plain = format;
    plain.hadamard = 0;
    std::vector<float> turned = x.values;
    if (format.hadamard > 0) hadamard(turned, x.rows, x.cols, format);
    auto q = fake_quantize(turned, x.rows, x.cols, plain, tensor_seed(options_.seed, x.tensor));
    TensorReplay t;
    t.tensor = x.tensor;
    t.op = op_.id;
    t.role = role;
    t.tensor_class = class_;
    t.layer = op_.layer;
    t.expert = op_.expert;
    t.rows = x.rows;
    t.cols = x.cols;
    t.format = format.format_name();
    t.stand_in_scales = format.scales == ScaleSource::least_squares;
    measure_tensor(turned, q, plain, t);
    outcome_.tensors.push_back(std::move(t));
    if (format.hadamard > 0)
      undo_hadamard({q.values.data(), turned.size()}, x.rows, x.cols, format);
    return std::move(q.values);
  }

  void measure_output(const Operand& x) {
    const Matrix& y = outcome_.clean;
    const auto size = static_cast<std::size_t>(y.size());
    LinearReplay l;
    l.op = op_.id;
    l.tensor_class = class_;
    l.layer = op_.layer;
    l.expert = op_.expert;
    l.rows = x.rows;
    l.in = x.cols;
    l.out = y.cols();
    l.error = error_figures({y.data(), size}, {outcome_.perturbed.data(), size});
    ErrorFigures w;
    ErrorFigures a;
    for (const auto& t : outcome_.tensors) (t.role == Role::weight ? w : a) = t.error;
    l.nsr_if_uncorrelated = w.gain * w.gain * a.nsr + a.gain * a.gain * w.nsr + a.nsr * w.nsr;
    const Matrix dy = outcome_.perturbed - y;
    for (std::int64_t r = 0; r < y.rows(); ++r) {
      const double power = y.row(r).squaredNorm();
      const double relative = power > 0 ? dy.row(r).squaredNorm() / power : 0;
      if (relative > l.worst_row_error) {
        l.worst_row_error = relative;
        l.worst_row = r;
      }
    }
    if (op_.has(Role::output_grad)) {
      const auto g = read_finite(recording_.tensor(op_, Role::output_grad));
      if (g.size() == size) {
        l.has_loss_change = true;
        for (std::size_t i = 0; i < size; ++i) l.loss_change += g[i] * dy.data()[i];
      }
    }
    outcome_.linear = std::move(l);
  }

  /// The gradient operand of the backward GEMMs, where the recipe quantizes it.
  void measure_gradient() {
    if (!quantizes(treatment_.gradient, recipe_) || !op_.has(Role::output_grad)) return;
    const auto tensor = recording_.tensor(op_, Role::output_grad);
    const Operand g{op_.tensor(Role::output_grad), read_finite(tensor), tensor.rows(),
                    tensor.cols()};
    (void)quantized(g, treatment_.gradient, Role::output_grad);
  }

  void propagate(const Matrix& clean, const Matrix& perturbed, const Matrix& w,
                 const Matrix& hat_w) {
    if (clean.cols() != w.cols()) {
      throw InputError("recording " + recording_.header().name + ": op " + op_.id + " has " +
                       std::to_string(w.cols()) + " weight columns for the " +
                       std::to_string(clean.cols()) + " that op " + op_.inputs[0] + " gives it.");
    }
    outcome_.clean = clean * w.transpose();
    const Matrix x =
        under_recipe(perturbed, treatment_.activation, recipe_, options_, op_.tensor(Role::input));
    outcome_.perturbed = x * hat_w.transpose();
  }

  const Recording& recording_;
  const Op& op_;
  const Recipe& recipe_;
  const ReplayOptions& options_;
  TensorClass class_;
  Treatment treatment_;
  LinearOutcome outcome_;
};

}  // namespace

std::uint64_t tensor_seed(std::uint64_t seed, std::string_view tensor) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : tensor) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return seed ^ hash;
}

bool quantizes(const OperandFormat& operand, const Recipe& recipe) {
  return operand.block || operand.element != recipe.high_precision.element;
}

TensorClass linear_class(const Op& op) {
  return op.tensor_class == "linear" ? TensorClass::dense : tensor_class(op.tensor_class);
}

Treatment treatment_of(const Op& op, const Recipe& recipe, const ReplayOptions& options) {
  return recipe.treatment(linear_class(op), op.expert, options.step, {op.layer, options.layers});
}

Matrix under_recipe(const Matrix& x, const OperandFormat& format, const Recipe& recipe,
                    const ReplayOptions& options, std::string_view name) {
  if (!quantizes(format, recipe) || x.size() == 0) return x;
  // Quantizers read FP32: the value is rounded to it first, as a kernel's epilogue would.
  std::vector<float> narrow(static_cast<std::size_t>(x.size()));
  for (std::size_t i = 0; i < narrow.size(); ++i) narrow[i] = static_cast<float>(x.data()[i]);
  return fake_quantize(narrow, x.rows(), x.cols(), format, tensor_seed(options.seed, name)).values;
}

std::vector<float> read_finite(const RecordedTensor& tensor) {
  auto values = tensor.read();
  for (const float v : values) {
    if (!std::isfinite(v)) {
      throw InputError("tensor " + tensor.entry().name +
                       " holds a NaN or an infinity; replay needs a finite training step.");
    }
  }
  return values;
}

Matrix to_matrix(std::span<const float> x, std::int64_t rows, std::int64_t cols) {
  Matrix m(rows, cols);
  for (std::size_t i = 0; i < x.size(); ++i) m.data()[i] = x[i];
  return m;
}

LinearOutcome replay_linear(const Recording& recording, const Op& op, const Recipe& recipe,
                            const ReplayOptions& options, const Matrix* clean_input,
                            const Matrix* perturbed_input) {
  return LinearJob(recording, op, recipe, options).run(clean_input, perturbed_input);
}

}  // namespace assay::simulator
