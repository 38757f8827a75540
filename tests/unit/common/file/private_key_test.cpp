#include "common/file/private_key.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/tls/certificate.h"
#include "common/tls/openssl_support.h"

namespace egalaxyd {
namespace {

constexpr const char* kPassphrase = "secret";

/// What `write` puts into a BIO.
template <class Write>
std::string written(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  EXPECT_EQ(write(bio.get()), 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

EVP_PKEY* make(const std::string& kind) {
  if (kind == "RSA") return EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048});
  if (kind == "EC") return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  return EVP_PKEY_Q_keygen(nullptr, nullptr, kind.c_str());
}

class PrivateKeyForms : public testing::TestWithParam<const char*> {
 protected:
  PrivateKeyForms() : key_(make(GetParam())) {}

  const KeyPtr key_;
};

TEST_P(PrivateKeyForms, AreSeenInPem) {
  const auto pkcs8 = written([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  const auto encrypted = written([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), EVP_aes_256_cbc(), kPassphrase, 6,
                                         nullptr, nullptr);
  });
  EXPECT_TRUE(isPrivateKey(pkcs8));
  EXPECT_TRUE(isPrivateKey(encrypted));
  EXPECT_TRUE(isPrivateKey("Bag Attributes\r\n  friendlyName: x\r\n" + pkcs8));
  EXPECT_TRUE(isPrivateKey(std::string(20'000, 'x') + "\n" + pkcs8)) << "far behind";
  EXPECT_TRUE(isPrivateKey("\xEF\xBB\xBF" + pkcs8)) << "behind a byte order mark";
  EXPECT_TRUE(isPrivateKey(pkcs8.substr(0, 80))) << "half written";
  std::string indented;
  std::string json;
  std::string dos;
  for (const char c : pkcs8) {
    indented += c == '\n' ? std::string("\n    ") : std::string(1, c);
    json += c == '\n' ? std::string("\\n") : std::string(1, c);
    dos += c == '\n' ? std::string("\r\n") : std::string(1, c);
  }
  EXPECT_TRUE(isPrivateKey("tls.key: |\n    " + indented));
  EXPECT_TRUE(isPrivateKey("{\"private_key\": \"" + json + "\"}"));
  EXPECT_TRUE(isPrivateKey(dos));
}

TEST_P(PrivateKeyForms, AreSeenInDer) {
  EXPECT_TRUE(isPrivateKey(
      written([&](BIO* bio) { return i2d_PKCS8PrivateKeyInfo_bio(bio, key_.get()); })));
  EXPECT_TRUE(isPrivateKey(written([&](BIO* bio) { return i2d_PrivateKey_bio(bio, key_.get()); })));
  for (const int scheme : {-1, NID_pbe_WithSHA1And3_Key_TripleDES_CBC}) {
    EXPECT_TRUE(isPrivateKey(written([&](BIO* bio) {
      return scheme < 0 ? i2d_PKCS8PrivateKey_bio(bio, key_.get(), EVP_aes_256_cbc(), kPassphrase,
                                                  6, nullptr, nullptr)
                        : i2d_PKCS8PrivateKey_nid_bio(bio, key_.get(), scheme, kPassphrase, 6,
                                                      nullptr, nullptr);
    })));
  }
}

TEST_P(PrivateKeyForms, AreSeenInPkcs12) {
  const std::unique_ptr<PKCS12, decltype(&PKCS12_free)> store(
      PKCS12_create(kPassphrase, "name", key_.get(), nullptr, nullptr, 0, 0, 0, 0, 0),
      &PKCS12_free);
  EXPECT_TRUE(isPrivateKey(written([&](BIO* bio) { return i2d_PKCS12_bio(bio, store.get()); })));
}

TEST_P(PrivateKeyForms, AreNotSeenInTheirPublicKeys) {
  EXPECT_FALSE(
      isPrivateKey(written([&](BIO* bio) { return PEM_write_bio_PUBKEY(bio, key_.get()); })));
  EXPECT_FALSE(isPrivateKey(written([&](BIO* bio) { return i2d_PUBKEY_bio(bio, key_.get()); })));
}

INSTANTIATE_TEST_SUITE_P(Kinds, PrivateKeyForms, testing::Values("RSA", "EC", "ED25519", "ED448"));

TEST(PrivateKey, IsSeenWhoeverWroteIt) {
  const std::string body(64, 'A');
  for (const char* label :
       {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY",
        "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"}) {
    EXPECT_TRUE(isPrivateKey(std::string("-----BEGIN ") + label + "-----\n" + body)) << label;
  }
  EXPECT_TRUE(
      isPrivateKey("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
                   "DEK-Info: AES-256-CBC,00112233\n\n" +
                   body));
  EXPECT_TRUE(isPrivateKey("-----BEGIN CERTIFICATE-----\n" + body +
                           "\n-----END CERTIFICATE-----\n-----BEGIN EC PARAMETERS-----\nBggq\n"
                           "-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\n" +
                           body))
      << "behind other blocks";
  EXPECT_TRUE(
      isPrivateKey("-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAA\n"
                   "AAAAAAAAAAAAAAAAAAAA\n"))
      << "in short lines";
}

TEST(PrivateKey, IsNoneWhereATextOnlyTalksOfOne) {
  for (const char* text : {
           "# Keys\nA key begins with -----BEGIN PRIVATE KEY----- and ends likewise.\n",
           "```\n-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n```\n",
           "```\n-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhk...\n-----END PRIVATE KEY-----\n",
           "-----BEGIN PRIVATE KEY-----\nThis is a line of words that says what stands here\n",
           "-----BEGIN PRIVATE KEY-----",
           "-----BEGIN PRIVATE KEY-----\n\n\n",
           "-----BEGIN PRIVATE KEY",
           "-----BEGIN ",
           "",
       }) {
    EXPECT_FALSE(isPrivateKey(text)) << text;
  }
  const std::string body(64, 'A');
  EXPECT_FALSE(isPrivateKey("-----BEGIN CERTIFICATE-----\n" + body));
  EXPECT_FALSE(isPrivateKey("-----BEGIN PGP PUBLIC KEY BLOCK-----\n" + body));
  EXPECT_FALSE(isPrivateKey("-----BEGIN PGP MESSAGE-----\nabout a PRIVATE KEY-----\n" + body));
  EXPECT_TRUE(
      isPrivateKey("-----BEGIN PRIVATE KEY----- is how they begin:\n"
                   "-----BEGIN PRIVATE KEY-----\n" +
                   body))
      << "the second is one";
}

TEST(PrivateKey, IsNoneInOtherFilesThatBeginAlike) {
  for (const std::string& bytes : std::vector<std::string>{
           "0",
           "0\x82",
           "0123456789",
           std::string("0\x03\x02\x01\x00", 5),
           std::string("0\x06\x02\x01\x00\x02\x01\x01", 8),
           // SNMPv2c: version 1, community, request.
           std::string("0\x26\x02\x01\x01\x04\x06public\xA0\x19\x02\x01\x01", 18),
           // A digest: SEQUENCE { SEQUENCE { OID sha256 }, OCTET STRING }.
           std::string("0\x31\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
                       19) +
               std::string(32, 'x'),
       }) {
    EXPECT_FALSE(isPrivateKey(bytes));
  }
  const std::string pem = "-----BEGIN PRIVATE KEY-----\n" + std::string(64, 'A');
  EXPECT_FALSE(isPrivateKey(std::string("archive\0", 8) + pem)) << "within something else";
  EXPECT_FALSE(isPrivateKey(std::string(kKeySearchBytes, 'x') + pem)) << "beyond the bound";
}

TEST(PrivateKey, MayComeAsLongAsTextGoesOn) {
  EXPECT_TRUE(mayBecomePrivateKey(std::string(16'384, 'x')));
  EXPECT_FALSE(mayBecomePrivateKey(std::string(kKeySearchBytes, 'x')));
  EXPECT_FALSE(mayBecomePrivateKey(std::string("\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16)));
}

}  // namespace
}  // namespace egalaxyd
