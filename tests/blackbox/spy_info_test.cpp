// The pages that tell: spy of the client, info of the server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/tls/certificate_names.h"
#include "tests/support/capsule.h"

namespace egalaxyd {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST(Spy, TellsAClientAllThatIsKnownOfIt) {
  Capsule capsule;
  capsule.sites("[sites.\"localhost\".\"/me\"]\nmodule = \"spy\"\n");
  capsule.start();
  const Reply plain = capsule.get("/me/x?%0A%60%60%60");
  EXPECT_EQ(plain.header, "20 text/gemini");
  for (const char* text :
       {"  client: 127.0.0.1\n", "  host: localhost\n", "  mount: /me\n", "  query: %0A%60%60%60\n",
        "## Certificate\n\nNone.\n", "  TLS: TLSv1.3, TLS_AES_128_GCM_SHA256\n"}) {
    EXPECT_THAT(plain.body, HasSubstr(text));
  }
  const TestCertificate zoe = makeTestCertificate({.commonName = "Zoë\n```\n=> x"});
  TlsSettings settings;
  settings.certificate = &zoe;
  settings.maxVersion = TLS1_2_VERSION;
  const Reply known = capsule.get("/me", settings);
  EXPECT_THAT(known.body, HasSubstr(certificateFingerprint(zoe.certificate.get())));
  EXPECT_THAT(known.body, HasSubstr(publicKeyFingerprint(zoe.certificate.get())));
  EXPECT_THAT(known.body, HasSubstr("  verdict: valid\n"));
  EXPECT_THAT(known.body, HasSubstr("  TLS: TLSv1.2, ECDHE-ECDSA-AES128-GCM-SHA256\n"));
  EXPECT_THAT(known.body, Not(HasSubstr("\n=> x")));
  EXPECT_TRUE(known.complete());
}

TEST(Info, TellsOfTheServerButNothingPrivate) {
  Capsule capsule;
  capsule.sites("[sites.\"localhost\".\"/info\"]\nmodule = \"info\"\n");
  capsule.start();
  const Reply reply = capsule.get("/info");
  EXPECT_EQ(reply.header, "20 text/gemini");
  for (const char* text : {"  version: ", "  compiler: ", "  OpenSSL: 3.", "  generation: 1\n",
                           "  connections: 20000\n"}) {
    EXPECT_THAT(reply.body, HasSubstr(text));
  }
  EXPECT_THAT(reply.body, ContainsRegex("  worker: [12] of 2\n"));
  EXPECT_THAT(reply.body, Not(HasSubstr(capsule.dir().path().string())));
  capsule.reload();
  EXPECT_THAT(capsule.get("/info").body, HasSubstr("  handshakes: "));
}

}  // namespace
}  // namespace egalaxyd
