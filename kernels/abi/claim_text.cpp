// SPDX-License-Identifier: Apache-2.0
#include "kernels/abi/claim_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <vector>

#include "formats/names.h"
#include "kernels/abi/claim.h"

namespace assay::kernels::abi {
namespace {

using Names = std::vector<std::string_view>;

/// A field of the claim as text. `get` and `set` see the same words.
struct Field {
  std::string_view name;
  std::function<std::string(const assay_dut_claim&)> get;
  std::function<void(assay_dut_claim&, std::string_view)> set;
};

[[noreturn]] void reject(std::string_view field, std::string_view value, const std::string& what) {
  throw std::invalid_argument("claim: " + std::string(field) + " is '" + std::string(value) +
                              "', must be " + what);
}

template <std::size_t N>
Field words(std::string_view name, char (assay_dut_claim::*member)[N]) {
  return {name, [=](const assay_dut_claim& c) { return std::string(c.*member); },
          [=](assay_dut_claim& c, std::string_view value) {
            if (value.size() >= N)
              reject(name, value, "at most " + std::to_string(N - 1) + " characters");
            std::memset(c.*member, 0, N);
            std::memcpy(c.*member, value.data(), value.size());
          }};
}

template <class T>
Field number(std::string_view name, T assay_dut_claim::*member) {
  return {name, [=](const assay_dut_claim& c) { return std::to_string(c.*member); },
          [=](assay_dut_claim& c, std::string_view value) {
            const char* end = value.data() + value.size();
            const auto [at, error] = std::from_chars(value.data(), end, c.*member);
            if (error != std::errc{} || at != end) reject(name, value, "an integer");
          }};
}

std::size_t position(std::string_view field, const Names& names, std::string_view value) {
  const auto found = std::find(names.begin(), names.end(), value);
  if (found == names.end())
    throw std::invalid_argument(
        "claim: " + formats::unknown_name(std::string(field), std::string(value), names));
  return static_cast<std::size_t>(found - names.begin());
}

Field choice(std::string_view name, std::uint32_t assay_dut_claim::*member, const Names& names) {
  return {name, [=](const assay_dut_claim& c) { return std::string(names.at(c.*member)); },
          [=](assay_dut_claim& c, std::string_view value) {
            c.*member = static_cast<std::uint32_t>(position(name, names, value));
          }};
}

/// Words joined by '+', each a bit.
template <class T>
Field bits(std::string_view name, T assay_dut_claim::*member, const Names& names) {
  return {name,
          [=](const assay_dut_claim& c) {
            std::string text;
            for (std::size_t i = 0; i < names.size(); ++i)
              if ((static_cast<std::uint32_t>(c.*member) >> i & 1U) != 0)
                text += (text.empty() ? "" : "+") + std::string(names[i]);
            return text;
          },
          [=](assay_dut_claim& c, std::string_view value) {
            c.*member = 0;
            while (!value.empty()) {
              const std::size_t end = std::min(value.find('+'), value.size());
              c.*member = static_cast<T>(static_cast<std::uint32_t>(c.*member) |
                                         1U << position(name, names, value.substr(0, end)));
              value.remove_prefix(std::min(end + 1, value.size()));
            }
          }};
}

const std::vector<Field>& fields() {
  using C = assay_dut_claim;
  static const std::vector<Field> all{
      words("name", &C::name),
      words("a", &C::a),
      words("b", &C::b),
      words("d", &C::d),
      words("profile", &C::profile),
      words("mma_model", &C::mma_model),
      choice("rounding", &C::rounding,
             {"nearest_even", "nearest_away", "toward_zero", "toward_positive", "toward_negative",
              "to_odd", "stochastic"}),
      choice("accumulator", &C::accumulator,
             {"exact", "fp32_any_order", "fp32_fixed_order", "truncating"}),
      choice("scale_layout", &C::scale_layout, {"row_major", "128x4"}),
      choice("gate_layout", &C::gate_layout, {"concatenated", "interleaved"}),
      choice("group_layout", &C::group_layout, {"contiguous", "masked"}),
      choice("random", &C::random, {"opaque", "words", "philox"}),
      number("fraction_bits", &C::fraction_bits),
      number("promotion", &C::promotion),
      number("random_bits", &C::random_bits),
      bits("estimators", &C::estimators, {estimator_names.begin(), estimator_names.end()}),
      number("m_multiple", &C::m_multiple),
      number("n_multiple", &C::n_multiple),
      number("k_multiple", &C::k_multiple),
      number("tactics", &C::tactics),
      bits("flags", &C::flags,
           {"deterministic", "strides", "stream", "graph", "any_padding", "batch_invariant",
            "far_rows"})};
  return all;
}

std::string_view next_word(std::string_view& text) {
  constexpr std::string_view gaps = " ,\t";
  text.remove_prefix(std::min(text.find_first_not_of(gaps), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(gaps));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace

Claim parse_claim(std::string_view text) {
  assay_dut_claim claim = default_claim();
  const std::string_view operation = next_word(text);
  if (operation.empty())
    throw std::invalid_argument("the claim is empty; one is 'quantize a=mxfp4-rceil'");
  claim.operation = operation_of(operation);
  for (std::string_view word = next_word(text); !word.empty(); word = next_word(text)) {
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos)
      throw std::invalid_argument("claim: '" + std::string(word) + "' is not FIELD=VALUE");
    Names names;
    for (const Field& field : fields()) names.push_back(field.name);
    fields()[position("field", names, word.substr(0, equals))].set(claim, word.substr(equals + 1));
  }
  const bool named = claim.name[0] != '\0';
  if (!named) words("name", &assay_dut_claim::name).set(claim, operation);
  Claim result = from_abi(claim);
  if (!named) result.name.clear();  // name_of() makes one of the formats
  return result;
}

std::string text_of(const Claim& claim) {
  assay_dut_claim c = to_abi(claim);
  if (claim.name.empty()) words("name", &assay_dut_claim::name).set(c, "");
  const assay_dut_claim defaults = default_claim();
  std::string text = claim.operation;
  for (const Field& field : fields())
    if (const std::string value = field.get(c); value != field.get(defaults))
      text += " " + std::string(field.name) + "=" + value;
  return text;
}

}  // namespace assay::kernels::abi
