#include "worker/protocol/titan_parameters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/path.h"

namespace egalaxyd {
namespace {

constexpr std::array<std::string_view, 3> kNames{"size", "mime", "token"};

/// Takes the text up to the next ';' off `text`.
std::string_view takeItem(std::string_view& text) {
  const std::string_view item = text.substr(0, text.find(';'));
  text.remove_prefix(std::min(text.size(), item.size() + 1));
  return item;
}

bool isEdit(std::string_view item) { return lowerCase(item) == "edit"; }

bool isKnown(std::string_view item) {
  const std::string_view name = item.substr(0, item.find('='));
  const bool named = std::find(kNames.begin(), kNames.end(), name) != kNames.end();
  return (named && name.size() < item.size()) || isEdit(item);
}

/// The position of the first ';' that is followed by a known parameter; otherwise the end.
std::size_t firstKnown(std::string_view path) {
  for (std::size_t at = path.find(';'); at != std::string_view::npos; at = path.find(';', at + 1)) {
    std::string_view rest = path.substr(at + 1);
    if (isKnown(takeItem(rest))) return at;
  }
  return path.size();
}

std::optional<std::uint64_t> decimal(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

/// The parameters read so far.
struct Reading {
  UploadLine line;
  std::array<bool, kNames.size()> seen{};
  std::size_t items = 0;

  /// Returns a text for the client if `item` is malformed, otherwise "".
  std::string take(std::string_view item);
  std::string finish() const;
};

std::string Reading::take(std::string_view item) {
  ++items;
  const std::size_t equals = std::min(item.find('='), item.size());
  const std::string_view name = item.substr(0, equals);
  if (isEdit(name)) {
    line.edit = true;
    return equals == item.size() ? "" : "The edit parameter has no value";
  }
  const auto known = std::find(kNames.begin(), kNames.end(), name);
  if (known == kNames.end() || equals == item.size()) return {};
  const auto index = static_cast<std::size_t>(known - kNames.begin());
  if (std::exchange(seen[index], true)) return "A parameter is given twice";
  auto value = percentDecode(item.substr(equals + 1));
  if (!value) return "A parameter is not percent-encoded as it should be";
  if (*known == "mime") {
    line.rawMime = item.substr(equals + 1);
    line.mime = std::move(*value);
  }
  if (*known == "token") {
    line.rawToken = item.substr(equals + 1);
    line.token = std::move(*value);
  }
  if (*known != "size") return {};
  const auto size = decimal(*value);
  if (!size) return "The size is not a number of bytes";
  line.size = *size;
  return {};
}

std::string Reading::finish() const {
  if (line.edit) return items == 1 ? "" : "The edit parameter stands alone";
  return seen[0] ? "" : "A Titan request says its size: ;size=BYTES";
}

}  // namespace

TitanParts splitTitanLine(std::string_view line) {
  const std::size_t mark = std::min(line.find('?'), line.size());
  const std::string_view path = line.substr(0, mark);
  const std::size_t slash = path.substr(0, firstKnown(path)).rfind('/');
  const std::size_t start = path.find(';', slash == std::string_view::npos ? 0 : slash);
  if (start == std::string_view::npos) return {path, {}, line.substr(mark)};
  return {path.substr(0, start), path.substr(start + 1), line.substr(mark)};
}

std::variant<UploadLine, std::string> parseTitanParameters(std::string_view parameters) {
  if (!isPrintable(parameters) || parameters.find('#') != std::string_view::npos) {
    return "A parameter holds a byte that no URL may hold";
  }
  Reading reading;
  while (!parameters.empty()) {
    if (std::string fault = reading.take(takeItem(parameters)); !fault.empty()) return fault;
  }
  if (std::string fault = reading.finish(); !fault.empty()) return fault;
  return std::move(reading.line);
}

std::optional<std::uint64_t> announcedSize(std::string_view parameters) {
  constexpr std::string_view kSize = "size=";
  while (!parameters.empty()) {
    const std::string_view item = takeItem(parameters);
    if (item.starts_with(kSize)) return decimal(item.substr(kSize.size()));
  }
  return std::nullopt;
}

}  // namespace egalaxyd
