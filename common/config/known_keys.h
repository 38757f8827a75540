// The keys that the schema has, by where they belong.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd {

/// Of all modules, sorted.
const std::vector<std::string>& moduleKeys();
bool isModuleKey(std::string_view key);

/// A site's own.
bool isSiteKey(std::string_view key);

/// "[server]": where this key belongs; "" when that is not known.
std::string homeOf(std::string_view key);

}  // namespace egalaxyd
