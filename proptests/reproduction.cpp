// SPDX-License-Identifier: Apache-2.0
#include "proptests/reproduction.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "proptests/sha256.h"
#include "proptests/token.h"

namespace assay::proptests {
namespace {

constexpr std::string_view prefix = "assay1:";
constexpr std::size_t checksum_digits = 8;
/// base64url, RFC 4648 section 5, without padding.
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

[[noreturn]] void reject(const std::string& why) {
  throw std::invalid_argument("the token " + why +
                              "; copy it whole from the line 'assay reproduce assay1:...'");
}

std::string encode(std::string_view bytes) {
  std::string text;
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : bytes) {
    held = held << 8U | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6; bits -= 6) text += alphabet[held >> (bits - 6) & 63U];
  }
  if (bits > 0) text += alphabet[held << (6 - bits) & 63U];
  return text;
}

std::string decode(std::string_view text) {
  std::string bytes;
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : text) {
    const std::size_t digit = alphabet.find(c);
    if (digit == std::string_view::npos) reject("has a character that no token has");
    held = held << 6U | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(held >> bits & 255U);
  }
  if (bits >= 6 || (held & ((1U << bits) - 1U)) != 0) reject("is cut off");
  return bytes;
}

}  // namespace

std::string to_string(const Reproduction& r) {
  const nlohmann::ordered_json json{{"device", r.device},
                                    {"entry", r.entry},
                                    {"property", r.property},
                                    {"seed", r.seed},
                                    {"case", r.token}};
  const std::string body =
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return std::string(prefix) + encode(body + sha256(body).substr(0, checksum_digits));
}

Reproduction parse_reproduction(std::string_view text) {
  if (!text.starts_with(prefix)) reject("does not begin with assay1:");
  const std::string bytes = decode(text.substr(prefix.size()));
  if (bytes.size() < checksum_digits) reject("is cut off");
  const std::string body = bytes.substr(0, bytes.size() - checksum_digits);
  if (!bytes.ends_with(sha256(body).substr(0, checksum_digits)))
    reject("is damaged: its checksum does not match");
  Reproduction r;
  try {
    const auto json = nlohmann::json::parse(body);
    r = {json.at("device"), json.at("entry"), json.at("property"), json.at("seed"),
         json.at("case")};
  } catch (const nlohmann::json::exception&) {
    reject("names no case");
  }
  (void)parse_token(r.token);
  return r;
}

}  // namespace assay::proptests
