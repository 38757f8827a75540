#include "common/config/people.h"

#include <algorithm>
#include <set>

namespace egalaxyd {
namespace {

constexpr std::size_t kMaxNameBytes = 64;

bool mayStandInName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

}  // namespace

bool isName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && std::ranges::all_of(text, mayStandInName);
}

std::string nameLike(std::string_view text) {
  std::string name(text.substr(0, kMaxNameBytes));
  std::ranges::replace_if(
      name, [](char c) { return !mayStandInName(c); }, '-');
  return name.empty() ? "name" : name;
}

std::vector<std::string> namesOf(const People& people) {
  std::set<std::string> names;
  for (const auto& [fingerprint, name] : people) names.insert(name);
  return {names.begin(), names.end()};
}

std::vector<std::string> fingerprintsOf(const People& people, std::string_view name) {
  std::vector<std::string> found;
  for (const auto& [fingerprint, owner] : people) {
    if (owner == name) found.push_back(fingerprint);
  }
  return found;
}

std::string_view nameOf(const People& people, const std::string& certificate,
                        const std::string& key) {
  auto found = people.find(certificate);
  if (found == people.end()) found = people.find(key);
  return found == people.end() ? std::string_view() : found->second;
}

std::vector<std::string> withNames(const People& people, const std::vector<std::string>& listed) {
  const auto isIn = [](const std::vector<std::string>& all, const std::string& text) {
    return std::ranges::find(all, text) != all.end();
  };
  std::vector<std::string> result;
  for (const std::string& each : listed) {
    const auto person = people.find(each);
    const auto isListed = [&](const std::string& other) { return isIn(listed, other); };
    const bool isWhole = person != people.end() &&
                         std::ranges::all_of(fingerprintsOf(people, person->second), isListed);
    std::string text = isWhole ? "@" + person->second : each;
    if (!isWhole || !isIn(result, text)) result.push_back(std::move(text));
  }
  return result;
}

}  // namespace egalaxyd
