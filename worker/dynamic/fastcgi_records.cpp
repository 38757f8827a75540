#include "worker/dynamic/fastcgi_records.h"

#include <algorithm>
#include <cstring>

namespace egalaxyd {
namespace {

constexpr std::uint8_t kProtocolVersion = 1;
constexpr std::size_t kHeaderSize = 8;
constexpr std::size_t kEndSize = 8;
constexpr std::uint16_t kRequestId = 1;
constexpr std::size_t kMostContent = 65'535;
constexpr std::uint8_t kResponder = 1;
constexpr std::uint8_t kKeepConnection = 1;

enum RecordType : std::uint8_t {
  kBeginRequest = 1,
  kEndRequest = 3,
  kParams = 4,
  kStdin = 5,
  kStdout = 6,
  kStderr = 7,
};

std::uint8_t byteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

std::uint32_t numberAt(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < size; ++i) number = number << 8 | byteAt(bytes, at + i);
  return number;
}

void addNumber(std::string& to, std::size_t number, std::size_t size) {
  while (size-- > 0) to += static_cast<char>(number >> 8 * size & 0xFF);
}

/// Without padding.
void addRecord(std::string& to, RecordType type, std::string_view content) {
  addNumber(to, kProtocolVersion, 1);
  addNumber(to, type, 1);
  addNumber(to, kRequestId, 2);
  addNumber(to, content.size(), 2);
  addNumber(to, 0, 2);
  to.append(content);
}

/// As records of at most `most` bytes; none for "".
void addRecords(std::string& to, RecordType type, std::string_view content, std::size_t most) {
  while (!content.empty()) {
    const std::string_view part = content.substr(0, most);
    addRecord(to, type, part);
    content.remove_prefix(part.size());
  }
}

void addLength(std::string& to, std::size_t length) {
  if (length < 0x80) return addNumber(to, length, 1);
  addNumber(to, length | 0x8000'0000U, 4);
}

/// Takes up to `most` bytes off the front.
std::string_view takeBytes(std::string_view& bytes, std::size_t most) {
  const std::string_view taken = bytes.substr(0, most);
  bytes.remove_prefix(taken.size());
  return taken;
}

bool isKnown(std::uint8_t type) {
  return type == kStdout || type == kStderr || type == kEndRequest;
}

}  // namespace

std::string fastcgiBegin(bool keep) {
  std::string body;
  addNumber(body, kResponder, 2);
  addNumber(body, keep ? kKeepConnection : 0, 1);
  addNumber(body, 0, 5);
  std::string record;
  addRecord(record, kBeginRequest, body);
  return record;
}

std::string fastcgiParams(std::span<const NamedValue> variables) {
  std::string stream;
  for (const auto& [name, value] : variables) {
    addLength(stream, name.size());
    addLength(stream, value.size());
    stream.append(name).append(value);
  }
  std::string records;
  addRecords(records, kParams, stream, kMostContent);
  addRecord(records, kParams, "");
  return records;
}

std::string fastcgiStdin(std::string_view bytes) {
  std::string records;
  if (bytes.empty()) addRecord(records, kStdin, "");
  addRecords(records, kStdin, bytes, kMostStdinRecord);
  return records;
}

std::optional<Status> refusalOf(const FastcgiEnd& end) {
  constexpr std::uint8_t kComplete = 0;
  constexpr std::uint8_t kOverloaded = 2;
  if (end.protocolStatus == kComplete) return std::nullopt;
  return end.protocolStatus == kOverloaded ? Status::kServerUnavailable : Status::kCgiError;
}

FastcgiStep FastcgiDecoder::next(std::string_view& bytes) {
  for (;;) {
    if (filled_ < kHeaderSize) {
      const std::string_view part = takeBytes(bytes, kHeaderSize - filled_);
      std::memcpy(head_.data() + filled_, part.data(), part.size());
      filled_ += part.size();
      if (filled_ < kHeaderSize) return NeedMore{};
      if (auto fault = readHeader()) return std::move(*fault);
    }
    FastcgiStep step = pass(bytes);
    if (!std::holds_alternative<NeedMore>(step) || filled_ == kHeaderSize) return step;
  }
}

/// Of the record that head_ begins.
std::optional<FastcgiFault> FastcgiDecoder::readHeader() {
  const std::string_view head(head_.data(), head_.size());
  const std::uint8_t type = byteAt(head, 1);
  if (byteAt(head, 0) != kProtocolVersion) {
    return FastcgiFault{"a record of version " + std::to_string(byteAt(head, 0))};
  }
  if (isKnown(type) && numberAt(head, 2, 2) != kRequestId) {
    return FastcgiFault{"a record of request " + std::to_string(numberAt(head, 2, 2)) +
                        ", which was not made"};
  }
  content_ = numberAt(head, 4, 2);
  padding_ = byteAt(head, 6);
  if (type == kEndRequest && content_ < kEndSize) return FastcgiFault{"an END_REQUEST too short"};
  told_ = isKnown(type);
  endFilled_ = 0;
  return std::nullopt;
}

/// Hands out content of the record in hand. NeedMore, if `filled_` is 0 then: it has ended.
FastcgiStep FastcgiDecoder::pass(std::string_view& bytes) {
  const std::uint8_t type = byteAt({head_.data(), head_.size()}, 1);
  if (!told_) {
    told_ = true;
    return FastcgiSkipped{type};
  }
  if (const std::string_view part = takeBytes(bytes, content_); !part.empty()) {
    content_ -= part.size();
    if (type == kStdout) return FastcgiStdout{part};
    if (type == kStderr) return FastcgiStderr{part};
    const std::size_t kept = std::min(part.size(), kEndSize - endFilled_);
    std::memcpy(end_.data() + endFilled_, part.data(), kept);
    endFilled_ += kept;
  }
  if (content_ > 0) return NeedMore{};
  padding_ -= takeBytes(bytes, padding_).size();
  if (padding_ > 0) return NeedMore{};
  filled_ = 0;
  if (type != kEndRequest) return NeedMore{};
  const std::string_view end(end_.data(), end_.size());
  return FastcgiEnd{numberAt(end, 0, 4), byteAt(end, 4)};
}

}  // namespace egalaxyd
