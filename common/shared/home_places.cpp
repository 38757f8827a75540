#include "common/shared/home_places.h"

#include <algorithm>
#include <cstddef>

namespace egalaxyd {
namespace {

constexpr std::size_t kLongestName = 32;

bool mayBegin(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }
bool mayFollow(char c) { return mayBegin(c) || (c >= '0' && c <= '9') || c == '-'; }

}  // namespace

bool isUserName(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && mayBegin(name.front()) &&
         std::ranges::all_of(name, mayFollow);
}

bool isListed(const std::vector<std::string>& users, std::string_view name) {
  return std::ranges::find(users, name) != users.end();
}

std::string placeOfUser(std::string pattern, std::string_view user) {
  const std::size_t place = pattern.find(kUserPlace);
  return place == std::string::npos ? pattern : pattern.replace(place, kUserPlace.size(), user);
}

std::string socketOfUser(const std::string& pattern, std::string_view user, std::string_view home) {
  if (!pattern.starts_with(kHomePlace)) return placeOfUser(pattern, user);
  return std::string(home) + pattern.substr(kHomePlace.size());
}

std::string folderOfUsers(std::string_view pattern) {
  const std::string_view before = pattern.substr(0, pattern.find(kUserPlace));
  const std::size_t slash = before.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(before.substr(0, slash == 0 ? 1 : slash));
}

}  // namespace egalaxyd
