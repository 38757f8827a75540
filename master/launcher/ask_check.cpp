#include "master/launcher/ask_check.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "common/base/path.h"
#include "common/shared/home_places.h"
#include "common/shared/script_names.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kMostBodyName = 64;
constexpr std::size_t kMostClient = 256;

bool isPathBelow(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) return false;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = path.find('/');
    const std::string_view segment = path.substr(0, end);
    if (segment.empty() || segment == "." || segment == "..") return false;
    path.remove_prefix(end == std::string_view::npos ? 0 : end + 1);
  }
  return true;
}

bool isBodyName(std::string_view name) {
  return name.size() <= kMostBodyName &&
         name.find_first_not_of("0123456789-") == std::string_view::npos;
}

std::string lieOfVariables(const RunScript& ask) {
  std::size_t bytes = 0;
  for (const auto& [place, value] : ask.variables) {
    if (place >= kScriptVariables.size()) return "a variable that does not exist";
    if (value.find('\0') != std::string::npos) return "a variable with a NUL";
    bytes += kScriptVariables[place].size() + value.size() + 2;
  }
  return bytes > kMostVariableBytes ? "too many variables" : "";
}

template <class Entry>
const Entry* withNumber(const std::vector<Entry>& all, std::uint32_t number) {
  const auto found = std::ranges::find(all, number, &Entry::number);
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

const ScriptMount* mountOf(const LauncherPlan& plan, std::uint32_t number) {
  return withNumber(plan.mounts, number);
}

const UpstreamPlace* upstreamOf(const LauncherPlan& plan, std::uint32_t number) {
  return withNumber(plan.upstreams, number);
}

std::string lieOf(const RunScript& ask, const ScriptMount* mount) {
  if (mount == nullptr) return "a mount that it does not have";
  if (mount->root.empty() != ask.script.empty() ||
      (!ask.script.empty() && !isPathBelow(ask.script))) {
    return "script \"" + printable(ask.script.substr(0, kMostClient)) + "\"";
  }
  if (mount->anyUser) {
    const std::size_t slash = ask.script.find('/');
    if (slash == std::string::npos || !isUserName(ask.script.substr(0, slash))) {
      return "scripts of a user that has no name";
    }
  }
  if (!isBodyName(ask.body)) return "a body that no worker writes";
  if (ask.client.size() > kMostClient) return "too long a client";
  return lieOfVariables(ask);
}

std::string lieOf(const DialUpstream& ask, const UpstreamPlace* upstream) {
  if (upstream == nullptr) return "an application that it does not have";
  if (upstream->users.empty()) return ask.user.empty() ? "" : "an application of users";
  const bool isOne = isUserName(ask.user) &&
                     (isListed(upstream->users, ask.user) || isListed(upstream->users, kAnyUser));
  return isOne ? "" : "an application of a user that has none";
}

}  // namespace egalaxyd
