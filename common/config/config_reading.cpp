#include "common/config/config_reading.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include "common/config/home_folder.h"

namespace egalaxyd {

using std::filesystem::path;

Reading::Reading(const path& file) {
  config.file = file;
  add(file);
}

void Reading::add(const path& file) {
  std::error_code error;
  files.push_back({file, std::filesystem::absolute(file, error).parent_path()});
}

KeyPlace Reading::placeOf(const toml::source_region& source) const {
  const auto number = numbers.find(source.path.get());
  return {number == numbers.end() ? 0 : number->second, source.begin.line};
}

KeyPlace Reading::placeOf(const toml::key& key) const { return placeOf(key.source()); }

std::vector<Entry> Reading::inFileOrder(const toml::table& table) const {
  std::vector<Entry> entries;
  for (const auto& [key, node] : table) entries.emplace_back(&key, &node);
  std::ranges::stable_sort(entries, [this](const Entry& a, const Entry& b) {
    return std::pair(placeOf(*a.first), a.first->source().begin.column) <
           std::pair(placeOf(*b.first), b.first->source().begin.column);
  });
  return entries;
}

void Reading::complain(const KeyPlace& place, const std::string& key, std::string text,
                       bool mayPass) {
  std::string where = config.where(place);
  if (!key.empty()) where += ": " + key;
  complaints.push_back({place, {std::move(where), std::move(text), mayPass}});
  config.faulty.insert(key);
}

std::optional<path> Reading::resolve(const path& named, const std::string& key,
                                     const KeyPlace& place) {
  if (named.empty()) return named;
  auto whole = withHomeFolder(named);
  if (whole) return (files.at(place.file).folder / *whole).lexically_normal();
  complain(place, key, whole.error().message);
  return std::nullopt;
}

void Reading::resolve(std::string& text, const std::string& key) {
  if (const auto whole = resolve(path(text), key, config.lines[key])) text = whole->string();
}

Complaints inOrder(std::vector<std::pair<KeyPlace, Complaint>> complaints,
                   const std::set<KeyPlace>& guessed) {
  std::ranges::stable_sort(complaints,
                           [](const auto& a, const auto& b) { return a.first < b.first; });
  Complaints result;
  for (std::size_t i = 0; i < complaints.size(); ++i) {
    const KeyPlace place = complaints[i].first;
    Complaint& complaint = complaints[i].second;
    const bool isMoreToCome = i + 1 < complaints.size() && complaints[i + 1].first == place;
    if (guessed.contains(place) && isMoreToCome) continue;
    const bool again = std::ranges::any_of(result, [&](const Complaint& other) {
      return other.where == complaint.where && other.text == complaint.text;
    });
    if (!again) result.push_back(std::move(complaint));
  }
  return result;
}

}  // namespace egalaxyd
