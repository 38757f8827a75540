#include "worker/protocol/handshake_guard.h"

#include <gtest/gtest.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "tests/support/test_certificates.h"
#include "worker/protocol/client_hello.h"

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

std::string vector(int lengthBytes, const std::string& content) {
  return number(content.size(), lengthBytes) + content;
}

std::string der(unsigned char tag, const std::string& content) {
  const std::size_t size = content.size();
  const std::string length = size < 0x80    ? number(size, 1)
                             : size < 0x100 ? "\x81" + number(size, 1)
                                            : "\x82" + number(size, 2);
  return static_cast<char>(tag) + length + content;
}

std::string sequence(const std::string& content) { return der(0x30, content); }
std::string bits(const std::string& content) { return der(0x03, "\0"s + content); }

const std::string kSerial = der(0x02, "\x01");
const std::string kAlgorithm = sequence(der(0x06, "\x2A\x86\x48\xCE\x3D\x04\x03\x02"));
const std::string kName = sequence("");
const std::string kVersion3 = der(0xA0, der(0x02, "\x02"));
const std::string kEc = der(0x06, "\x2A\x86\x48\xCE\x3D\x02\x01");
const std::string kRsa = der(0x06, "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01") + "\x05\x00"s;
const std::string kP256 = der(0x06, "\x2A\x86\x48\xCE\x3D\x03\x01\x07");

std::string keyOf(const std::string& algorithm, const std::string& key) {
  return sequence(sequence(algorithm) + bits(key));
}

std::string certificateWith(const std::string& key, const std::string& behind = "") {
  const std::string front = kVersion3 + kSerial + kAlgorithm + kName + kName + kName;
  return sequence(sequence(front + key + behind) + kAlgorithm + bits("signature"));
}

std::string rsa(std::size_t modulusBytes, const std::string& exponent) {
  return keyOf(
      kRsa, sequence(der(0x02, "\0"s + std::string(modulusBytes, '\xC1')) + der(0x02, exponent)));
}

std::string point(std::size_t size, char form = '\x04') {
  return std::string(1, form) + std::string(size - 1, 'p');
}

std::string certificateMessage(const std::vector<std::string>& chain, bool isTls13) {
  std::string entries;
  for (const std::string& one : chain) {
    entries += vector(3, one) + (isTls13 ? vector(2, "") : "");
  }
  return "\x0B" + vector(3, (isTls13 ? vector(1, "") : "") + vector(3, entries));
}

bool passes(const std::vector<std::string>& chain) {
  const bool in12 = isCheapToParse(certificateMessage(chain, false), false);
  EXPECT_EQ(isCheapToParse(certificateMessage(chain, true), true), in12);
  return in12;
}

bool keyPasses(const std::string& key) { return passes({certificateWith(key)}); }

std::string derOf(const TestCertificate& made) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(made.certificate.get(), &bytes);
  std::string text(bytes, bytes + size);
  OPENSSL_free(bytes);
  return text;
}

TEST(HandshakeGuard, LetsRealCertificatesPass) {
  for (const KeyKind kind : {KeyKind::kP256, KeyKind::kP384, KeyKind::kP521, KeyKind::kEd25519,
                             KeyKind::kEd448, KeyKind::kRsa1024, KeyKind::kRsa2048}) {
    EXPECT_TRUE(passes({derOf(makeTestCertificate({.key = kind}))})) << static_cast<int>(kind);
  }
  EXPECT_TRUE(passes({derOf(makeTestCertificate({.key = KeyKind::kRsa2048, .version1 = true}))}));
  EXPECT_FALSE(passes({derOf(makeTestCertificate({.key = KeyKind::kP224}))}));
}

TEST(HandshakeGuard, TakesMoreCertificatesOfACapsule) {
  const std::string one = certificateWith(keyOf(kEc + kP256, point(65)));
  for (const auto& [count, passes] : {std::pair(8U, true), std::pair(9U, false)}) {
    const auto message = certificateMessage(std::vector<std::string>(count, one), true);
    EXPECT_EQ(isCheapToParse(message, true, kCertificatesOfCapsules), passes) << count;
  }
}

TEST(HandshakeGuard, LetsAClientWithoutCertificatePass) { EXPECT_TRUE(passes({})); }

TEST(HandshakeGuard, TakesThreeCertificatesAndEightKibibytes) {
  const std::string one = certificateWith(keyOf(kEc + kP256, point(65)));
  EXPECT_TRUE(passes({one, one, one}));
  EXPECT_FALSE(passes({one, one, one, one}));
  const auto padded = [](std::size_t size) {
    return certificateWith(keyOf(kEc + kP256, point(65)), std::string(size, 'x'));
  };
  EXPECT_TRUE(passes({padded(7900)}));
  EXPECT_FALSE(passes({padded(8192)}));
  EXPECT_FALSE(passes({one, padded(4000), padded(4000)}));
}

TEST(HandshakeGuard, LooksAtEveryKeyOfAChain) {
  const std::string good = certificateWith(keyOf(kEc + kP256, point(65)));
  const std::string bad = certificateWith(keyOf(kEc + sequence("prime and curve"), point(65)));
  EXPECT_FALSE(passes({bad}));
  EXPECT_FALSE(passes({good, bad}));
  EXPECT_FALSE(passes({good, good, bad}));
}

TEST(HandshakeGuard, TakesCurvesByNameWithAWholePoint) {
  const std::string p384 = der(0x06, "\x2B\x81\x04\x00\x22"s);
  const std::string p521 = der(0x06, "\x2B\x81\x04\x00\x23"s);
  const std::string p224 = der(0x06, "\x2B\x81\x04\x00\x21"s);
  EXPECT_TRUE(keyPasses(keyOf(kEc + kP256, point(65))));
  EXPECT_TRUE(keyPasses(keyOf(kEc + p384, point(97))));
  EXPECT_TRUE(keyPasses(keyOf(kEc + p521, point(133))));
  EXPECT_FALSE(keyPasses(keyOf(kEc + p224, point(57))));
  EXPECT_FALSE(keyPasses(keyOf(kEc + p224, point(29, '\x02'))));
  EXPECT_FALSE(keyPasses(keyOf(kEc + kP256, point(33, '\x02'))));
  EXPECT_FALSE(keyPasses(keyOf(kEc + kP256, point(65, '\x06'))));
  EXPECT_FALSE(keyPasses(keyOf(kEc + kP256, point(97))));
  EXPECT_FALSE(keyPasses(keyOf(kEc + kP256, "")));
  EXPECT_FALSE(keyPasses(keyOf(kEc + kP256 + kP256, point(65))));
  EXPECT_FALSE(keyPasses(keyOf(kEc, point(65))));
  EXPECT_FALSE(keyPasses(keyOf(kEc + "\x05\x00"s, point(65))));
}

TEST(HandshakeGuard, TakesEdwardsKeysOfTheirSizeWithoutParameters) {
  const std::string ed25519 = der(0x06, "\x2B\x65\x70");
  const std::string ed448 = der(0x06, "\x2B\x65\x71");
  EXPECT_TRUE(keyPasses(keyOf(ed25519, std::string(32, 'k'))));
  EXPECT_TRUE(keyPasses(keyOf(ed448, std::string(57, 'k'))));
  EXPECT_FALSE(keyPasses(keyOf(ed25519, std::string(33, 'k'))));
  EXPECT_FALSE(keyPasses(keyOf(ed448 + "\x05\x00"s, std::string(57, 'k'))));
  const std::string x25519 = der(0x06, "\x2B\x65\x6E");
  EXPECT_FALSE(keyPasses(keyOf(x25519, std::string(32, 'k'))));
}

TEST(HandshakeGuard, BoundsTheModulusAndTheExponentOfRsa) {
  const std::string usual = "\x01\x00\x01"s;
  EXPECT_TRUE(keyPasses(rsa(256, usual)));
  EXPECT_TRUE(keyPasses(rsa(1024, usual)));
  EXPECT_FALSE(keyPasses(rsa(1025, usual)));
  EXPECT_TRUE(keyPasses(rsa(256, "\x03")));
  EXPECT_TRUE(keyPasses(rsa(256, "\x01\xFF\xFF\xFF\xFF")));
  EXPECT_FALSE(keyPasses(rsa(256, "\x02\x00\x00\x00\x01"s)));
  EXPECT_FALSE(keyPasses(rsa(384, "\x7F"s + std::string(383, '\xFF'))));
}

TEST(HandshakeGuard, TakesNumbersOnlyInTheirShortestForm) {
  EXPECT_FALSE(keyPasses(rsa(256, "\0\x03"s)));
  EXPECT_FALSE(keyPasses(rsa(256, "\0"s)));
  EXPECT_FALSE(keyPasses(rsa(256, "")));
  EXPECT_FALSE(keyPasses(rsa(256, "\x83")));
  const std::string numbers = der(0x02, "\x41") + der(0x02, "\x03");
  EXPECT_TRUE(keyPasses(keyOf(kRsa, sequence(numbers))));
  EXPECT_FALSE(keyPasses(keyOf(kRsa, sequence(numbers + der(0x02, "\x03")))));
  EXPECT_FALSE(keyPasses(keyOf(kRsa, sequence(numbers) + "x")));
}

TEST(HandshakeGuard, RefusesOtherKindsOfKeys) {
  const std::string dsa = der(0x06, "\x2A\x86\x48\xCE\x38\x04\x01");
  const std::string rsaPss = der(0x06, "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A");
  const std::string dh = der(0x06, "\x2A\x86\x48\x86\xF7\x0D\x01\x03\x01");
  for (const std::string& algorithm : {dsa, rsaPss, dh}) {
    EXPECT_FALSE(keyPasses(keyOf(algorithm, "key")));
  }
}

TEST(HandshakeGuard, RefusesWhatIsNotDer) {
  const std::string good = certificateWith(keyOf(kEc + kP256, point(65)));
  ASSERT_TRUE(passes({good}));
  EXPECT_FALSE(passes({""}));
  EXPECT_FALSE(passes({good + "x"}));
  EXPECT_FALSE(passes({good.substr(0, good.size() - 1)}));
  // An indefinite length, and one in too many bytes.
  EXPECT_FALSE(passes({"\x30\x80" + good.substr(2) + "\0\0"s}));
  EXPECT_FALSE(passes({"\x30\x82\0"s + good.substr(2)}));
  EXPECT_FALSE(keyPasses("\x30\x80"s + sequence(kEc + kP256) + bits(point(65)) + "\0\0"s));
  EXPECT_FALSE(keyPasses(sequence(sequence(kEc + kP256) + der(0x03, "\x01" + point(65)))));
  // A constructed BIT STRING.
  EXPECT_FALSE(keyPasses(sequence(sequence(kEc + kP256) + der(0x23, bits(point(65))))));
}

TEST(HandshakeGuard, RefusesAMessageThatContradictsItself) {
  const std::string good = certificateWith(keyOf(kEc + kP256, point(65)));
  for (const bool isTls13 : {false, true}) {
    const std::string message = certificateMessage({good}, isTls13);
    for (std::size_t size = 4; size < message.size(); ++size) {
      EXPECT_FALSE(isCheapToParse(message.substr(0, size), isTls13)) << size;
    }
    EXPECT_FALSE(isCheapToParse(message + "x", isTls13));
    EXPECT_FALSE(isCheapToParse(message, !isTls13));
  }
}

TEST(HandshakeGuard, BoundsTheHello) {
  EXPECT_TRUE(isCheapToParse("\x01" + vector(3, std::string(2000, 'h')), false));
  EXPECT_FALSE(isCheapToParse("\x01" + vector(3, std::string(kMaxClientHello, 'h')), false));
}

TEST(HandshakeGuard, LetsOtherMessagesPassButNoCompressedCertificate) {
  for (const char type : {'\x00', '\x0F', '\x10', '\x14', '\x18'}) {
    EXPECT_TRUE(isCheapToParse(type + vector(3, "body"), true));
  }
  EXPECT_TRUE(isCheapToParse("", true));
  EXPECT_FALSE(isCheapToParse("\x19" + vector(3, "body"), true));
}

}  // namespace
}  // namespace egalaxyd
