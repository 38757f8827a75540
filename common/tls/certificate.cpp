#include "common/tls/certificate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/decoder.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string_view>

#include "common/base/errno_error.h"
#include "common/base/path.h"
#include "common/base/regular_file.h"
#include "common/base/sha256.h"
#include "common/base/unfinished_file.h"
#include "common/base/unique_fd.h"
#include "common/base/write_all.h"
#include "common/system/log.h"
#include "common/tls/certificate_names.h"
#include "common/tls/client_certificate.h"
#include "common/tls/openssl_support.h"
#include "common/wire/ip_address.h"

namespace egalaxyd {
namespace fs = std::filesystem;

void X509Free::operator()(X509* certificate) const { X509_free(certificate); }
void KeyFree::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;
constexpr std::size_t kMaxCommonNameBytes = 64;  // RFC 5280, ub-common-name
constexpr int kSerialBits = 128;

Error opensslError(std::string_view doing) {
  return {ErrorCode::kIo, fmt::format("{} failed{}", doing, ErrorQueue::reason())};
}

BioPtr bioOver(std::string_view bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

Result<std::string> readFile(const fs::path& file) {
  auto bytes = readRegularFile(file, kMaxFileBytes);
  if (bytes) return bytes;
  return Error{bytes.error().code, fmt::format("{}: {}", file.string(), bytes.error().message)};
}

bool isPem(std::string_view bytes) { return bytes.find("-----BEGIN ") != std::string_view::npos; }

/// OpenSSL's passphrase callback: gives none, but notes that one would be needed.
int refusePassphrase(char*, int, int, void* wanted) {
  *static_cast<bool*>(wanted) = true;
  return -1;
}

Result<std::vector<X509Ptr>> parsePemCertificates(const fs::path& file, std::string_view bytes) {
  std::vector<X509Ptr> chain;
  const BioPtr bio = bioOver(bytes);
  bool wanted = false;
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, &refusePassphrase, &wanted)) {
    chain.emplace_back(next);
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: certificate number {} is damaged{}", file.string(),
                             chain.size() + 1, ErrorQueue::reason())};
  }
  if (chain.empty()) {
    return Error{ErrorCode::kInvalid,
                 file.string() + ": holds no certificate; one begins with -----BEGIN CERTIFICATE"};
  }
  return chain;
}

// --- making ---------------------------------------------------------------------------------

/// "[::1]" and "0:0::1" become "::1", each name is there once.
std::vector<std::string> canonicalNames(const std::vector<std::string>& names) {
  std::vector<std::string> all;
  for (std::string_view name : names) {
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    const auto address = IpAddress::parse(name);
    const std::string text = address ? address->text() : std::string(name);
    if (std::ranges::find(all, text) == all.end()) all.push_back(text);
  }
  return all;
}

GeneralNamePtr generalName(const std::string& name) {
  GeneralNamePtr general(GENERAL_NAME_new());
  if (!general) return nullptr;
  if (IpAddress::parse(name)) {
    ASN1_OCTET_STRING* address = a2i_IPADDRESS(name.c_str());
    if (address == nullptr) return nullptr;
    GENERAL_NAME_set0_value(general.get(), GEN_IPADD, address);
    return general;
  }
  Asn1Ptr dns(ASN1_IA5STRING_new());
  if (!dns || ASN1_STRING_set(dns.get(), name.data(), static_cast<int>(name.size())) != 1) {
    return nullptr;
  }
  GENERAL_NAME_set0_value(general.get(), GEN_DNS, dns.release());
  return general;
}

bool addNames(X509* certificate, const std::vector<std::string>& names) {
  const GeneralNamesPtr all(GENERAL_NAMES_new());
  for (const std::string& name : names) {
    GeneralNamePtr general = generalName(name);
    if (!all || !general || sk_GENERAL_NAME_push(all.get(), general.get()) <= 0) return false;
    static_cast<void>(general.release());
  }
  return X509_add1_ext_i2d(certificate, NID_subject_alt_name, all.get(), 0, X509V3_ADD_DEFAULT) ==
         1;
}

/// Strict clients refuse a server certificate that calls itself an authority.
bool addNoAuthority(X509* certificate) {
  const ConstraintsPtr constraints(BASIC_CONSTRAINTS_new());
  return constraints && X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints.get(), 1,
                                          X509V3_ADD_DEFAULT) == 1;
}

/// What the key is for: to say who a client is.
bool addClientUse(X509* certificate) {
  const std::unique_ptr<EXTENDED_KEY_USAGE, Freer<EXTENDED_KEY_USAGE_free>> uses(
      sk_ASN1_OBJECT_new_null());
  return uses && sk_ASN1_OBJECT_push(uses.get(), OBJ_nid2obj(NID_client_auth)) > 0 &&
         X509_add1_ext_i2d(certificate, NID_ext_key_usage, uses.get(), 0, X509V3_ADD_DEFAULT) == 1;
}

bool addSerial(X509* certificate) {
  const BignumPtr serial(BN_new());
  return serial && BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool addToSubject(X509* certificate, int kind, std::string_view text) {
  return X509_NAME_add_entry_by_NID(
             X509_get_subject_name(certificate), kind, MBSTRING_UTF8,
             reinterpret_cast<const unsigned char*>(text.data()),  // NOLINT: OpenSSL's bytes
             static_cast<int>(text.size()), -1, 0) == 1;
}

bool addSubject(X509* certificate, const std::vector<std::string>& names) {
  bool named = false;
  for (const std::string& name : names) {
    const bool wanted = !named || IpAddress::parse(name);
    if (!wanted || name.size() > kMaxCommonNameBytes) continue;
    if (!addToSubject(certificate, NID_commonName, name)) return false;
    named = true;
  }
  // An issuer without any name is against RFC 5280.
  if (!named && !addToSubject(certificate, NID_organizationName, "self-signed")) return false;
  return X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1;
}

/// Not "now": a certificate made while the clock is ahead would not be valid yet once it is set
/// right.
bool addDates(X509* certificate) {
  return ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20200101000000Z") == 1 &&
         ASN1_TIME_set_string(X509_getm_notAfter(certificate), "40960101000000Z") == 1;
}

/// For `names`, of which the subject takes what fits; `addExtensions(leaf)` adds what makes it a
/// server's or a client's.
template <class AddExtensions>
Result<KeyedCertificate> makeCertificate(const std::vector<std::string>& names,
                                         AddExtensions addExtensions) {
  const ErrorQueue errors;
  KeyedCertificate made;
  made.key.reset(EVP_EC_gen("P-256"));
  if (!made.key) return opensslError("making a P-256 key");
  X509Ptr leaf(X509_new());
  if (!leaf || X509_set_version(leaf.get(), X509_VERSION_3) != 1 || !addSerial(leaf.get()) ||
      !addSubject(leaf.get(), names) || !addDates(leaf.get()) ||
      X509_set_pubkey(leaf.get(), made.key.get()) != 1 || !addNoAuthority(leaf.get()) ||
      !addExtensions(leaf.get()) || X509_sign(leaf.get(), made.key.get(), EVP_sha256()) == 0) {
    return opensslError("making a certificate for " + names.front());
  }
  made.chain.push_back(std::move(leaf));
  return made;
}

Result<void> checkNames(const std::vector<std::string>& names) {
  if (names.empty()) return Error{ErrorCode::kInvalid, "a certificate needs at least one name"};
  for (const std::string& name : names) {
    const bool plain =
        std::ranges::all_of(name, [](char c) { return c > 0x20 && c < 0x7F && c != '/'; });
    if (name.empty() || name.size() > 253 || !plain) {
      return Error{
          ErrorCode::kInvalid,
          fmt::format("'{}' cannot be a certificate's name: write 1 to 253 ASCII "
                      "characters without spaces and slashes, other letters in their xn-- form",
                      logQuote(name))};
    }
  }
  return {};
}

// --- writing --------------------------------------------------------------------------------

fs::path folderOf(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

/// What becomes of a file that is there already.
enum class Present { kStays, kIsReplaced };

/// `file` appears complete, or not at all.
Result<void> publish(const fs::path& temporary, const fs::path& file, Present present) {
  if (present == Present::kIsReplaced) {
    if (::rename(temporary.c_str(), file.c_str()) != 0) {
      return errnoError("replace " + file.string(), errno);
    }
  } else if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, file.c_str(), RENAME_NOREPLACE) !=
             0) {
    // Where renameat2(2) knows no RENAME_NOREPLACE, link(2) is the call that never replaces.
    if (errno != EINVAL && errno != ENOSYS) return errnoError("create " + file.string(), errno);
    if (::link(temporary.c_str(), file.c_str()) != 0) {
      return errnoError("create " + file.string(), errno);
    }
    ::unlink(temporary.c_str());
  }
  const UniqueFd folder(::open(folderOf(file).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) {
    const int failure = errno;
    if (present == Present::kStays) ::unlink(file.c_str());
    return errnoError("sync " + folderOf(file).string(), failure);
  }
  return {};
}

Result<void> fillAndPublish(int fd, std::string_view bytes, mode_t mode, const fs::path& temporary,
                            const fs::path& file, Present present) {
  // Whatever the umask is.
  if (::fchmod(fd, mode) != 0) return errnoError("chmod " + temporary.string(), errno);
  if (const int failed = writeAll(fd, bytes); failed != 0) {
    return errnoError("write " + temporary.string(), failed);
  }
  if (::fsync(fd) != 0) return errnoError("sync " + temporary.string(), errno);
  return publish(temporary, file, present);
}

Result<void> writeFile(const fs::path& file, std::string_view bytes, mode_t mode, Present present) {
  UnfinishedFile temporary(
      unfinishedName((folderOf(file) / ("." + file.filename().string() + ".")).string()));
  const auto fd = temporary.make();
  if (!fd) return fd.error();
  auto done = fillAndPublish(fd->get(), bytes, mode, temporary.name(), file, present);
  if (done) temporary.keep();
  return done;
}

bool isThere(const fs::path& file) {
  return ::faccessat(AT_FDCWD, file.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Error notReplaced(const fs::path& file) {
  return {ErrorCode::kExists,
          file.string() + ": is there already and is not replaced; move it away first"};
}

std::string chainPem(const std::vector<X509Ptr>& chain) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  for (const X509Ptr& certificate : chain) {
    if (!bio || PEM_write_bio_X509(bio.get(), certificate.get()) != 1) return "";
  }
  return contentOf(bio.get());
}

/// The key's text behind `before`, which is not secret; nullptr: it cannot be encoded.
BioPtr keyPem(EVP_PKEY* key, std::string_view before) {
  BioPtr bio(BIO_new(BIO_s_secmem()));  // wiped when freed
  std::size_t written = 0;
  if (!bio ||
      (!before.empty() && BIO_write_ex(bio.get(), before.data(), before.size(), &written) != 1) ||
      PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return nullptr;
  }
  return bio;
}

Result<void> writeKey(EVP_PKEY* key, std::string_view before, const fs::path& file,
                      Present present = Present::kStays) {
  const BioPtr bio = keyPem(key, before);
  if (!bio) return opensslError("encode the private key");
  char* pem = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &pem);
  return writeFile(file, {pem, static_cast<std::size_t>(size)}, 0600, present);
}

Result<std::vector<X509Ptr>> parseCertificates(const fs::path& file, std::string_view bytes) {
  if (isPem(bytes)) return parsePemCertificates(file, bytes);
  const auto* from = reinterpret_cast<const unsigned char*>(bytes.data());  // NOLINT
  X509Ptr certificate(d2i_X509(nullptr, &from, static_cast<long>(bytes.size())));
  if (!certificate) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: not a certificate in PEM or DER form", file.string())};
  }
  std::vector<X509Ptr> chain;
  chain.push_back(std::move(certificate));
  return chain;
}

Result<KeyPtr> parsePrivateKey(const fs::path& file, std::string_view bytes) {
  EVP_PKEY* key = nullptr;
  bool encrypted = false;
  const DecoderPtr decoder(OSSL_DECODER_CTX_new_for_pkey(&key, nullptr, nullptr, nullptr,
                                                         EVP_PKEY_KEYPAIR, nullptr, nullptr));
  const BioPtr bio = bioOver(bytes);
  if (!decoder || !bio ||
      OSSL_DECODER_CTX_set_pem_password_cb(decoder.get(), &refusePassphrase, &encrypted) != 1) {
    return opensslError("read " + file.string());
  }
  // Certificates may stand before the key in the same file: the decoder stops at each block.
  while (OSSL_DECODER_from_bio(decoder.get(), bio.get()) != 1 && !encrypted &&
         BIO_eof(bio.get()) == 0) {
  }
  KeyPtr found(key);
  if (found) return found;
  if (encrypted) {
    return Error{
        ErrorCode::kInvalid,
        fmt::format("{0}: the key is encrypted and nobody can be asked for its passphrase; "
                    "take it off with: openssl pkey -in {0} -out NEW_FILE",
                    file.string())};
  }
  return Error{ErrorCode::kInvalid, file.string() + ": not a private key in PEM or DER form"};
}

/// `certificate` and `key` name where they are from.
Result<KeyedCertificate> paired(std::vector<X509Ptr> chain, KeyPtr privateKey,
                                const std::string& certificate, const std::string& key) {
  if (X509_check_private_key(chain.front().get(), privateKey.get()) != 1) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("{}: the key does not belong to the first certificate in {}", key,
                             certificate)};
  }
  return KeyedCertificate{std::move(chain), std::move(privateKey)};
}

}  // namespace

Result<std::vector<X509Ptr>> readCertificates(const fs::path& file) {
  const ErrorQueue errors;
  auto bytes = readFile(file);
  if (!bytes) return bytes.error();
  return parseCertificates(file, *bytes);
}

Result<KeyPtr> readPrivateKey(const fs::path& file) {
  const ErrorQueue errors;
  auto bytes = readFile(file);
  if (!bytes) return bytes.error();
  auto key = parsePrivateKey(file, *bytes);
  OPENSSL_cleanse(bytes->data(), bytes->size());
  return key;
}

Result<KeyedCertificate> readKeyedCertificate(const fs::path& certificate, const fs::path& key) {
  auto chain = readCertificates(certificate);
  if (!chain) return chain.error();
  auto privateKey = readPrivateKey(key);
  if (!privateKey) return privateKey.error();
  const ErrorQueue errors;
  return paired(std::move(*chain), std::move(*privateKey), certificate.string(), key.string());
}

Result<KeyedPem> toPem(const KeyedCertificate& identity) {
  const ErrorQueue errors;
  const BioPtr key = keyPem(identity.key.get(), "");
  KeyedPem pem{chainPem(identity.chain), key ? contentOf(key.get()) : ""};
  if (pem.certificate.empty() || pem.key.empty()) return opensslError("encode the certificate");
  return pem;
}

Result<KeyedCertificate> fromPem(const KeyedPem& pem, const std::string& name) {
  const ErrorQueue errors;
  auto chain = parseCertificates(name, pem.certificate);
  if (!chain) return chain.error();
  auto key = parsePrivateKey(name, pem.key);
  if (!key) return key.error();
  return paired(std::move(*chain), std::move(*key), name, name);
}

std::string chainDigest(const std::vector<X509Ptr>& chain) {
  std::string all;
  for (const X509Ptr& certificate : chain) all += certificateFingerprint(certificate.get());
  return sha256Hex(all);
}

Result<KeyedCertificate> makeSelfSigned(const std::vector<std::string>& wanted) {
  if (auto checked = checkNames(wanted); !checked) return checked.error();
  const std::vector<std::string> names = canonicalNames(wanted);
  return makeCertificate(names, [&](X509* leaf) { return addNames(leaf, names); });
}

Result<KeyedCertificate> makeClientCertificate(const std::string& name) {
  if (name.empty() || name.size() > kMaxCommonNameBytes || !isPrintable(name)) {
    return Error{ErrorCode::kInvalid,
                 fmt::format("'{}' cannot be a certificate's name: write 1 to {} bytes of text",
                             logQuote(name), kMaxCommonNameBytes)};
  }
  return makeCertificate({name}, &addClientUse);
}

Result<void> writeKeyedCertificate(const KeyedCertificate& identity, const fs::path& certificate,
                                   const fs::path& key) {
  const ErrorQueue errors;
  const std::string pem = chainPem(identity.chain);
  if (pem.empty()) return opensslError("encode the certificate");
  for (const fs::path& file : {certificate, key}) {
    if (isThere(file)) return notReplaced(file);
  }
  if (auto written = writeKey(identity.key.get(), "", key); !written) return written;
  UnfinishedFile lonely(key);  // ours: it was not there before
  auto written = writeFile(certificate, pem, 0644, Present::kStays);
  if (written) lonely.keep();
  return written;
}

Result<void> replaceKeyedCertificate(const KeyedCertificate& identity, const fs::path& file) {
  const ErrorQueue errors;
  const std::string pem = chainPem(identity.chain);
  if (pem.empty()) return opensslError("encode the certificate");
  return writeKey(identity.key.get(), pem, file, Present::kIsReplaced);
}

Result<void> writeIdentity(const KeyedCertificate& identity, const fs::path& file) {
  const ErrorQueue errors;
  const std::string pem = chainPem(identity.chain);
  if (pem.empty()) return opensslError("encode the certificate");
  if (isThere(file)) return notReplaced(file);
  return writeKey(identity.key.get(), pem, file);
}

}  // namespace egalaxyd
