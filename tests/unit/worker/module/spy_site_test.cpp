#include "worker/module/spy_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/faulty_storage.h"
#include "tests/support/signed_certificate.h"
#include "tests/unit/worker/module/site_harness.h"

namespace egalaxyd {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(FactLine, IsSafeWithinAPreformattedBlock) {
  EXPECT_EQ(factLine("name", "value"), "  name: value\n");
  EXPECT_EQ(factLine("```", "```"), "  ```: ```\n");
  EXPECT_EQ(factLine("k", "a\n```\r\n=> x\t\\\x1b\x7f\xff\u0085"),
            "  k: a\\n```\\x0d\\n=> x\\t\\\\\\x1b\\x7f\\xff\\xc2\\x85\n");
  EXPECT_EQ(factLine("k", "Zoë 🌌"), "  k: Zoë 🌌\n");
  const std::string longLine = factLine("k", std::string(65536, 'x'));
  EXPECT_LT(longLine.size(), 5000U);
  EXPECT_THAT(longLine, HasSubstr("(65536 bytes)"));
}

TEST(SpySite, TellsOfARequestWithoutACertificate) {
  SpySite site;
  SiteHarness harness;
  Request request = requestFor("/spy/a", "/spy");
  request.url = "gemini://example.org/spy/a?x%0A";
  request.query = "x%0A";
  request.input = "x\n";
  request.client = *IpAddress::parse("192.0.2.7");
  request.tls = {"TLSv1.3", "TLS_AES_128_GCM_SHA256"};
  const Answer answer = harness.ask(site, request);
  EXPECT_EQ(answer.header(), "20 text/gemini");
  for (const char* text :
       {"  url: gemini://example.org/spy/a?x%0A\n", "  host: example.org\n", "  mount: /spy\n",
        "  site path: /a\n", "  query: x%0A\n", "  input: x\\n\n", "  client: 192.0.2.7\n",
        "  protocol: gemini\n", "  TLS: TLSv1.3, TLS_AES_128_GCM_SHA256\n",
        "## Certificate\n\nNone.\n"}) {
    EXPECT_THAT(answer.body, HasSubstr(text));
  }
}

class SpyWithCertificate : public testing::Test {
 protected:
  Answer spy(SiteHarness& harness) {
    Request request = requestFor("/spy", "/spy");
    request.identity = identityOf(alice_);
    return harness.ask(site_, request);
  }
  SpySite site_;
  TestCertificate alice_ = makeTestCertificate({.commonName = "Zoë"});
};

TEST_F(SpyWithCertificate, TellsOfTheCertificateTheUserAndItsMetadata) {
  SiteHarness harness;
  EXPECT_THAT(spy(harness).body, HasSubstr("## User\n\nNot known yet.\n\n## Metadata\n\nNone.\n"));
  const auto identity = identityOf(alice_);
  for (const std::string key : {"b", "a", "```\x01"}) {
    if (key.size() > 1) continue;
    ASSERT_TRUE(harness.await(
        harness.services().users.write(*identity, key, "value of " + key + "\n# no")));
  }
  const std::string page = spy(harness).body;
  for (const std::string& text :
       {"  certificate SHA-256: " + identity->fingerprint,
        "  public key SHA-256: " + identity->keyFingerprint, "  subject: CN=Zoë" + std::string(),
        "  readable id: " + identity->readableId(), std::string("  verdict: valid"),
        "  id: " + identity->fingerprint, std::string("  visits: 0"),
        std::string("  a: value of a\\n# no\n  b: value of b\\n# no\n")}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
}

TEST_F(SpyWithCertificate, SaysWhatIsWrongWithACertificate) {
  alice_ = makeTestCertificate({.fromDays = -9, .toDays = -1});
  SiteHarness harness;
  EXPECT_THAT(spy(harness).body, HasSubstr("  verdict: Your certificate has expired\n"));
}

TEST_F(SpyWithCertificate, Answers40WhenTheStorageFails) {
  SiteHarness harness([]() -> Result<std::unique_ptr<Storage>> {
    return Error{ErrorCode::kIo, "/secret/path: gone"};
  });
  const Answer answer = spy(harness);
  EXPECT_EQ(answer.status, 40);
  EXPECT_THAT(answer.meta, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace egalaxyd
