#include "common/archive/tar.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace egalaxyd {
namespace {

constexpr std::size_t kBlock = 512;
/// tar(1) fills archives up with zeros, to 20 blocks by default.
constexpr std::size_t kMostEmpty = 20;
/// Beyond what a header can say in octal digits: 8 GiB.
constexpr std::uint64_t kMostOctal = (std::uint64_t{1} << 33) - 1;
constexpr std::uint64_t kMostSize = std::uint64_t{1} << 60;

/// A field of a header.
struct Field {
  std::size_t at;
  std::size_t size;

  std::string_view in(std::string_view header) const { return header.substr(at, size); }
};

constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUser{108, 8};
constexpr Field kGroup{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kTime{136, 12};
constexpr Field kSum{148, 8};
constexpr Field kType{156, 1};
constexpr Field kLink{157, 100};
constexpr Field kMagic{257, 8};
constexpr Field kPrefix{345, 155};
constexpr std::string_view kUstar("ustar\00000", 8);

Error brokenTar(const std::string& what) { return {ErrorCode::kInvalid, what}; }

void put(std::string& header, Field field, std::string_view text) {
  header.replace(field.at, text.size(), text);
}

void putNumber(std::string& header, Field field, std::uint64_t number) {
  if (number <= kMostOctal || field.size < kSize.size) {
    return put(header, field, fmt::format("{:0{}o}", number, field.size - 1));
  }
  // As GNU tar writes what is larger: a first byte of 0x80, then the number, its highest byte
  // first.
  std::string bytes(field.size, '\0');
  bytes[0] = static_cast<char>(0x80);
  for (std::size_t i = field.size; i-- > 1; number >>= 8)
    bytes[i] = static_cast<char>(number & 0xFF);
  put(header, field, bytes);
}

std::optional<std::uint64_t> numberIn(std::string_view field) {
  std::uint64_t number = 0;
  if (static_cast<unsigned char>(field.front()) == 0x80) {
    for (const char byte : field.substr(1)) {
      if (number > kMostSize >> 8) return std::nullopt;
      number = number << 8 | static_cast<unsigned char>(byte);
    }
    return number;
  }
  field.remove_prefix(std::min(field.find_first_not_of(' '), field.size()));
  const std::string_view digits = field.substr(0, field.find_first_not_of("01234567"));
  const std::string_view rest = field.substr(digits.size());
  if (digits.empty() || rest.find_first_not_of(std::string_view("\0 ", 2)) != rest.npos) {
    return std::nullopt;
  }
  for (const char digit : digits) number = number << 3 | static_cast<std::uint64_t>(digit - '0');
  return number;
}

/// Of all bytes, those of the sum itself taken for spaces.
std::uint64_t sumOf(std::string_view header) {
  std::uint64_t sum = kSum.size * ' ';
  for (const char byte : header) sum += static_cast<unsigned char>(byte);
  for (const char byte : kSum.in(header)) sum -= static_cast<unsigned char>(byte);
  return sum;
}

std::string_view textIn(std::string_view field) { return field.substr(0, field.find('\0')); }

std::size_t paddingOf(std::uint64_t size) {
  return static_cast<std::size_t>((kBlock - size % kBlock) % kBlock);
}

}  // namespace

Result<std::string> tarHeader(const std::string& name, std::uint64_t size, std::int64_t time) {
  std::string header(kBlock, '\0');
  std::string_view last = name;
  if (name.size() > kName.size) {
    const std::size_t cut = name.find('/', name.size() - kName.size - 1);
    if (cut == std::string::npos || cut == 0 || cut > kPrefix.size) {
      return brokenTar(name + ": the name is too long for an archive");
    }
    put(header, kPrefix, last.substr(0, cut));
    last.remove_prefix(cut + 1);
  }
  put(header, kName, last);
  putNumber(header, kMode, 0600);
  putNumber(header, kUser, 0);
  putNumber(header, kGroup, 0);
  putNumber(header, kSize, size);
  putNumber(header, kTime, time < 0 ? 0 : static_cast<std::uint64_t>(time));
  put(header, kType, "0");
  put(header, kMagic, kUstar);
  put(header, kSum, fmt::format("{:06o}", sumOf(header)));
  header[kSum.at + 7] = ' ';
  return header;
}

std::string tarPadding(std::uint64_t size) { return std::string(paddingOf(size), '\0'); }

std::string tarEnd() { return std::string(2 * kBlock, '\0'); }

Result<void> TarReader::feed(std::string_view some) {
  while (!some.empty()) {
    if (auto fed = feedPart(some); !fed) return fed;
  }
  return {};
}

/// Takes from the front of `some`, at least one byte.
Result<void> TarReader::feedPart(std::string_view& some) {
  if (inFile_) return takeContent(some);
  const std::size_t part = std::min(some.size(), padding_ > 0 ? padding_ : kBlock - header_.size());
  if (padding_ > 0) {
    padding_ -= part;
  } else {
    header_ += some.substr(0, part);
  }
  some.remove_prefix(part);
  return header_.size() == kBlock ? takeHeader() : Result<void>();
}

Result<void> TarReader::takeHeader() {
  const std::string header = std::exchange(header_, {});
  if (header.find_first_not_of('\0') == std::string::npos) {
    return ++empty_ > kMostEmpty ? brokenTar("something follows the archive's end")
                                 : Result<void>();
  }
  if (empty_ > 0) return brokenTar("something follows the archive's end");
  if (kMagic.in(header) != kUstar || numberIn(kSum.in(header)) != sumOf(header)) {
    return brokenTar("it is no tar archive, or damaged");
  }
  const std::string_view prefix = textIn(kPrefix.in(header));
  const std::string name =
      std::string(prefix) + (prefix.empty() ? "" : "/") + std::string(textIn(kName.in(header)));
  const char type = header[kType.at];
  if ((type != '0' && type != '\0') || header[kLink.at] != '\0') {
    return brokenTar(name + " is no regular file");
  }
  const auto size = numberIn(kSize.in(header));
  if (!size || *size > kMostSize) return brokenTar(name + " has no size");
  left_ = *size;
  padding_ = paddingOf(*size);
  inFile_ = true;
  if (auto begun = sink_.begin(name, *size); !begun) return begun;
  std::string_view none;
  return left_ == 0 ? takeContent(none) : Result<void>();
}

Result<void> TarReader::takeContent(std::string_view& some) {
  const std::size_t part = left_ < some.size() ? static_cast<std::size_t>(left_) : some.size();
  if (part > 0) {
    if (auto taken = sink_.bytes(some.substr(0, part)); !taken) return taken;
  }
  some.remove_prefix(part);
  left_ -= part;
  inFile_ = left_ > 0;
  return inFile_ ? Result<void>() : sink_.end();
}

Result<void> TarReader::finish() const {
  if (empty_ >= 2 && header_.empty()) return {};
  return brokenTar("it is cut off: the archive's end is missing");
}

}  // namespace egalaxyd
