#include "common/shared/root_report.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace egalaxyd {
namespace {

using PresenceKind = Presence::Kind;

constexpr std::string_view kPresenceNames[] = {"here", "away", "beyond"};

std::string_view takeWord(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

}  // namespace

std::string RootReport::encode() const {
  const auto name = kPresenceNames[static_cast<std::size_t>(presence.kind)];
  return std::to_string(index).append(" ").append(name).append(" ").append(presence.why);
}

std::optional<RootReport> RootReport::decode(std::string_view text) {
  const std::string_view number = takeWord(text);
  const std::string_view name = takeWord(text);
  RootReport report;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), report.index);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  for (const PresenceKind kind :
       {PresenceKind::kHere, PresenceKind::kAway, PresenceKind::kBeyond}) {
    if (name != kPresenceNames[static_cast<std::size_t>(kind)]) continue;
    report.presence = {kind, std::string(text)};
    return report;
  }
  return std::nullopt;
}

}  // namespace egalaxyd
