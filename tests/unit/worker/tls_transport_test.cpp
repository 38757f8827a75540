#include "worker/tls_transport.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <string>

#include "common/certificate.h"
#include "common/certificate_names.h"
#include "common/config.h"
#include "tests/support/temp_dir.h"
#include "worker/tls_contexts.h"

namespace egalaxyd {
namespace {

/// Both ends of one connection in one thread: each step is taken by hand.
class TlsTransportTest : public testing::Test {
 protected:
  TlsTransportTest() {
    SiteConfig site;
    site.host = "h.test";
    site.where = "test";
    config_.sites.push_back(site);
    config_.server.stateDir = state_.path();
    Complaints complaints;
    contexts_ = TlsContexts::build(config_, false, complaints);
    EXPECT_TRUE(complaints.empty());

    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    clientSocket_.reset(ends[1]);
    server_.emplace(UniqueFd(ends[0]), io_, contexts_->initial());
    clientContext_ = SSL_CTX_new(TLS_client_method());
    client_ = SSL_new(clientContext_);
    SSL_set_fd(client_, clientSocket_.get());
    SSL_set_connect_state(client_);
  }

  ~TlsTransportTest() override {
    SSL_free(client_);
    SSL_CTX_free(clientContext_);
  }

  void presentCertificate() {
    const auto identity = makeSelfSigned({"visitor"});
    ASSERT_TRUE(identity.ok());
    SSL_use_certificate(client_, identity->chain.front().get());
    SSL_use_PrivateKey(client_, identity->key.get());
    fingerprint_ = certificateFingerprint(identity->chain.front().get());
  }

  IoStatus shakeHands() {
    IoStatus status = IoStatus::kBlocked;
    for (int step = 0; step < 10 && status == IoStatus::kBlocked; ++step) {
      SSL_do_handshake(client_);
      status = server_->handshake().status;
    }
    SSL_do_handshake(client_);
    return status;
  }

  void clientSends(std::string_view text) {
    ASSERT_EQ(SSL_write(client_, text.data(), static_cast<int>(text.size())),
              static_cast<int>(text.size()));
  }

  std::string serverReads() {
    std::array<char, 64 * 1024> buffer;
    const IoResult result = server_->read(buffer);
    return result.status == IoStatus::kDone ? std::string(buffer.data(), result.bytes) : "";
  }

  /// All that is there for the client now.
  std::string clientReads() {
    std::string all;
    std::array<char, 16 * 1024> buffer;
    int got = 0;
    while ((got = SSL_read(client_, buffer.data(), buffer.size())) > 0) {
      all.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return all;
  }

  TempDir state_;
  Config config_;
  std::unique_ptr<TlsContexts> contexts_;
  TlsIo io_;
  UniqueFd clientSocket_;
  std::optional<TlsTransport> server_;
  SSL_CTX* clientContext_ = nullptr;
  SSL* client_ = nullptr;
  std::string fingerprint_;
};

TEST_F(TlsTransportTest, CarriesBytesBothWaysAndEndsWithCloseNotify) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  clientSends("ping");
  EXPECT_EQ(serverReads(), "ping");
  server_->writeLast("pong");
  EXPECT_EQ(server_->send().status, IoStatus::kDone);
  EXPECT_EQ(clientReads(), "pong");
  EXPECT_EQ(SSL_get_shutdown(client_) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
}

TEST_F(TlsTransportTest, KnowsTheNameAndTheCertificateOfItsPeer) {
  std::string name = "H.Test";
  SSL_ctrl(client_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  presentCertificate();
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  // Under TLS 1.3 the certificate is known when the server's side of the handshake is done.
  EXPECT_EQ(server_->serverName(), "h.test");
  ASSERT_NE(server_->identity(), nullptr);
  EXPECT_EQ(server_->identity()->fingerprint, fingerprint_);
  EXPECT_EQ(server_->identity()->commonName, "visitor");
}

TEST_F(TlsTransportTest, ASilentClientBlocksNothing) {
  EXPECT_EQ(server_->handshake().status, IoStatus::kBlocked);
}

TEST_F(TlsTransportTest, ALeftoverErrorOfAnotherConnectionIsNotOurs) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
  std::array<char, 16> buffer;
  EXPECT_EQ(server_->read(buffer).status, IoStatus::kBlocked);
  clientSends("x");
  ERR_raise(ERR_LIB_SSL, SSL_R_BAD_LENGTH);
  EXPECT_EQ(serverReads(), "x");
}

TEST_F(TlsTransportTest, GarbageFailsTheHandshake) {
  ASSERT_EQ(::send(clientSocket_.get(), "gemini://h.test/\r\n", 18, 0), 18);
  EXPECT_EQ(server_->handshake().status, IoStatus::kFailed);
}

TEST_F(TlsTransportTest, HoldsBackWhatASlowReaderDoesNotTake) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  const std::string chunk(16 * 1024, 'x');
  std::size_t written = 0;
  while (server_->send().status == IoStatus::kDone) {
    server_->write(chunk);
    written += chunk.size();
    ASSERT_LT(written, 64u * 1024 * 1024);
  }
  std::size_t read = clientReads().size();
  EXPECT_LT(read, written);
  while (read < written) {
    static_cast<void>(server_->send());
    const std::size_t more = clientReads().size();
    ASSERT_GT(more, 0u);
    read += more;
  }
  EXPECT_EQ(read, written);
}

TEST_F(TlsTransportTest, KeepsWhatCameBehindTheRequest) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  clientSends("first");
  clientSends("second");
  EXPECT_EQ(serverReads(), "first");
  EXPECT_EQ(serverReads(), "second");
}

TEST_F(TlsTransportTest, AVanishedClientIsAnEnd) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  clientSocket_.reset();
  std::array<char, 16> buffer;
  EXPECT_EQ(server_->read(buffer).status, IoStatus::kEnd);
}

TEST_F(TlsTransportTest, GivesNoTicketAndNoSession) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  server_->write("x");
  static_cast<void>(server_->send());
  EXPECT_EQ(clientReads(), "x");
  EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get0_session(client_)), 0);
}

TEST_F(TlsTransportTest, KeepsNoBufferForWhatTheSocketTook) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's heap tells nothing";
#endif
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  const std::size_t before = ::mallinfo2().uordblks;
  server_->write(std::string(kBodyChunk, 'x'));
  ASSERT_EQ(server_->send().status, IoStatus::kDone);
  EXPECT_LT(::mallinfo2().uordblks, before + kBodyChunk / 2);
}

}  // namespace
}  // namespace egalaxyd
