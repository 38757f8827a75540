#include "worker/module/proxy_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/limits.h"
#include "tests/unit/worker/module/upstream_lab.h"

namespace egalaxyd {
namespace {

using testing::StartsWith;

class ProxySiteTest : public testing::Test {
 protected:
  ProxySiteTest() {
    args_.upstream.to = {"capsule.test:1966"};
    args_.tls = false;
  }
  UpstreamLab::Visitor ask(Request request) {
    if (!site_) site_ = std::make_unique<ProxySite>(args_, nullptr, 0, milliseconds(60'000));
    return lab_.ask(*site_, std::move(request));
  }
  UpstreamLab::Visitor get(std::string path) {
    return ask(UpstreamLab::get(std::move(path), "/old"));
  }
  /// What the visitor gets where the capsule says that.
  std::string answerTo(std::string path, std::string_view said) {
    const auto visitor = get(std::move(path));
    const UniqueFd capsule = lab_.connect();
    lab_.heard(capsule, "\r\n");
    writeTo(capsule, said);
    return lab_.header(visitor);
  }

  ProxyArgs args_;
  std::unique_ptr<ProxySite> site_;  // outlives the lab, which ends its tasks
  UpstreamLab lab_;
};

TEST_F(ProxySiteTest, AsksTheCapsuleAndPassesItsAnswerOn) {
  const auto visitor = get("/old/x");
  UniqueFd capsule = lab_.connect();
  EXPECT_EQ(lab_.heard(capsule, "\r\n"), "gemini://example.org/old/x\r\n");
  writeTo(capsule, "20 text/plain\r\nhello");
  capsule.reset();
  EXPECT_EQ(lab_.header(visitor), "20 text/plain");
  EXPECT_EQ(lab_.page(visitor), "hello");
}

TEST_F(ProxySiteTest, WhatIsTheCapsulesOwnBecomesOurs) {
  args_.keepHost = false;
  args_.strip = true;
  const auto visitor = get("/old/x");
  const UniqueFd capsule = lab_.connect();
  EXPECT_EQ(lab_.heard(capsule, "\r\n"), "gemini://capsule.test:1966/x\r\n");
  writeTo(capsule, "31 gemini://capsule.test:1966/y\r\n");
  EXPECT_EQ(lab_.header(visitor), "31 gemini://example.org/old/y");
  EXPECT_EQ(answerTo("/old/x", "31 gemini://other.test/y\r\n"), "31 gemini://other.test/y");
}

TEST_F(ProxySiteTest, ACapsuleThatIsNoneOrAsksForACertificateIs43) {
  for (const char* said : {"60 Who?\r\n", "hello\r\n", "99 what\r\n"}) {
    EXPECT_THAT(answerTo("/old/x", said), StartsWith("43 ")) << said;
  }
}

TEST_F(ProxySiteTest, TellsWhyThereIsNoConnection) {
  const auto visitor = get("/old/x");
  lab_.refuse(WhyNot::kNoAnswer);
  EXPECT_EQ(lab_.header(visitor), "43 The capsule behind this one does not answer");
  lab_.loseLauncher();
  EXPECT_EQ(lab_.header(get("/old/x")), "41 The server is busy, try again");
}

TEST_F(ProxySiteTest, UploadsGoThroughWhereTheyMay) {
  args_.titan = true;
  const auto visitor = ask(UpstreamLab::put("/old/x", "/old", "body"));
  EXPECT_EQ(site_->takes("/x"), AcceptedBody::kUploads);
  const UniqueFd capsule = lab_.connect();
  EXPECT_EQ(lab_.heard(capsule, "body"), "titan://example.org/old/x;size=4\r\nbody");
  visitor->cancellation->request();  // it is carried out nevertheless
  writeTo(capsule, "20 text/plain\r\n");
  EXPECT_EQ(lab_.header(visitor), "20 text/plain");
}

TEST_F(ProxySiteTest, ABlockOfSpartanGoesOnAsInput) {
  Request request = UpstreamLab::put("/old/x", "/old", "a b");
  request.protocol = Protocol::kSpartan;
  request.url = "spartan://example.org/old/x";
  const auto visitor = ask(std::move(request));
  const UniqueFd capsule = lab_.connect();
  EXPECT_EQ(lab_.heard(capsule, "\r\n"), "gemini://example.org/old/x?a%20b\r\n");
  writeTo(capsule, "20 text/plain\r\n");
  EXPECT_EQ(lab_.header(visitor), "20 text/plain");
}

TEST_F(ProxySiteTest, AUrlThatBecomesTooLongIs59) {
  args_.upstream.to = {std::string(60, 'h') + ".test:1966"};
  args_.keepHost = false;
  const auto visitor = get("/old/" + std::string(kMaxUriBytes - 30, 'x'));
  const UniqueFd capsule = lab_.connect();
  EXPECT_THAT(lab_.header(visitor), StartsWith("59 "));
}

TEST_F(ProxySiteTest, ClosesTheConnectionOfAClientThatHasLeft) {
  const auto visitor = get("/old/x");
  const UniqueFd capsule = lab_.connect();
  lab_.heard(capsule, "\r\n");
  visitor->cancellation->request();
  char byte = 0;
  lab_.harness.turnUntil([&] { return ::recv(capsule.get(), &byte, 1, MSG_DONTWAIT) == 0; });
  EXPECT_EQ(lab_.header(visitor), "none");
}

}  // namespace
}  // namespace egalaxyd
