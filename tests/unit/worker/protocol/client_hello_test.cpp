#include "worker/protocol/client_hello.h"

#include <gtest/gtest.h>

#include <string>

namespace egalaxyd {
namespace {

using namespace std::string_literals;

std::string number(std::size_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    text += static_cast<char>(value >> shift);
  }
  return text;
}

std::string record(const std::string& content) {
  return "\x16\x03\x01"s + number(content.size(), 2) + content;
}

/// A ClientHello with a body of so many bytes, without its record.
std::string hello(std::size_t bytes) {
  return "\x01"s + number(bytes, 3) + std::string(bytes, 'h');
}

/// How many bytes are waited for until nothing is missing, when one comes at a time.
std::size_t whole(const std::string& bytes) {
  std::size_t there = 1;
  while (there < bytes.size() && clientHelloBytes(bytes.substr(0, there)) > there) ++there;
  return there;
}

TEST(ClientHello, IsWholeWithItsLastByte) {
  const std::string bytes = record(hello(300));
  EXPECT_EQ(clientHelloBytes(bytes), bytes.size());
  EXPECT_EQ(clientHelloBytes(bytes.substr(0, 100)), bytes.size());
  EXPECT_EQ(whole(bytes + "more"), bytes.size());
}

TEST(ClientHello, MayComeInSeveralRecords) {
  const std::string all = hello(3000);
  const std::string bytes =
      record(all.substr(0, 500)) + record(all.substr(500, 1)) + record(all.substr(501));
  EXPECT_EQ(whole(bytes), bytes.size());
}

TEST(ClientHello, MayShareItsRecord) {
  const std::string bytes = record(hello(10) + "another message");
  EXPECT_EQ(whole(bytes), bytes.size());
}

TEST(ClientHello, WhatIsNoneIsNotWaitedFor) {
  for (const std::string& bytes :
       {"g"s, "gemini://h.test/\r\n"s, "\x80\x2e\x01"s, "\x15\x03\x01\x00\x02"s,
        "\x16\x03\x01\x00\x00"s, "\x16\x03\x01\x00\x03\x01"s,
        record(hello(300).substr(0, 100)) + "x"}) {
    EXPECT_EQ(clientHelloBytes(bytes), bytes.size());
  }
}

TEST(ClientHello, NoMoreIsWaitedForThanARecordHolds) {
  const std::string huge = "\x01\xff\xff\xff"s + std::string(996, 'h');
  std::string bytes;
  while (bytes.size() < 2 * kMaxClientHello) bytes += record(huge);
  EXPECT_LE(whole(bytes), kMaxClientHello);
  EXPECT_LE(clientHelloBytes("\x16\x03\x01\xff\xff\x01\x00\xff\xff"s), kMaxClientHello);
}

}  // namespace
}  // namespace egalaxyd
