#include "worker/module/input_site.h"

#include <gtest/gtest.h>

#include "tests/support/faulty_storage.h"
#include "tests/support/signed_certificate.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

/// Answers with what it was told.
class Echo final : public Site {
 public:
  void handle(Request request, Responder reply, Services&) override {
    std::string text = request.input ? "<" + *request.input + ">" : "none";
    std::move(reply).send(Response::gemtext(std::move(text)));
  }
};

PathMap echo() {
  PathMap sites;
  sites.add("/", std::make_shared<Echo>());
  return sites;
}

InputArgs withSites(InputArgs args = {}) {
  args.sites.push_back({"/", "", SpyArgs{}});
  return args;
}

Request asking(std::optional<std::string> query, std::string path = "/ask") {
  Request request = requestFor(std::move(path), "/ask");
  request.query = std::move(query);
  return request;
}

TEST(DecodeInput, GivesTextWithLineFeeds) {
  EXPECT_EQ(decodeInput(""), "");
  EXPECT_EQ(decodeInput("a%20b+c"), "a b+c");
  EXPECT_EQ(decodeInput("a%0Ab"), "a\nb");
  EXPECT_EQ(decodeInput("a%0D%0Ab"), "a\nb");
  EXPECT_EQ(decodeInput("a%0d%0d%0a%0d"), "a\n\n\n");
  EXPECT_EQ(decodeInput("%F0%9F%8C%8C%09"), "🌌\t");
  EXPECT_EQ(decodeInput("ü"), "ü");
}

TEST(DecodeInput, RefusesWhatIsNoText) {
  for (const char* query : {"%", "%4", "%zz", "%FF", "%C3", "%ED%A0%80", "%00", "%1B[31m", "%7F"}) {
    EXPECT_EQ(decodeInput(query), std::nullopt) << query;
  }
  EXPECT_EQ(decodeInput(std::string(1000, '%')), std::nullopt);
}

TEST(InputSite, AsksUntilThereIsAQuery) {
  InputSite site(withSites({.sites = {}, .prompt = "Say"}), echo());
  SiteHarness harness;
  EXPECT_EQ(harness.ask(site, asking(std::nullopt)).header(), "10 Say");
  EXPECT_EQ(harness.ask(site, asking("")).body, "<>");
  EXPECT_EQ(harness.ask(site, asking("a%0D%0Ab")).body, "<a\nb>");
  EXPECT_EQ(harness.ask(site, asking("x", "/ask/below")).body, "<x>");
  EXPECT_EQ(harness.ask(site, asking("%FF")).header(),
            "59 The input is not percent-encoded UTF-8 text");
}

TEST(InputSite, SaysThatTooManyComeAtOnceAndKeepsWhatOthersGive) {
  SiteHarness harness(
      [] { return Result<std::unique_ptr<Storage>>(makeMemoryStorage({.newUsersPerMinute = 1})); });
  InputSite site({.sites = {}, .asMeta = true, .key = "said"}, {});
  const TestCertificate alice = makeTestCertificate();
  const TestCertificate bob = makeTestCertificate();
  const auto say = [&](const TestCertificate& who) {
    Request request = asking("x");
    request.identity = identityOf(who);
    return harness.ask(site, std::move(request)).status;
  };
  EXPECT_EQ(say(alice), 20);
  EXPECT_EQ(say(bob), 41);
  EXPECT_EQ(say(alice), 20);
}

TEST(InputSite, AsksQuietlyForASecretAndHidesIt) {
  InputSite open(withSites(), echo());
  EXPECT_FALSE(open.hidesQuery("/x"));
  PathMap sites;
  sites.add("/in",
            std::make_shared<InputSite>(withSites({.sites = {}, .sensitive = true}), echo()));
  const auto secret =
      std::make_shared<InputSite>(withSites({.sites = {}, .sensitive = true}), echo());
  SiteHarness harness;
  EXPECT_EQ(harness.ask(*secret, asking(std::nullopt)).status, 11);
  EXPECT_TRUE(secret->hidesQuery(""));
  const InputSite outer(withSites(), std::move(sites));
  EXPECT_TRUE(outer.hidesQuery("/in/x"));
  EXPECT_FALSE(outer.hidesQuery("/out"));
}

TEST(InputSite, AsksNobodyForWhatNoSiteTakes) {
  PathMap sites;
  sites.add("/there", std::make_shared<Echo>());
  InputSite site(withSites(), std::move(sites));
  SiteHarness harness;
  EXPECT_EQ(harness.ask(site, asking(std::nullopt, "/ask/away")).status, 51);
  EXPECT_EQ(harness.ask(site, asking(std::nullopt, "/ask/there")).status, 10);
}

class InputAsMeta : public testing::Test {
 protected:
  InputAsMeta() { args_.asMeta = true; }

  Request by(const TestCertificate& certificate, std::optional<std::string> query) {
    Request request = asking(std::move(query));
    request.identity = identityOf(certificate);
    return request;
  }
  std::optional<std::string> kept(SiteHarness& harness, const std::string& key = "input") {
    return harness.await(harness.services().users.read(*identityOf(alice_), key)).value();
  }

  InputArgs args_;
  TestCertificate alice_ = makeTestCertificate();
};

TEST_F(InputAsMeta, NeedsAValidCertificateBeforeItAsks) {
  args_.certPrompt = "Bring one";
  InputSite site(args_, PathMap());
  SiteHarness harness;
  EXPECT_EQ(harness.ask(site, asking(std::nullopt)).header(), "60 Bring one");
  EXPECT_EQ(harness.ask(site, asking("x")).header(), "60 Bring one");
  const TestCertificate expired = makeTestCertificate({.fromDays = -9, .toDays = -1});
  EXPECT_EQ(harness.ask(site, by(expired, "x")).status, 62);
  EXPECT_EQ(harness.ask(site, by(alice_, std::nullopt)).status, 10);
}

TEST_F(InputAsMeta, KeepsTheInputBeforeItAnswers) {
  args_.key = "name";
  InputSite alone(args_, PathMap());
  InputSite site(withSites(args_), echo());
  SiteHarness harness;
  EXPECT_EQ(harness.ask(alone, by(alice_, "Al%0D%0Aice")).body,
            "Your input has been saved.\n=> / Go on\n");
  EXPECT_EQ(kept(harness, "name"), "Al\nice");
  EXPECT_EQ(harness.ask(site, by(alice_, "Ada")).body, "<Ada>");
  EXPECT_EQ(kept(harness, "name"), "Ada");
  EXPECT_EQ(harness.ask(alone, by(alice_, "")).status, 20);
  EXPECT_EQ(kept(harness, "name"), "");
}

TEST_F(InputAsMeta, Answers40WithoutTheNestedSiteWhenTheStorageFails) {
  const auto broken = []() -> Result<std::unique_ptr<Storage>> {
    auto storage = std::make_unique<FaultyStorage>(makeMemoryStorage(), 0);
    storage->failAlways(Error{ErrorCode::kNoSpace, "disk full"});
    return std::unique_ptr<Storage>(std::move(storage));
  };
  SiteHarness harness(broken);
  InputSite site(withSites(args_), echo());
  const Answer answer = harness.ask(site, by(alice_, "x"));
  EXPECT_EQ(answer.header(), "40 Your input cannot be kept now, try again");
  EXPECT_EQ(answer.body, "");
}

}  // namespace
}  // namespace egalaxyd
