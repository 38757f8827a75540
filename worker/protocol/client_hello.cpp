#include "worker/protocol/client_hello.h"

#include <algorithm>

namespace egalaxyd {
namespace {

constexpr std::size_t kRecordHeader = 5;   // type, version, length
constexpr std::size_t kMessageHeader = 4;  // type, length
constexpr char kHandshakeRecord = 22;

/// Big-endian.
std::size_t numberAt(std::string_view bytes, std::size_t at, std::size_t size) {
  std::size_t number = 0;
  for (const char c : bytes.substr(at, size)) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

}  // namespace

std::size_t clientHelloBytes(std::string_view bytes) {
  // The message may be spread over several records.
  std::size_t message = kMessageHeader;  // length, as far as known
  std::size_t gathered = 0;              // bytes of the message
  std::size_t at = 0;
  while (gathered < message && at < kMaxClientHello) {
    if (at < bytes.size() && bytes[at] != kHandshakeRecord) return bytes.size();
    if (bytes.size() < at + kRecordHeader) return at + kRecordHeader;
    const std::size_t record = numberAt(bytes, at + 3, 2);
    if (record == 0) return bytes.size();
    if (at == 0 && record >= kMessageHeader) {
      if (bytes.size() < kRecordHeader + kMessageHeader) return kRecordHeader + kMessageHeader;
      message += numberAt(bytes, kRecordHeader + 1, 3);
    } else if (at == 0) {
      return bytes.size();  // a header in several records: no client sends that
    }
    gathered += record;
    at += kRecordHeader + record;
  }
  return std::min(at, kMaxClientHello);
}

}  // namespace egalaxyd
