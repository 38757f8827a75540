#include "common/tls/certificate_names.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string_view>

#include "common/base/ascii.h"
#include "common/base/path.h"
#include "common/base/sha256.h"
#include "common/tls/openssl_support.h"
#include "common/wire/ip_address.h"

namespace egalaxyd {
namespace {

/// A file's name has 255 bytes at most, and that of an unfinished one 22 more than the stem.
constexpr std::size_t kLongestStem = 233;
constexpr std::size_t kCutStem = 160;  ///< what is kept before the digest of a longer one

/// Control characters (C0, DEL, C1) and bytes that are not UTF-8 become \XX, as RFC 2253 writes
/// them.
std::string escapeControls(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = printableLength(text);
    if (length > 0) {
      out += text.substr(0, length);
    } else {
      out += fmt::format("\\{:02X}", static_cast<std::uint8_t>(text[0]));
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

/// SHA-256 of what an i2d function writes.
template <class Encode>
std::string fingerprintOf(Encode encode) {
  const ErrorQueue errors;
  unsigned char* der = nullptr;
  const int size = encode(&der);
  if (size < 0) return "";
  std::string hex = sha256Hex({reinterpret_cast<const char*>(der),  // NOLINT
                               static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return hex;
}

std::string generalNameText(const GENERAL_NAME* name) {
  int type = 0;
  const void* value = GENERAL_NAME_get0_value(name, &type);
  if (type != GEN_DNS && type != GEN_IPADD) return "";
  const auto* string = static_cast<const ASN1_STRING*>(value);
  const unsigned char* data = ASN1_STRING_get0_data(string);
  const int size = ASN1_STRING_length(string);
  if (type == GEN_DNS)
    return escapeControls({reinterpret_cast<const char*>(data),  // NOLINT
                           static_cast<std::size_t>(size)});
  std::array<char, INET6_ADDRSTRLEN> text;
  if (size != 4 && size != 16) return "";
  const char* shown = ::inet_ntop(size == 4 ? AF_INET : AF_INET6, data, text.data(), text.size());
  return shown == nullptr ? "" : shown;
}

/// Seconds since 1970.
std::optional<std::int64_t> secondsOf(const ASN1_TIME* time) {
  const ErrorQueue errors;
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return ::timegm(&parts);
}

std::chrono::system_clock::time_point timePoint(std::int64_t seconds) {
  using Clock = std::chrono::system_clock;
  const auto limit = [](Clock::time_point end) {
    return std::chrono::duration_cast<std::chrono::seconds>(end.time_since_epoch()).count();
  };
  if (seconds >= limit(Clock::time_point::max())) return Clock::time_point::max();
  if (seconds <= limit(Clock::time_point::min())) return Clock::time_point::min();
  return Clock::time_point(std::chrono::seconds(seconds));
}

/// "" where it is not text.
std::string rawText(const X509_NAME_ENTRY* entry) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
  if (size < 0) return "";
  const std::string text(utf8, utf8 + size);
  OPENSSL_free(utf8);
  return text;
}

std::string entryText(const X509_NAME* name, int index) {
  return escapeControls(rawText(X509_NAME_get_entry(name, index)));
}

std::string partName(const ASN1_OBJECT* object) {
  if (const int nid = OBJ_obj2nid(object); nid != NID_undef) return OBJ_nid2sn(nid);
  std::array<char, 128> digits{};
  OBJ_obj2txt(digits.data(), static_cast<int>(digits.size()), object, 1);
  return digits.data();
}

std::vector<NamePart> partsOf(const X509_NAME* name) {
  const ErrorQueue errors;
  std::vector<NamePart> parts;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    parts.push_back({partName(X509_NAME_ENTRY_get_object(entry)), rawText(entry)});
  }
  return parts;
}

std::string timeText(const ASN1_TIME* time) {
  const ErrorQueue errors;
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "unreadable";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace

std::string certificateFingerprint(const X509* certificate) {
  return fingerprintOf([&](unsigned char** der) { return i2d_X509(certificate, der); });
}

std::string publicKeyFingerprint(const X509* certificate) {
  return fingerprintOf(
      [&](unsigned char** der) { return i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), der); });
}

std::string certificateSubject(const X509* certificate) {
  const ErrorQueue errors;
  const BioPtr bio(BIO_new(BIO_s_mem()));
  const unsigned long flags = XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
  if (!bio || X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, flags) < 0) {
    return "";
  }
  return escapeControls(contentOf(bio.get()));
}

std::string certificateCommonName(const X509* certificate) {
  const ErrorQueue errors;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  return index < 0 ? "" : entryText(subject, index);
}

std::vector<NamePart> certificateSubjectParts(const X509* certificate) {
  return partsOf(X509_get_subject_name(certificate));
}

std::vector<NamePart> certificateIssuerParts(const X509* certificate) {
  return partsOf(X509_get_issuer_name(certificate));
}

std::string certificateSerial(const X509* certificate) {
  constexpr int kLongestSerial = 128;  // bytes; RFC 5280 allows 20, and digits cost their square
  const ErrorQueue errors;
  if (ASN1_STRING_length(X509_get0_serialNumber(certificate)) > kLongestSerial) return "";
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr), &BN_free);
  char* digits = number ? BN_bn2dec(number.get()) : nullptr;
  const std::string serial(digits == nullptr ? "" : digits);
  OPENSSL_free(digits);
  return serial;
}

std::vector<std::string> certificateNames(const X509* certificate) {
  const ErrorQueue errors;
  std::vector<std::string> names;
  const GeneralNamesPtr all(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
    std::string text = generalNameText(sk_GENERAL_NAME_value(all.get(), i));
    if (!text.empty()) names.push_back(std::move(text));
  }
  return names;
}

std::chrono::system_clock::time_point certificateNotBefore(const X509* certificate) {
  const auto seconds = secondsOf(X509_get0_notBefore(certificate));
  return seconds ? timePoint(*seconds) : std::chrono::system_clock::time_point::max();
}

std::chrono::system_clock::time_point certificateNotAfter(const X509* certificate) {
  const auto seconds = secondsOf(X509_get0_notAfter(certificate));
  return seconds ? timePoint(*seconds) : std::chrono::system_clock::time_point::min();
}

std::string certificateNotBeforeText(const X509* certificate) {
  return timeText(X509_get0_notBefore(certificate));
}

std::string certificateNotAfterText(const X509* certificate) {
  return timeText(X509_get0_notAfter(certificate));
}

std::int64_t certificateNotAfterUnix(const X509* certificate) {
  return secondsOf(X509_get0_notAfter(certificate)).value_or(0);
}

NamedHosts::NamedHosts(const X509* certificate) {
  const ErrorQueue errors;
  for (const std::string& name : certificateNames(certificate)) names_.insert(lowerCase(name));
  if (!names_.empty()) return;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  for (int i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;) {
    names_.insert(lowerCase(entryText(subject, i)));
  }
}

bool NamedHosts::hold(const std::string& host) const {
  if (names_.contains(host)) return true;
  const auto dot = host.find('.');
  const bool isName = dot != std::string::npos && dot > 0 && !IpAddress::parse(host);
  return isName && names_.contains("*" + host.substr(dot));
}

std::string certificateFileStem(const std::string& host) {
  if (host == "*") return "_default";
  std::string stem = host.starts_with("*.") ? "_wildcard" + host.substr(1) : host;
  std::replace(stem.begin(), stem.end(), ':', '_');
  if (stem.size() > kLongestStem) {
    stem.resize(kCutStem);
    stem += "_" + sha256Hex(host);
  }
  return stem;
}

}  // namespace egalaxyd
