#include "worker/protocol/handshake_guard.h"

#include <optional>

#include "worker/protocol/client_hello.h"

namespace egalaxyd {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kMessageHeader = 4;  // type, length
/// RFC 8446, section 4, and RFC 8879.
enum MessageType : unsigned char {
  kClientHello = 1,
  kCertificate = 11,
  kCompressedCertificate = 25
};

/// Tags of ASN.1.
enum Tag : unsigned char {
  kInteger = 0x02,
  kBitString = 0x03,
  kObjectId = 0x06,
  kSequence = 0x30,
  kVersion = 0xA0
};

constexpr std::size_t kMaxRsaBits = 8192;
constexpr std::size_t kMaxExponentBits = 33;

/// Takes elements from the front of what TLS or DER encodes.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }
  bool startsWith(unsigned char byte) const {
    return !empty() && static_cast<unsigned char>(rest_.front()) == byte;
  }

  std::optional<std::string_view> bytes(std::size_t size) {
    if (rest_.size() < size) return std::nullopt;
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  /// Big-endian.
  std::optional<std::size_t> number(std::size_t size) {
    const auto digits = bytes(size);
    if (!digits) return std::nullopt;
    std::size_t number = 0;
    for (const char c : *digits) number = number << 8 | static_cast<unsigned char>(c);
    return number;
  }

  /// TLS: a length of `lengthSize` bytes, then that many bytes.
  std::optional<std::string_view> vector(std::size_t lengthSize) {
    const auto size = number(lengthSize);
    return size ? bytes(*size) : std::nullopt;
  }

  /// DER: the content of an element with this tag; its length must have the shortest form.
  std::optional<std::string_view> element(Tag tag) {
    if (!startsWith(tag)) return std::nullopt;
    rest_.remove_prefix(1);
    auto size = number(1);
    if (size && *size >= 0x80) {
      const std::size_t digits = *size - 0x80;
      if (digits < 1 || digits > 2) return std::nullopt;
      size = number(digits);
      if (size && *size < (digits == 1 ? 0x80U : 0x100U)) return std::nullopt;
    }
    return size ? bytes(*size) : std::nullopt;
  }

 private:
  std::string_view rest_;
};

/// The bits of a positive INTEGER in its shortest form; nullopt for any other.
std::optional<std::size_t> bitsOf(std::string_view integer) {
  if (integer.empty()) return std::nullopt;
  if (integer.front() == '\0') {
    integer.remove_prefix(1);
    if (integer.empty() || static_cast<unsigned char>(integer.front()) < 0x80) return std::nullopt;
  } else if (static_cast<unsigned char>(integer.front()) >= 0x80) {
    return std::nullopt;
  }
  std::size_t bits = 8 * integer.size();
  for (unsigned first = static_cast<unsigned char>(integer.front()); first < 0x80; first <<= 1)
    --bits;
  return bits;
}

bool isUsableRsa(std::string_view key) {
  Reader outer(key);
  const auto numbers = outer.element(kSequence);
  if (!numbers || !outer.empty()) return false;
  Reader inner(*numbers);
  const auto modulus = inner.element(kInteger);
  const auto exponent = inner.element(kInteger);
  if (!modulus || !exponent || !inner.empty()) return false;
  const auto modulusBits = bitsOf(*modulus);
  const auto exponentBits = bitsOf(*exponent);
  return modulusBits && exponentBits && *modulusBits <= kMaxRsaBits &&
         *exponentBits <= kMaxExponentBits;
}

/// `curve`: the parameters of the algorithm, encoded.
bool isUsablePoint(std::string_view curve, std::string_view point) {
  std::size_t coordinate = 0;
  if (curve == "\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07"sv) coordinate = 32;  // P-256
  if (curve == "\x06\x05\x2B\x81\x04\x00\x22"sv) coordinate = 48;              // P-384
  if (curve == "\x06\x05\x2B\x81\x04\x00\x23"sv) coordinate = 66;              // P-521
  return coordinate > 0 && point.size() == 1 + 2 * coordinate && point.front() == '\x04';
}

/// `content`: that of a SubjectPublicKeyInfo.
bool isUsableKey(std::string_view content) {
  Reader outer(content);
  const auto algorithm = outer.element(kSequence);
  auto key = outer.element(kBitString);
  if (!algorithm || !key || !outer.empty() || !key->starts_with('\0')) return false;
  key->remove_prefix(1);  // the number of unused bits in the last byte
  Reader inner(*algorithm);
  const auto id = inner.element(kObjectId);
  if (!id) return false;
  const std::string_view parameters = inner.rest();
  if (*id == "\x2A\x86\x48\xCE\x3D\x02\x01"sv) return isUsablePoint(parameters, *key);
  if (*id == "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01"sv) {
    return (parameters.empty() || parameters == "\x05\x00"sv) && isUsableRsa(*key);
  }
  if (*id == "\x2B\x65\x70"sv) return parameters.empty() && key->size() == 32;  // Ed25519
  if (*id == "\x2B\x65\x71"sv) return parameters.empty() && key->size() == 57;  // Ed448
  return false;
}

/// Examines only the fields before the key of an X.509 certificate, and the key.
bool isUsableCertificate(std::string_view certificate) {
  Reader outer(certificate);
  const auto content = outer.element(kSequence);
  if (!content || !outer.empty()) return false;
  Reader signedPart(*content);
  const auto toBeSigned = signedPart.element(kSequence);
  if (!toBeSigned) return false;
  Reader fields(*toBeSigned);
  if (fields.startsWith(kVersion) && !fields.element(kVersion)) return false;
  // Serial number, signature algorithm, issuer, validity, subject.
  for (const Tag tag : {kInteger, kSequence, kSequence, kSequence, kSequence}) {
    if (!fields.element(tag)) return false;
  }
  const auto key = fields.element(kSequence);
  return key && isUsableKey(*key);
}

bool isUsableChain(std::string_view body, bool isTls13, std::size_t most) {
  Reader message(body);
  if (isTls13 && !message.vector(1)) return false;  // the context
  const auto entries = message.vector(3);
  if (!entries || !message.empty()) return false;
  Reader list(*entries);
  for (std::size_t count = 0; !list.empty(); ++count) {
    const auto certificate = list.vector(3);
    if (count == most || !certificate || !isUsableCertificate(*certificate)) {
      return false;
    }
    if (isTls13 && !list.vector(2)) return false;  // extensions
  }
  return true;
}

}  // namespace

bool isCheapToParse(std::string_view message, bool isTls13, CertificateLimits limits) {
  if (message.size() < kMessageHeader) return true;
  switch (static_cast<unsigned char>(message.front())) {
    case kClientHello:
      return message.size() <= kMaxClientHello;
    case kCertificate:
      return message.size() <= kMessageHeader + limits.bytes &&
             isUsableChain(message.substr(kMessageHeader), isTls13, limits.chain);
    case kCompressedCertificate:
      return false;  // nobody asks for one
    default:
      return true;
  }
}

}  // namespace egalaxyd
