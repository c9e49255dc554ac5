// SPDX-License-Identifier: Apache-2.0
#include "proptests/token.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace assay::proptests {
namespace {

TEST(Token, WhatIsWrittenIsReadBack) {
  for (const Token& token : {Token{0, {}}, Token{417, {0}}, Token{3, {2, 2, 2, 0, 1, 1}}}) {
    const Token read = parse_token(to_string(token));
    EXPECT_EQ(read.index, token.index);
    EXPECT_EQ(read.path, token.path);
  }
  EXPECT_EQ(to_string({3, {2, 2, 2, 0}}), "3/2x3.0");
}

TEST(Token, EverythingElseIsAnError) {
  for (const char* text : {"", "x", "-1", "1/", "1/x2", "1/2x", "1/2x0", "1/2..3", "1.2", "1/2 ",
                           "99999999999999999999", "1/0x999999999"})
    EXPECT_THROW(static_cast<void>(parse_token(text)), std::invalid_argument) << text;
}

}  // namespace
}  // namespace assay::proptests
