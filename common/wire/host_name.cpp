#include "common/wire/host_name.h"

#include <idn2.h>

#include <algorithm>

#include "common/base/ascii.h"

namespace egalaxyd {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
/// The longest name of the DNS has 253 bytes in ASCII, and a character of it at most 4 in UTF-8.
constexpr std::size_t kLongestUtf8 = 4 * 253;

std::optional<std::string> aLabels(std::string_view name) {
  if (name.size() > kLongestUtf8 || name.find('\0') != std::string_view::npos) return std::nullopt;
  if (name.starts_with(kByteOrderMark)) return std::nullopt;  // libidn2 drops it
  char* found = nullptr;
  const int result =
      idn2_to_ascii_8z(std::string(name).c_str(), &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  if (result != IDN2_OK) return std::nullopt;
  std::string ascii(found);
  idn2_free(found);
  if (ascii.starts_with('.') || ascii.find("..") != std::string::npos) return std::nullopt;
  return ascii;
}

}  // namespace

std::optional<std::string> canonicalHost(std::string_view name) {
  const bool isAscii = std::ranges::all_of(name, [](char c) { return (c & 0x80) == 0; });
  auto ascii = isAscii ? std::string(name) : aLabels(name);
  if (!ascii) return std::nullopt;
  if (ascii->ends_with('.')) ascii->pop_back();
  return lowerCase(*ascii);
}

}  // namespace egalaxyd
