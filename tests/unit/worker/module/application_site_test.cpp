#include "worker/module/application_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "tests/unit/worker/module/upstream_lab.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Request getApp(std::string path, const char* client = "192.0.2.1") {
  Request request = UpstreamLab::get(std::move(path), "/app");
  request.client = IpAddress::parse(client).value();
  return request;
}

class ApplicationSiteTest : public testing::Test {
 protected:
  ApplicationSite& site() {
    if (!site_) site_ = std::make_unique<ApplicationSite>(args_, 3, milliseconds(60'000));
    return *site_;
  }
  UpstreamLab::Visitor ask(Request request) { return lab_.ask(site(), std::move(request)); }
  /// As SCGI's netstring has it.
  static std::string pair(std::string_view name, std::string_view value) {
    return std::string(name) + '\0' + std::string(value) + '\0';
  }

  ScgiArgs args_{{}, {.to = {"unix:/run/app.sock"}}, std::nullopt};
  std::unique_ptr<ApplicationSite> site_;  // outlives the lab, which ends its tasks
  UpstreamLab lab_;
};

TEST_F(ApplicationSiteTest, AsksTheApplicationAndPassesItsAnswerOn) {
  const auto visitor = ask(getApp("/app/x/y"));
  UniqueFd application = lab_.connect();
  const std::string head = lab_.heard(application, ",");
  EXPECT_THAT(head, HasSubstr(":" + pair("CONTENT_LENGTH", "0") + pair("SCGI", "1")));
  EXPECT_THAT(head, HasSubstr(pair("SCRIPT_NAME", "/app") + pair("PATH_INFO", "/x/y")));
  writeTo(application, "20 text/plain\r\nhello");
  application.reset();
  EXPECT_EQ(lab_.header(visitor), "20 text/plain");
  EXPECT_EQ(lab_.page(visitor), "hello");
}

TEST_F(ApplicationSiteTest, SendsABodyBehindTheVariables) {
  args_.upload.emplace();
  args_.upload->rules.anyone = true;
  EXPECT_EQ(site().takes("/x"), AcceptedBody::kUploads);
  const auto visitor = ask(UpstreamLab::put("/app/x", "/app", "body"));
  const UniqueFd application = lab_.connect();
  EXPECT_THAT(lab_.heard(application, ",body"), HasSubstr(pair("CONTENT_LENGTH", "4")));
  visitor->cancellation->request();  // it is carried out nevertheless
  writeTo(application, "30 /done\r\n");
  EXPECT_EQ(lab_.header(visitor), "30 /done");
}

TEST_F(ApplicationSiteTest, RefusesABodyBeforeItComes) {
  EXPECT_EQ(site().takes("/x"), AcceptedBody::kBlocks);
  const auto visitor = ask(UpstreamLab::put("/app/x", "/app", std::string(2000, 'x')));
  EXPECT_EQ(lab_.header(visitor), "59 The input is longer than 1 KiB");
  EXPECT_FALSE(lab_.launcher.wasAsked());
}

TEST_F(ApplicationSiteTest, TellsWhyThereIsNoConnection) {
  for (const auto& [why, said] :
       {std::pair(WhyNot::kNoAnswer, "43 The application does not answer"),
        std::pair(WhyNot::kGone, "51 Not found"),
        std::pair(WhyNot::kFull, "41 The server is busy, try again")}) {
    const auto visitor = ask(getApp("/app"));
    lab_.refuse(why);
    EXPECT_EQ(lab_.header(visitor), said);
  }
  lab_.loseLauncher();
  EXPECT_EQ(lab_.header(ask(getApp("/app"))), "41 The server is busy, try again");
}

TEST_F(ApplicationSiteTest, AsksForTheApplicationOfAUser) {
  const auto visitor = lab_.visit(getApp("/app"), [this](Request request, Responder reply) {
    site().handleOf("alice", std::move(request), std::move(reply), lab_.services());
  });
  const DialUpstream order = lab_.dialOrder();
  EXPECT_EQ(order, (DialUpstream{order.run, 3, "alice"}));
  lab_.launcher.say(NotStarted{order.run, WhyNot::kGone, "no such socket"});
  EXPECT_EQ(lab_.header(visitor), "51 Not found");
}

TEST_F(ApplicationSiteTest, AUserWhoseConnectionsAreTakenHoldsUpNoOther) {
  args_.upstream.connections = 1;
  const auto askOf = [this](const char* user) {
    return lab_.visit(getApp("/app"), [&](Request request, Responder reply) {
      site().handleOf(user, std::move(request), std::move(reply), lab_.services());
    });
  };
  const auto first = askOf("alice");
  EXPECT_EQ(lab_.dialOrder().user, "alice");
  const auto second = askOf("alice");
  const auto other = askOf("bob");
  EXPECT_EQ(lab_.dialOrder().user, "bob");
  EXPECT_FALSE(lab_.launcher.wasAsked());
  second->cancellation->request();
}

TEST_F(ApplicationSiteTest, StopsConnectingWhenTheClientHasLeft) {
  const auto visitor = ask(getApp("/app"));
  const DialUpstream order = lab_.dialOrder();
  visitor->cancellation->request();
  lab_.harness.turn();
  EXPECT_EQ(lab_.launcher.asked<StopScript>(), StopScript{order.run});
}

TEST_F(ApplicationSiteTest, AClientThatWantsManyConnectionsHoldsUpNoOther) {
  args_.upstream.connections = 1;
  const auto visitors = {ask(getApp("/app/1")), ask(getApp("/app/2")), ask(getApp("/app/3")),
                         ask(getApp("/app/other", "192.0.2.2"))};
  for (const char* path : {"/1", "/2", "/other", "/3"}) {
    UniqueFd application = lab_.connect();
    EXPECT_THAT(lab_.heard(application, ","), HasSubstr(pair("PATH_INFO", path)));
    EXPECT_FALSE(lab_.launcher.wasAsked());
    writeTo(application, "30 /done\r\n");
  }
  for (const auto& visitor : visitors) EXPECT_EQ(lab_.header(visitor), "30 /done");
}

TEST_F(ApplicationSiteTest, WhatIsNoAnswerIs42) {
  const auto visitor = ask(getApp("/app"));
  UniqueFd application = lab_.connect();
  lab_.heard(application, ",");
  application.reset();
  EXPECT_THAT(lab_.header(visitor), StartsWith("42 "));
}

}  // namespace
}  // namespace egalaxyd
