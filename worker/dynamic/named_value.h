// A variable as applications are told it.
#pragma once

#include <string_view>
#include <utility>

namespace egalaxyd {

/// Name and value, which belong to whoever made the list.
using NamedValue = std::pair<std::string_view, std::string_view>;

}  // namespace egalaxyd
