#include "common/file/private_key.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace egalaxyd {
namespace {

// --- PEM ------------------------------------------------------------------------------------

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kDashes = "-----";
constexpr std::size_t kLongestLabel = 64;
/// The shortest keys have 64 characters of base64.
constexpr std::size_t kLeastBase64 = 40;

bool isBase64(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/';
}

/// Takes a line off `text`, without spaces around it. In JSON, "\n" and the like end a line.
std::string_view takeLine(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_of("\n\r\\"), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end);
  if (!text.empty())
    text.remove_prefix(text.front() == '\\' ? std::min<std::size_t>(2, text.size()) : 1);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  line.remove_suffix(line.size() - (line.find_last_not_of(" \t") + 1));
  return line;
}

/// "Proc-Type: 4,ENCRYPTED" and the like.
bool isHeader(std::string_view line) {
  const auto colon =
      std::find_if(line.begin(), line.end(), [](char c) { return !isBase64(c) && c != '-'; });
  return colon != line.begin() && colon != line.end() && *colon == ':';
}

/// `text` is what follows a marker.
bool beginsWithBase64(std::string_view text) {
  std::size_t seen = 0;
  while (!text.empty()) {
    std::string_view line = takeLine(text);
    if (line.empty() || (seen == 0 && isHeader(line))) continue;
    const std::size_t length = line.size();
    for (int padding = 0; padding < 2 && line.ends_with('='); ++padding) line.remove_suffix(1);
    if (!std::all_of(line.begin(), line.end(), isBase64)) return false;
    seen += length;
    if (seen >= kLeastBase64) return true;
  }
  return false;
}

bool holdsPem(std::string_view text) {
  for (std::size_t at = text.find(kBegin); at != std::string_view::npos;
       at = text.find(kBegin, at + 1)) {
    const std::string_view behind = text.substr(at + kBegin.size());
    const std::size_t label = behind.substr(0, kLongestLabel + kDashes.size()).find(kDashes);
    if (label == std::string_view::npos) continue;
    if (behind.substr(0, label).find("PRIVATE KEY") == std::string_view::npos) continue;
    if (beginsWithBase64(behind.substr(label + kDashes.size()))) return true;
  }
  return false;
}

// --- DER ------------------------------------------------------------------------------------

constexpr std::uint8_t kInteger = 0x02;
constexpr std::uint8_t kOctets = 0x04;
constexpr std::uint8_t kOid = 0x06;
constexpr std::uint8_t kSequence = 0x30;
constexpr std::uint8_t kContext0 = 0xA0;
constexpr std::uint8_t kContext1 = 0xA1;

// The content of 1.2.840.113549.1.5 and 1.2.840.113549.1.12.1 (password-based encryption), and of
// 1.2.840.113549.1.7 (what PKCS#12 wraps).
constexpr std::string_view kPkcs5 = "\x2A\x86\x48\x86\xF7\x0D\x01\x05";
constexpr std::string_view kPkcs12Pbe = "\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x01";
constexpr std::string_view kPkcs7 = "\x2A\x86\x48\x86\xF7\x0D\x01\x07";
/// The least size of an elliptic curve's key; SNMP packets begin alike, with a short name instead.
constexpr std::size_t kLeastScalar = 20;
/// The numbers of an RSA or DSA key, besides its version.
constexpr int kLeastNumbers = 5;

struct Element {
  std::uint8_t tag;
  std::string_view content;  ///< as far as `head` reaches
};

/// Takes the next element off `bytes`; nullopt if there is none. One of indefinite length (BER)
/// takes all that follows.
std::optional<Element> take(std::string_view& bytes) {
  if (bytes.size() < 2) return std::nullopt;
  const auto tag = static_cast<std::uint8_t>(bytes[0]);
  std::size_t length = static_cast<std::uint8_t>(bytes[1]);
  bytes.remove_prefix(2);
  if (length == 0x80) {
    length = bytes.size();
  } else if (length > 0x80) {
    const std::size_t digits = length & 0x7F;
    if (digits > 4 || digits > bytes.size()) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      length = length << 8 | static_cast<std::uint8_t>(bytes[i]);
    }
    bytes.remove_prefix(digits);
  }
  const std::string_view content = bytes.substr(0, length);
  bytes.remove_prefix(content.size());
  return Element{tag, content};
}

std::uint8_t tagOf(const std::optional<Element>& element) { return element ? element->tag : 0; }

/// The object identifier that a SEQUENCE begins with; "" if it does not.
std::string_view oidWithin(const Element& sequence) {
  std::string_view inside = sequence.content;
  const auto oid = take(inside);
  return tagOf(oid) == kOid ? oid->content : std::string_view();
}

bool isEncryptedKey(const Element& algorithm, std::string_view rest) {
  const std::string_view oid = oidWithin(algorithm);
  return (oid.starts_with(kPkcs5) || oid.starts_with(kPkcs12Pbe)) && tagOf(take(rest)) == kOctets;
}

/// RSA and DSA keys consist of numbers only.
bool areNumbers(std::string_view rest) {
  int count = 1;
  for (; count < kLeastNumbers; ++count) {
    if (tagOf(take(rest)) != kInteger) return false;
  }
  return true;
}

bool isDer(std::string_view head) {
  const auto outer = take(head);
  if (tagOf(outer) != kSequence) return false;
  std::string_view rest = outer->content;
  const auto first = take(rest);
  if (tagOf(first) == kSequence) return isEncryptedKey(*first, rest);
  if (tagOf(first) != kInteger || first->content.size() != 1) return false;
  const auto version = static_cast<std::uint8_t>(first->content[0]);
  const auto second = take(rest);
  if (tagOf(second) == kSequence && version == 3) return oidWithin(*second).starts_with(kPkcs7);
  if (version > 1) return false;
  switch (tagOf(second)) {
    case kSequence:
      return !oidWithin(*second).empty() && tagOf(take(rest)) == kOctets;
    case kInteger:
      return areNumbers(rest);
    case kOctets: {
      const std::uint8_t next = rest.empty() ? kContext0 : tagOf(take(rest));
      return second->content.size() >= kLeastScalar && (next == kContext0 || next == kContext1);
    }
    default:
      return false;
  }
}

}  // namespace

bool isPrivateKey(std::string_view head) {
  head = head.substr(0, kKeySearchBytes);
  return holdsPem(head.substr(0, head.find('\0'))) || isDer(head);
}

bool mayBecomePrivateKey(std::string_view head) {
  return head.size() < kKeySearchBytes && head.find('\0') == std::string_view::npos;
}

}  // namespace egalaxyd
