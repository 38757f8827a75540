#include "worker/transport/tls_transport.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"
#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificates.h"
#include "worker/plan/tls_contexts.h"

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
    Findings findings;
    contexts_ = TlsContexts::build(config_, false, findings);
    EXPECT_TRUE(findings.complaints.empty());

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

  /// The same contexts with a new connection between other ends.
  void reconnect(int version) {
    SSL_free(client_);
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    clientSocket_.reset(ends[1]);
    server_.emplace(UniqueFd(ends[0]), io_, contexts_->initial());
    client_ = SSL_new(clientContext_);
    SSL_set_min_proto_version(client_, version);
    SSL_set_max_proto_version(client_, version);
    SSL_set_fd(client_, clientSocket_.get());
    SSL_set_connect_state(client_);
  }

  void present(const TestCertificate& own, const std::vector<X509*>& chain = {}) {
    SSL_set_security_level(client_, 0);  // of a client that sends what ours would not
    ASSERT_EQ(SSL_use_certificate(client_, own.certificate.get()), 1);
    ASSERT_EQ(SSL_use_PrivateKey(client_, own.key.get()), 1);
    for (X509* above : chain) ASSERT_EQ(SSL_add1_chain_cert(client_, above), 1);
  }

  /// Of the server's side of a handshake, whatever becomes of it.
  std::chrono::milliseconds cpuOfHandshake() {
    std::chrono::nanoseconds spent{0};
    status_ = IoStatus::kBlocked;
    for (int step = 0; step < 10 && status_ == IoStatus::kBlocked; ++step) {
      SSL_do_handshake(client_);
      const auto before = threadCpu();
      status_ = server_->handshake().status;
      spent += threadCpu() - before;
    }
    return std::chrono::duration_cast<std::chrono::milliseconds>(spent);
  }

  static std::chrono::nanoseconds threadCpu() {
    timespec spent{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
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
  IoStatus status_ = IoStatus::kBlocked;  ///< of the last cpuOfHandshake()
};

constexpr int kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
/// An ordinary handshake takes less than one, the refused ones would take 100 to 400.
constexpr auto kCheap = std::chrono::milliseconds(50);

X509Ptr decoded(const std::string& der) {
  const auto* from = reinterpret_cast<const unsigned char*>(der.data());
  return X509Ptr(d2i_X509(nullptr, &from, static_cast<long>(der.size())));
}

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

TEST_F(TlsTransportTest, KnowsHowItIsEncrypted) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  EXPECT_EQ(server_->tls().version, SSL_get_version(client_));
  EXPECT_EQ(server_->tls().cipher, SSL_get_cipher_name(client_));
  EXPECT_EQ(server_->tls().bits, SSL_get_cipher_bits(client_, nullptr));
}

TEST_F(TlsTransportTest, TellsThatTheClientRefusedTheCertificateAndWhichHostItWanted) {
  for (const int version : kVersions) {
    reconnect(version);
    std::string name = "H.Test";
    SSL_ctrl(client_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
    SSL_set_verify(client_, SSL_VERIFY_PEER, nullptr);  // it knows no authority
    EXPECT_EQ(server_->refusal(), "");
    EXPECT_EQ(shakeHands(), IoStatus::kFailed);
    EXPECT_EQ(server_->refusal(), "unknown_ca");
    EXPECT_EQ(server_->serverName(), "h.test");
  }
}

TEST_F(TlsTransportTest, AnotherFailureIsNoRefusal) {
  ASSERT_EQ(::send(clientSocket_.get(), "gemini://h.test/\r\n", 18, 0), 18);
  EXPECT_EQ(server_->handshake().status, IoStatus::kFailed);
  EXPECT_EQ(server_->refusal(), "");
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
#ifdef EGALAXYD_SANITIZED
  GTEST_SKIP() << "the sanitizer's heap tells nothing";
#endif
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  const std::size_t before = ::mallinfo2().uordblks;
  server_->write(std::string(kBodyChunk, 'x'));
  ASSERT_EQ(server_->send().status, IoStatus::kDone);
  EXPECT_LT(::mallinfo2().uordblks, before + kBodyChunk / 2);
}

TEST_F(TlsTransportTest, EveryAllowedKindOfKeyPasses) {
  for (const KeyKind kind :
       {KeyKind::kP256, KeyKind::kP384, KeyKind::kP521, KeyKind::kEd25519, KeyKind::kEd448,
        KeyKind::kRsa2048, KeyKind::kRsa4096, KeyKind::kRsa8192}) {
    const TestCertificate certificate = makeTestCertificate({.key = kind});
    for (const int version : kVersions) {
      reconnect(version);
      present(certificate);
      EXPECT_EQ(shakeHands(), IoStatus::kDone) << static_cast<int>(kind) << " in " << version;
      EXPECT_NE(server_->identity(), nullptr) << static_cast<int>(kind) << " in " << version;
    }
  }
}

TEST_F(TlsTransportTest, AChainOfThreePassesAndOneOfFourDoesNot) {
  const TestCertificate own = makeTestCertificate();
  const TestCertificate large = makeTestCertificate({.key = KeyKind::kRsa4096});
  X509* const above = large.certificate.get();
  for (const int version : kVersions) {
    reconnect(version);
    present(own, {above, above});
    EXPECT_EQ(shakeHands(), IoStatus::kDone);
    reconnect(version);
    present(own, {above, above, above});
    EXPECT_EQ(shakeHands(), IoStatus::kFailed);
  }
}

TEST_F(TlsTransportTest, AKeyThatIsCostlyToReadIsNotRead) {
  const TestCertificate own = makeTestCertificate();
  const X509Ptr costly = decoded(costlyCertificate());
  ASSERT_NE(costly, nullptr);
  for (const int version : kVersions) {
    reconnect(version);
    present(own, {costly.get(), costly.get()});
    EXPECT_LT(cpuOfHandshake(), kCheap);
    EXPECT_EQ(status_, IoStatus::kFailed);
    ERR_clear_error();
    clientReads();
    EXPECT_EQ(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_TLSV1_ALERT_DECODE_ERROR);
  }
}

TEST_F(TlsTransportTest, OtherKindsOfKeysFailTheHandshake) {
  const TestCertificate own = makeTestCertificate();
  for (const KeyKind kind : {KeyKind::kP224, KeyKind::kRsaLongExponent, KeyKind::kDsa}) {
    const TestCertificate other = makeTestCertificate({.key = kind});
    for (const int version : kVersions) {
      reconnect(version);
      present(own, {other.certificate.get()});
      EXPECT_LT(cpuOfHandshake(), kCheap);
      EXPECT_EQ(status_, IoStatus::kFailed) << static_cast<int>(kind) << " in " << version;
    }
  }
  reconnect(TLS1_2_VERSION);
  present(makeTestCertificate({.key = KeyKind::kRsaLongExponent}));
  EXPECT_EQ(shakeHands(), IoStatus::kFailed);
}

TEST_F(TlsTransportTest, AsksForNoSignatureThatItWouldNotTake) {
  for (const int version : kVersions) {
    reconnect(version);
    std::vector<int> hashes;
    SSL_set_cert_cb(
        client_,
        [](SSL* ssl, void* found) {
          int count = SSL_get_sigalgs(ssl, 0, nullptr, nullptr, nullptr, nullptr, nullptr);
          while (count-- > 0) {
            int hash = 0;
            int signature = 0;
            SSL_get_sigalgs(ssl, count, &signature, &hash, nullptr, nullptr, nullptr);
            EXPECT_NE(signature, EVP_PKEY_DSA);
            static_cast<std::vector<int>*>(found)->push_back(hash);
          }
          return 1;
        },
        &hashes);
    EXPECT_EQ(shakeHands(), IoStatus::kDone);
    EXPECT_EQ(hashes.size(), 11u);
    EXPECT_EQ(std::count(hashes.begin(), hashes.end(), NID_sha224), 0);
    EXPECT_EQ(std::count(hashes.begin(), hashes.end(), NID_sha1), 0);
  }
}

TEST_F(TlsTransportTest, AHandshakeInTooManyRecordsFails) {
  const auto inPieces = [&](std::size_t size) {
    reconnect(TLS1_3_VERSION);
    BIO* out = BIO_new(BIO_s_mem());
    SSL_set0_wbio(client_, out);
    SSL_do_handshake(client_);
    char* bytes = nullptr;
    const long length = BIO_get_mem_data(out, &bytes);
    std::string_view hello = std::string_view(bytes, static_cast<std::size_t>(length)).substr(5);
    std::string records;
    for (; !hello.empty(); hello.remove_prefix(std::min(size, hello.size()))) {
      const std::string_view piece = hello.substr(0, size);
      records.append("\x16\x03\x01\0", 4) += static_cast<char>(piece.size());
      records += piece;
    }
    EXPECT_EQ(::send(clientSocket_.get(), records.data(), records.size(), 0),
              static_cast<ssize_t>(records.size()));
    return server_->handshake().status;
  };
  EXPECT_EQ(inPieces(30), IoStatus::kBlocked);
  EXPECT_EQ(inPieces(2), IoStatus::kFailed);
}

class TlsFlood : public TlsTransportTest {
 protected:
  void SetUp() override { reconnect(TLS1_3_VERSION); }

  void updateKey(int kind) {
    ASSERT_EQ(SSL_key_update(client_, kind), 1);
    ASSERT_EQ(SSL_do_handshake(client_), 1);
  }
};

TEST_F(TlsFlood, AFewKeyUpdatesAreAnswered) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  for (int i = 0; i < 16; ++i) updateKey(SSL_KEY_UPDATE_REQUESTED);
  clientSends("ping");
  EXPECT_EQ(serverReads(), "ping");
  server_->writeLast("pong");
  static_cast<void>(server_->send());
  EXPECT_EQ(clientReads(), "pong");
}

TEST_F(TlsFlood, OfKeyUpdatesEndsTheConnection) {
  for (const int kind : {SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NOT_REQUESTED}) {
    reconnect(TLS1_3_VERSION);
    ASSERT_EQ(shakeHands(), IoStatus::kDone);
    std::array<char, 16> buffer;
    IoStatus status = IoStatus::kBlocked;
    int sent = 0;
    for (; sent < 1000 && status == IoStatus::kBlocked; ++sent) {
      updateKey(kind);
      status = server_->read(buffer).status;
    }
    EXPECT_EQ(status, IoStatus::kFailed);
    EXPECT_LE(sent, 18);
  }
}

TEST_F(TlsFlood, OfKeyUpdatesBetweenTheBytesOfARequestEndsItToo) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  int sent = 0;
  do {
    updateKey(SSL_KEY_UPDATE_NOT_REQUESTED);
    clientSends("x");
  } while (++sent < 1000 && serverReads() == "x");
  EXPECT_LE(sent, 18);
}

TEST_F(TlsFlood, AnyNumberOfRecordsWithDataIsNone) {
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  for (int i = 0; i < 1000; ++i) {
    clientSends("x");
    ASSERT_EQ(serverReads(), "x");
  }
}

TEST_F(TlsFlood, WhoNeverReadsCostsNoMemory) {
#ifdef EGALAXYD_SANITIZED
  GTEST_SKIP() << "the sanitizer's heap tells nothing";
#endif
  ASSERT_EQ(shakeHands(), IoStatus::kDone);
  const std::size_t before = ::mallinfo2().uordblks;
  std::array<char, 16> buffer;
  for (int i = 0; i < 5000; ++i) {
    SSL_key_update(client_, SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(client_);
    static_cast<void>(server_->read(buffer));
  }
  EXPECT_LT(::mallinfo2().uordblks, before + 256 * 1024);
}

}  // namespace
}  // namespace egalaxyd
