#include "worker/transport/dialled_stream.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"
#include "common/tls/openssl_support.h"
#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

using Dialled = DialledStream::State;

/// Both ends of one connection in one thread. The capsule is OpenSSL's.
class DialledStreamTest : public testing::Test {
 protected:
  DialledStreamTest() : capsule_(std::move(makeSelfSigned({"h.test", "::1"})).value()) {
    connectEnds();
  }

  void connectEnds() {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    ours_.reset(ends[0]);
    theirs_.reset(ends[1]);
  }

  static std::shared_ptr<const DialledContext> context(const DialledTls& tls) {
    auto made = DialledContext::make(tls);
    EXPECT_TRUE(made.ok()) << (made ? "" : made.error().message);
    return made ? *made : nullptr;
  }

  void dial(std::shared_ptr<const DialledContext> context, const std::string& name = "h.test") {
    stream_.emplace(std::move(ours_), std::move(context), name);
  }

  void startCapsule(int verify = SSL_VERIFY_NONE) {
    serverContext_.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_use_certificate(serverContext_.get(), capsule_.chain.front().get());
    SSL_CTX_use_PrivateKey(serverContext_.get(), capsule_.key.get());
    SSL_CTX_set_verify(serverContext_.get(), verify, [](int, X509_STORE_CTX*) { return 1; });
    server_.reset(SSL_new(serverContext_.get()));
    SSL_set_fd(server_.get(), theirs_.get());
    SSL_set_accept_state(server_.get());
  }

  Dialled shakeHands() {
    Dialled state = Dialled::kBlocked;
    for (int step = 0; step < 10 && state == Dialled::kBlocked; ++step) {
      state = stream_->handshake();
      SSL_do_handshake(server_.get());
    }
    return state;
  }

  void capsuleSays(std::string_view text) {
    ASSERT_EQ(SSL_write(server_.get(), text.data(), static_cast<int>(text.size())),
              static_cast<int>(text.size()));
  }

  std::string capsuleReads() {
    std::array<char, 1024> bytes;
    const int got = SSL_read(server_.get(), bytes.data(), bytes.size());
    return {bytes.data(), static_cast<std::size_t>(std::max(got, 0))};
  }

  std::string received() {
    std::array<char, 1024> bytes;
    last_ = stream_->receive(bytes);
    return {bytes.data(), last_.bytes};
  }

  KeyedCertificate capsule_;
  UniqueFd ours_;
  UniqueFd theirs_;
  std::optional<DialledStream> stream_;
  std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>> serverContext_;
  std::unique_ptr<SSL, Freer<SSL_free>> server_;
  DialledStream::Moved last_;
  const TempDir dir_;
};

TEST_F(DialledStreamTest, TalksInPlainWithoutAContext) {
  dial(nullptr);
  EXPECT_EQ(stream_->handshake(), Dialled::kDone);
  EXPECT_EQ(received(), "");
  EXPECT_EQ(last_.state, Dialled::kBlocked);
  EXPECT_EQ(stream_->send("ask").bytes, 3U);
  std::array<char, 16> bytes;
  EXPECT_EQ(::recv(theirs_.get(), bytes.data(), bytes.size(), 0), 3);
  ASSERT_EQ(::send(theirs_.get(), "told", 4, 0), 4);
  EXPECT_EQ(received(), "told");
  theirs_.reset();
  received();
  EXPECT_EQ(last_.state, Dialled::kEnded);
  EXPECT_EQ(stream_->send("more").state, Dialled::kFailed);
  EXPECT_NE(stream_->fault(), "");
}

TEST_F(DialledStreamTest, TakesAnyCertificateWhereNoneIsNamed) {
  startCapsule();
  dial(context({}));
  ASSERT_EQ(shakeHands(), Dialled::kDone);
  EXPECT_STREQ(SSL_get_servername(server_.get(), TLSEXT_NAMETYPE_host_name), "h.test");
  EXPECT_EQ(stream_->send("ask").bytes, 3U);
  EXPECT_EQ(capsuleReads(), "ask");
  capsuleSays("told");
  EXPECT_EQ(received(), "told");
  EXPECT_EQ(received(), "");
  EXPECT_EQ(last_.state, Dialled::kBlocked);
}

TEST_F(DialledStreamTest, EndsWithACloseNotifyOrWithoutOne) {
  for (const bool announced : {true, false}) {
    connectEnds();
    startCapsule();
    dial(context({}));
    ASSERT_EQ(shakeHands(), Dialled::kDone);
    capsuleSays("all");
    if (announced) SSL_shutdown(server_.get());
    if (!announced) theirs_.reset();
    EXPECT_EQ(received(), "all");
    received();
    EXPECT_EQ(last_.state, Dialled::kEnded) << announced;
  }
}

TEST_F(DialledStreamTest, AsksForNoNameWhereThereIsAnAddress) {
  startCapsule();
  dial(context({}), "::1");
  ASSERT_EQ(shakeHands(), Dialled::kDone);
  EXPECT_EQ(SSL_get_servername(server_.get(), TLSEXT_NAMETYPE_host_name), nullptr);
}

TEST_F(DialledStreamTest, KnowsAPinnedCertificateAndAPinnedKey) {
  X509* shown = capsule_.chain.front().get();
  for (const std::string& pin : {certificateFingerprint(shown), publicKeyFingerprint(shown)}) {
    connectEnds();
    startCapsule();
    dial(context(
        {.fingerprints = {std::string(64, '0'), pin}, .ca = {}, .certificate = {}, .key = {}}));
    EXPECT_EQ(shakeHands(), Dialled::kDone) << stream_->fault();
  }
}

TEST_F(DialledStreamTest, RefusesACertificateThatIsNotPinnedAndTellsWhichItWas) {
  startCapsule();
  dial(context({.fingerprints = {std::string(64, '0')}, .ca = {}, .certificate = {}, .key = {}}));
  EXPECT_EQ(shakeHands(), Dialled::kFailed);
  EXPECT_EQ(stream_->fault(), "its certificate, SHA-256 " +
                                  certificateFingerprint(capsule_.chain.front().get()) +
                                  ", is not among fingerprints");
  EXPECT_EQ(stream_->handshake(), Dialled::kFailed);
}

TEST_F(DialledStreamTest, WithAnAuthorityTheNameHasToBeTheCertificates) {
  const auto ca = dir_ / "ca.pem";
  ASSERT_TRUE(writeKeyedCertificate(capsule_, ca, dir_ / "ca.key"));
  for (const auto& [name, expected] :
       {std::pair("h.test", Dialled::kDone), std::pair("::1", Dialled::kDone),
        std::pair("other.test", Dialled::kFailed), std::pair("127.0.0.1", Dialled::kFailed)}) {
    connectEnds();
    startCapsule();
    dial(context({.fingerprints = {}, .ca = ca, .certificate = {}, .key = {}}), name);
    EXPECT_EQ(shakeHands(), expected) << name << ": " << stream_->fault();
  }
  EXPECT_TRUE(stream_->fault().starts_with("its certificate is not accepted: "))
      << stream_->fault();
}

TEST_F(DialledStreamTest, WithAnAuthorityAnotherOnesCertificateIsRefused) {
  const auto other = std::move(makeSelfSigned({"h.test"})).value();
  ASSERT_TRUE(writeKeyedCertificate(other, dir_ / "ca.pem", dir_ / "ca.key"));
  startCapsule();
  dial(context({.fingerprints = {}, .ca = dir_ / "ca.pem", .certificate = {}, .key = {}}));
  EXPECT_EQ(shakeHands(), Dialled::kFailed);
  EXPECT_TRUE(stream_->fault().starts_with("its certificate is not accepted: "));
}

TEST_F(DialledStreamTest, ShowsOurCertificateToACapsuleThatAsks) {
  const auto own = std::move(makeSelfSigned({"us.test"})).value();
  const auto file = dir_ / "own.pem";
  const auto key = dir_ / "own.key";
  ASSERT_TRUE(writeKeyedCertificate(own, file, key));
  startCapsule(SSL_VERIFY_PEER);
  dial(context({.fingerprints = {}, .ca = {}, .certificate = file, .key = key}));
  ASSERT_EQ(shakeHands(), Dialled::kDone);
  const X509* shown = SSL_get0_peer_certificate(server_.get());
  ASSERT_NE(shown, nullptr);
  EXPECT_EQ(certificateFingerprint(shown), certificateFingerprint(own.chain.front().get()));
}

TEST_F(DialledStreamTest, SendsAHeaderBeforeTls) {
  dial(context({}));
  EXPECT_EQ(stream_->sendPlain("PROXY\r\n").bytes, 7U);
  std::array<char, 7> header;
  ASSERT_EQ(::recv(theirs_.get(), header.data(), header.size(), 0), 7);
  startCapsule();
  EXPECT_EQ(shakeHands(), Dialled::kDone);
}

TEST_F(DialledStreamTest, TellsACapsuleThatSpeaksNoTlsFromOneThatLeaves) {
  dial(context({}));
  EXPECT_EQ(stream_->handshake(), Dialled::kBlocked);
  ASSERT_EQ(::send(theirs_.get(), "20 text/plain\r\n", 15, 0), 15);
  EXPECT_EQ(stream_->handshake(), Dialled::kFailed);
  EXPECT_TRUE(stream_->fault().starts_with("in the TLS handshake it broke the connection"))
      << stream_->fault();
  connectEnds();
  dial(context({}));
  EXPECT_EQ(stream_->handshake(), Dialled::kBlocked);
  ASSERT_EQ(::shutdown(theirs_.get(), SHUT_WR), 0);
  EXPECT_EQ(stream_->handshake(), Dialled::kFailed);
  EXPECT_TRUE(stream_->fault().starts_with("in the TLS handshake it ")) << stream_->fault();
}

TEST_F(DialledStreamTest, ParsesNoCertificatesThatMayCostAnything) {
  for (const auto& [more, expected] :
       {std::pair(7, Dialled::kDone), std::pair(8, Dialled::kFailed)}) {
    connectEnds();
    startCapsule();
    for (int i = 0; i < more; ++i) {
      ASSERT_EQ(SSL_add1_chain_cert(server_.get(), capsule_.chain.front().get()), 1);
    }
    dial(context({}));
    EXPECT_EQ(shakeHands(), expected) << stream_->fault();
  }
  EXPECT_EQ(stream_->fault(),
            "in the TLS handshake it sends too many certificates, or keys that nobody has");
}

TEST_F(DialledStreamTest, ReadsNoRecordsWithoutDataForEver) {
  startCapsule();
  dial(context({}));
  ASSERT_EQ(shakeHands(), Dialled::kDone);
  const auto updateKeys = [this](int times) {
    for (int i = 0; i < times; ++i) {
      SSL_key_update(server_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
      SSL_do_handshake(server_.get());
    }
  };
  for (int i = 0; i < 10; ++i) {
    updateKeys(20);
    capsuleSays("told");
    EXPECT_EQ(received(), "told");
  }
  updateKeys(200);
  capsuleSays("told");
  EXPECT_EQ(received(), "");
  EXPECT_EQ(last_.state, Dialled::kFailed);
  EXPECT_EQ(stream_->fault(), "sends records without data");
}

TEST_F(DialledStreamTest, SaysWhichFileCannotBeUsed) {
  const auto none = DialledContext::make(
      {.fingerprints = {}, .ca = dir_ / "none.pem", .certificate = {}, .key = {}});
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("none.pem"), std::string::npos) << none.error().message;
  const auto own = std::move(makeSelfSigned({"us.test"})).value();
  const auto other = std::move(makeSelfSigned({"us.test"})).value();
  ASSERT_TRUE(writeKeyedCertificate(own, dir_ / "own.pem", dir_ / "own.key"));
  ASSERT_TRUE(writeKeyedCertificate(other, dir_ / "other.pem", dir_ / "other.key"));
  EXPECT_FALSE(DialledContext::make(
      {.fingerprints = {}, .ca = {}, .certificate = dir_ / "own.pem", .key = dir_ / "other.key"}));
}

}  // namespace
}  // namespace egalaxyd
