#include "common/tls/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "common/tls/certificate_advice.h"
#include "common/tls/certificate_names.h"
#include "common/tls/client_certificate.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using std::chrono::system_clock;

KeyedCertificate made(const std::vector<std::string>& names) {
  auto result = makeSelfSigned(names);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return std::move(*result);
}

struct BioClose {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Bio = std::unique_ptr<BIO, BioClose>;

std::string content(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string certificatePem(const X509Ptr& certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate.get());
  return content(bio);
}

std::string certificateDer(const X509Ptr& certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  i2d_X509_bio(bio.get(), certificate.get());
  return content(bio);
}

std::string keyPem(const KeyPtr& key, const EVP_CIPHER* cipher = nullptr) {
  const Bio bio(BIO_new(BIO_s_mem()));
  char passphrase[] = "secret";
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), cipher, passphrase, 6, nullptr, nullptr);
  return content(bio);
}

std::string keyDer(const KeyPtr& key, const EVP_CIPHER* cipher = nullptr) {
  const Bio bio(BIO_new(BIO_s_mem()));
  char passphrase[] = "secret";
  i2d_PKCS8PrivateKey_bio(bio.get(), key.get(), cipher, passphrase, 6, nullptr, nullptr);
  return content(bio);
}

/// A certificate whose subject is as given, with ASN.1 type and bytes chosen by the test.
X509Ptr withSubject(int asn1Type, std::string_view commonName) {
  X509Ptr certificate(X509_new());
  X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, asn1Type,
                             reinterpret_cast<const unsigned char*>(commonName.data()),  // NOLINT
                             static_cast<int>(commonName.size()), -1, 0);
  return certificate;
}

unsigned modeOf(const fs::path& file) {
  struct stat status {};
  return ::lstat(file.c_str(), &status) == 0 ? status.st_mode & 07777U : 0U;
}

std::size_t filesIn(const TempDir& dir) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()));
}

TEST(Certificate, MakesAVersion3CertificateThatLastsUntil4096) {
  const auto identity = made({"example.org", "*.example.org", "192.0.2.7", "2001:db8::1"});
  const X509* leaf = identity.chain.at(0).get();
  EXPECT_EQ(X509_get_version(leaf), X509_VERSION_3);
  EXPECT_EQ(certificateCommonName(leaf), "example.org");
  EXPECT_EQ(certificateNames(leaf),
            (std::vector<std::string>{"example.org", "*.example.org", "192.0.2.7", "2001:db8::1"}));
  EXPECT_EQ(certificateNotAfterText(leaf), "4096-01-01T00:00:00Z");
  // Whatever the clock says: it may be wrong.
  EXPECT_EQ(system_clock::to_time_t(certificateNotBefore(leaf)), 1'577'836'800);
}

TEST(Certificate, SignsItsOwnCertificateWithP256AndSha256) {
  const auto identity = made({"example.org"});
  X509* leaf = identity.chain.at(0).get();
  EXPECT_EQ(X509_verify(leaf, identity.key.get()), 1);
  EXPECT_EQ(X509_get_signature_nid(leaf), NID_ecdsa_with_SHA256);
  char group[32] = "";
  EVP_PKEY_get_group_name(identity.key.get(), group, sizeof group, nullptr);
  EXPECT_STREQ(group, "prime256v1");
}

TEST(Certificate, GivesEachCertificateALongSerialOfItsOwn) {
  const auto one = made({"a"});
  const auto other = made({"a"});
  const auto* serial = X509_get0_serialNumber(one.chain[0].get());
  EXPECT_GE(ASN1_STRING_length(serial), 8);
  EXPECT_LE(ASN1_STRING_length(serial), 20);
  EXPECT_NE(ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(other.chain[0].get())), 0);
}

TEST(Certificate, NeverOverflowsTheClockWithADateFarAway) {
  const auto identity = made({"a"});
  EXPECT_GT(certificateNotAfter(identity.chain[0].get()), system_clock::now());
}

TEST(Certificate, TreatsAnUnreadableDateAsNeverValid) {
  const X509Ptr empty(X509_new());
  EXPECT_GT(certificateNotBefore(empty.get()), system_clock::now());
  EXPECT_LT(certificateNotAfter(empty.get()), system_clock::now());
  EXPECT_EQ(certificateNotAfterText(empty.get()), "unreadable");
}

TEST(Certificate, RefusesNamesThatNoCertificateCanHold) {
  EXPECT_FALSE(makeSelfSigned({}).ok());
  for (const std::string name : {"", "a b", "caf\xC3\xA9.org", "a\nb"}) {
    const auto result = makeSelfSigned({"fine.org", name});
    ASSERT_FALSE(result.ok()) << name;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalid);
  }
  EXPECT_FALSE(makeSelfSigned({std::string(254, 'a')}).ok());
}

TEST(Certificate, NamesEachAddressInTheSubjectToo) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"localhost", "127.0.0.1", "::1"}, "CN=::1,CN=127.0.0.1,CN=localhost"},
      {{"192.0.2.7"}, "CN=192.0.2.7"},
      {{"a.test", "b.test", "192.0.2.7", "192.0.2.7"}, "CN=192.0.2.7,CN=a.test"},
      {{"[2001:DB8:0::1]", "2001:db8::1"}, "CN=2001:db8::1"}};
  for (const auto& [names, subject] : cases) {
    const auto identity = made(names);
    EXPECT_EQ(certificateSubject(identity.chain[0].get()), subject);  // the last one comes first
  }
  const auto identity = made({"[2001:DB8:0::1]"});
  EXPECT_EQ(certificateNames(identity.chain[0].get()), std::vector<std::string>{"2001:db8::1"});
}

TEST(Certificate, TellsItsNamesPartByPartInItsOwnOrder) {
  const auto identity = made({"a.test", "192.0.2.7"});
  const auto parts = certificateSubjectParts(identity.chain[0].get());
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].name + "=" + parts[0].value, "CN=a.test");
  EXPECT_EQ(parts[1].name + "=" + parts[1].value, "CN=192.0.2.7");
  EXPECT_EQ(certificateIssuerParts(identity.chain[0].get()).size(), 2u);
}

TEST(Certificate, TellsItsSerialUnlessItIsAbsurd) {
  const auto identity = made({"a.test"});
  ASN1_INTEGER* serial = X509_get_serialNumber(identity.chain[0].get());
  ASN1_INTEGER_set_int64(serial, -255);
  EXPECT_EQ(certificateSerial(identity.chain[0].get()), "-255");
  const std::string longest(129, '\x7F');
  ASN1_STRING_set(serial, longest.data(), 128);
  EXPECT_GT(certificateSerial(identity.chain[0].get()).size(), 300u);
  ASN1_STRING_set(serial, longest.data(), 129);
  EXPECT_EQ(certificateSerial(identity.chain[0].get()), "");
}

TEST(Certificate, HasALongNameInTheSanAloneForACutOneIsAnothers) {
  const std::string name = std::string(60, 'a') + "." + std::string(60, 'b') + ".org";
  const std::string longest = std::string(60, 'c') + ".org";  // 64 bytes
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{name}, "O=self-signed"},
      {{name, longest}, "CN=" + longest},
      {{name, "192.0.2.7"}, "CN=192.0.2.7"},
      {{"x" + longest}, "O=self-signed"}};
  for (const auto& [names, subject] : cases) {
    const auto identity = made(names);
    X509* leaf = identity.chain[0].get();
    EXPECT_EQ(certificateSubject(leaf), subject);
    EXPECT_EQ(certificateNames(leaf), names);
    EXPECT_EQ(X509_verify(leaf, identity.key.get()), 1);
    EXPECT_EQ(X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)), 0);
  }
}

TEST(Certificate, OfTheLongestNamesHasAFileNameThatAFolderTakes) {
  std::string host;
  while (host.size() < 252) host += std::string(62, 'a') + ".";
  host.resize(253, 'z');
  const TempDir dir;
  const std::string stem = certificateFileStem(host);
  ASSERT_TRUE(writeKeyedCertificate(made({host}), dir / (stem + ".crt"), dir / (stem + ".key")));
  std::string other = host;
  other.back() = 'y';
  EXPECT_NE(certificateFileStem(other), stem);
  const std::string shorter = host.substr(0, 233);
  EXPECT_EQ(certificateFileStem(shorter), shorter) << "as it has always been";
  ASSERT_TRUE(
      writeKeyedCertificate(made({shorter}), dir / (shorter + ".crt"), dir / (shorter + ".key")));
}

TEST(Certificate, NamesItsHostsAsClientsReadThem) {
  const auto identity = made({"Example.org", "*.wild.test", "192.0.2.7", "::1"});
  const NamedHosts hosts(identity.chain[0].get());
  for (const char* host : {"example.org", "a.wild.test", "*.wild.test", "192.0.2.7", "::1"}) {
    EXPECT_TRUE(hosts.hold(host)) << host;
  }
  for (const char* host : {"example.com", "a.example.org", "wild.test", "b.a.wild.test",
                           "192.0.2.8", "*", "", ".wild.test", "::2"}) {
    EXPECT_FALSE(hosts.hold(host)) << host;
  }
  const X509Ptr old = withSubject(MBSTRING_UTF8, "Old.test");
  EXPECT_TRUE(NamedHosts(old.get()).hold("old.test")) << "it has no SAN";
  EXPECT_FALSE(NamedHosts(X509Ptr(X509_new()).get()).hold("old.test"));
}

TEST(Certificate, WritesFilesThatReadBack) {
  const TempDir dir;
  const auto identity = made({"example.org"});
  ASSERT_TRUE(writeKeyedCertificate(identity, dir / "c.crt", dir / "c.key").ok());
  EXPECT_EQ(modeOf(dir / "c.crt"), 0644U);
  EXPECT_EQ(modeOf(dir / "c.key"), 0600U);
  EXPECT_EQ(filesIn(dir), 2U);
  const auto read = readKeyedCertificate(dir / "c.crt", dir / "c.key");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(certificateFingerprint(read->chain.at(0).get()),
            certificateFingerprint(identity.chain[0].get()));
}

TEST(Certificate, MakesOneForAClientThatIsFitForThatAlone) {
  const std::string name = "Ada L\u00F6velace";
  auto one = makeClientCertificate(name);
  ASSERT_TRUE(one.ok());
  X509* leaf = one->chain.front().get();
  EXPECT_EQ(certificateCommonName(leaf), name);
  EXPECT_TRUE(certificateNames(leaf).empty());
  EXPECT_EQ(certificateNotAfterText(leaf), "4096-01-01T00:00:00Z");
  EXPECT_EQ(X509_get_extended_key_usage(leaf), static_cast<std::uint32_t>(XKU_SSL_CLIENT));
  EXPECT_EQ(X509_verify(leaf, one->key.get()), 1);
  const auto other = makeClientCertificate(name);
  EXPECT_NE(certificateFingerprint(leaf), certificateFingerprint(other->chain.front().get()));
  for (const std::string& bad : {std::string(), std::string(65, 'x'), std::string("a\nb"),
                                 std::string("\xff"), std::string("a\0b", 3)}) {
    EXPECT_FALSE(makeClientCertificate(bad).ok()) << bad;
  }
}

TEST(Certificate, WritesAnIdentityIntoOneFileThatIsItsOwners) {
  const TempDir folder;
  const auto identity = makeClientCertificate("Ada");
  const fs::path file = folder / "Ada.pem";
  ASSERT_TRUE(writeIdentity(*identity, file).ok());
  struct stat info {};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  const auto back = readKeyedCertificate(file, file);
  ASSERT_TRUE(back.ok()) << back.error().message;
  const std::string before = folder.read("Ada.pem");
  const auto again = writeIdentity(*makeClientCertificate("Ada"), file);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::kExists);
  EXPECT_EQ(folder.read("Ada.pem"), before);
}

TEST(Certificate, NeverReplacesAFile) {
  const TempDir dir;
  const auto identity = made({"example.org"});
  for (const auto& [taken, free] : {std::pair("c.crt", "c.key"), std::pair("c.key", "c.crt")}) {
    dir.write(taken, "mine");
    const auto result = writeKeyedCertificate(identity, dir / "c.crt", dir / "c.key");
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kExists);
    EXPECT_NE(result.error().message.find(taken), std::string::npos) << result.error().message;
    EXPECT_EQ(dir.read(taken), "mine");
    EXPECT_FALSE(fs::exists(dir / free));
    EXPECT_EQ(filesIn(dir), 1U);
    fs::remove(dir / taken);
  }
}

TEST(Certificate, DoesNotWriteThroughADanglingLink) {
  const TempDir dir;
  fs::create_symlink(dir / "elsewhere", dir / "c.key");
  const auto result = writeKeyedCertificate(made({"a"}), dir / "c.crt", dir / "c.key");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kExists);
  EXPECT_FALSE(fs::exists(dir / "elsewhere"));
}

TEST(Certificate, LeavesNoKeyBehindWhenTheCertificateCannotBeWritten) {
  const TempDir dir;
  const auto result = writeKeyedCertificate(made({"a"}), dir / "no/c.crt", dir / "c.key");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(filesIn(dir), 0U);
}

TEST(Certificate, ReadsPemAndDer) {
  const TempDir dir;
  const auto identity = made({"a"});
  dir.write("pem.crt", certificatePem(identity.chain[0]));
  dir.write("der.crt", certificateDer(identity.chain[0]));
  dir.write("pem.key", keyPem(identity.key));
  dir.write("der.key", keyDer(identity.key));
  for (const char* certificate : {"pem.crt", "der.crt"}) {
    for (const char* key : {"pem.key", "der.key"}) {
      const auto read = readKeyedCertificate(dir / certificate, dir / key);
      EXPECT_TRUE(read.ok()) << certificate << key << (read.ok() ? "" : read.error().message);
    }
  }
}

TEST(Certificate, ReadsAChainInOrderAndAKeyBehindIt) {
  const TempDir dir;
  const auto leaf = made({"leaf"});
  const auto above = made({"above"});
  const auto file = dir.write("all.pem", "A comment\n" + certificatePem(leaf.chain[0]) +
                                             certificatePem(above.chain[0]) + keyPem(leaf.key));
  const auto read = readKeyedCertificate(file, file);
  ASSERT_TRUE(read.ok()) << read.error().message;
  ASSERT_EQ(read->chain.size(), 2U);
  EXPECT_EQ(certificateCommonName(read->chain[0].get()), "leaf");
  EXPECT_EQ(certificateCommonName(read->chain[1].get()), "above");
}

TEST(Certificate, RefusesAnEncryptedKeyInsteadOfAsking) {
  const TempDir dir;
  const auto identity = made({"a"});
  for (const auto& text :
       {keyPem(identity.key, EVP_aes_128_cbc()), keyDer(identity.key, EVP_aes_128_cbc())}) {
    const auto result = readPrivateKey(dir.write("secret.key", text));
    ASSERT_FALSE(result.ok());
    EXPECT_NE(result.error().message.find("encrypted"), std::string::npos)
        << result.error().message;
    EXPECT_NE(result.error().message.find("secret.key"), std::string::npos);
  }
}

TEST(Certificate, SaysWhichFileIsWrong) {
  const TempDir dir;
  const auto identity = made({"a"});
  const auto certificate = dir.write("good.crt", certificatePem(identity.chain[0]));
  const auto key = dir.write("good.key", keyPem(identity.key));
  const auto cut = certificatePem(identity.chain[0]);
  const struct {
    fs::path certificate, key;
    std::string named;
  } cases[] = {
      {dir / "missing.crt", key, "missing.crt"},
      {certificate, dir / "missing.key", "missing.key"},
      {dir.write("empty.crt", ""), key, "empty.crt"},
      {dir.write("text.crt", "hello"), key, "text.crt"},
      {key, key, "good.key"},
      {certificate, certificate, "good.crt"},
      {dir.write("damaged.crt", cut + "-----BEGIN CERTIFICATE-----\n%%%%\n"), key, "number 2"},
      {certificate, dir.write("text.key", "hello"), "text.key"},
      {certificate, dir.write("empty.key", ""), "empty.key"},
      {certificate, dir.write("other.key", keyPem(made({"b"}).key)), "other.key"},
      {dir.path(), key, dir.path().filename().string()},
      {dir.write("huge.crt", std::string(2 << 20, 'x')), key, "huge.crt"},
  };
  for (const auto& c : cases) {
    const auto result = readKeyedCertificate(c.certificate, c.key);
    ASSERT_FALSE(result.ok()) << c.named;
    EXPECT_NE(result.error().message.find(c.named), std::string::npos) << result.error().message;
    EXPECT_EQ(ERR_peek_error(), 0U) << c.named;
  }
}

TEST(Certificate, FingerprintsAreLowerCaseSha256AndFollowTheKey) {
  const auto identity = made({"a"});
  const std::string whole = certificateFingerprint(identity.chain[0].get());
  const std::string key = publicKeyFingerprint(identity.chain[0].get());
  for (const std::string& hex : {whole, key}) {
    EXPECT_EQ(hex.size(), 64U);
    EXPECT_EQ(hex.find_first_not_of("0123456789abcdef"), std::string::npos) << hex;
  }
  const X509Ptr renewed(X509_dup(identity.chain[0].get()));
  ASSERT_NE(X509_gmtime_adj(X509_getm_notAfter(renewed.get()), 60), nullptr);
  ASSERT_GT(X509_sign(renewed.get(), identity.key.get(), EVP_sha256()), 0);
  EXPECT_NE(certificateFingerprint(renewed.get()), whole);
  EXPECT_EQ(publicKeyFingerprint(renewed.get()), key);
}

TEST(Certificate, ShowsNamesInUtf8AndEscapesControls) {
  const struct {
    int type;
    std::string_view name, shown;
  } cases[] = {
      {MBSTRING_UTF8, "Zo\xC3\xAB", "Zo\xC3\xAB"},
      {MBSTRING_UTF8, "a\x1B[31mb", "a\\1B[31mb"},
      {MBSTRING_UTF8, "a\nb", "a\\0Ab"},
      {MBSTRING_UTF8, "a\xC2\x85z", "a\\C2\\85z"},
      {V_ASN1_BMPSTRING, std::string_view("\0A\0\xE9", 4), "A\xC3\xA9"},
  };
  for (const auto& c : cases) {
    const auto certificate = withSubject(c.type, c.name);
    EXPECT_EQ(certificateCommonName(certificate.get()), c.shown);
    EXPECT_EQ(certificateSubject(certificate.get()), "CN=" + std::string(c.shown));
  }
}

TEST(Certificate, ShowsBytesThatAreNotUtf8Escaped) {
  const auto certificate = withSubject(V_ASN1_UTF8STRING, "a\xFF\xC0\x80z");
  EXPECT_EQ(certificateCommonName(certificate.get()), "");
  EXPECT_EQ(certificateSubject(certificate.get()), "CN=a\\FF\\C0\\80z");
}

TEST(Certificate, HasNoNamesWhereThereAreNone) {
  const X509Ptr empty(X509_new());
  EXPECT_EQ(certificateCommonName(empty.get()), "");
  EXPECT_EQ(certificateSubject(empty.get()), "");
  EXPECT_TRUE(certificateNames(empty.get()).empty());
}

std::string adviceOn(const CertificateWish& wish) {
  std::string all;
  const TestCertificate made = makeTestCertificate(wish);
  for (const std::string& advice :
       certificateAdvice(made.certificate.get(), std::chrono::system_clock::now())) {
    all += advice + "\n";
  }
  return all;
}

TEST(CertificateAdvice, IsForWhatClientsMayRefuse) {
  using testing::HasSubstr;
  for (const KeyKind key :
       {KeyKind::kP256, KeyKind::kP384, KeyKind::kP521, KeyKind::kEd25519, KeyKind::kRsa2048}) {
    EXPECT_EQ(adviceOn({.key = key}), "");
  }
  EXPECT_THAT(adviceOn({.key = KeyKind::kSecp256k1}), HasSubstr("on the curve secp256k1 that no"));
  EXPECT_THAT(adviceOn({.key = KeyKind::kBrainpool}), HasSubstr("on the curve brainpoolP256r1"));
  EXPECT_THAT(adviceOn({.fromDays = -9, .toDays = -1}), HasSubstr("the certificate expired at 20"));
  EXPECT_THAT(adviceOn({.fromDays = 1}), HasSubstr("the certificate is valid from 20"));
  EXPECT_THAT(adviceOn({.toDays = 29}), HasSubstr("the certificate ends at 20"));
  EXPECT_EQ(adviceOn({.toDays = 31}), "");
}

}  // namespace
}  // namespace egalaxyd
