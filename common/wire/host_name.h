// The one form in which host names are compared, however a client writes them. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace egalaxyd {

/// Lower-case ASCII: a name in UTF-8 becomes its A-label (IDNA 2008, UTS 46 non-transitional:
/// "bücher.example" is "xn--bcher-kva.example"), and one dot at the end is dropped, which says that
/// the name is whole. nullopt: UTF-8 that is no name. What is ASCII is not judged.
std::optional<std::string> canonicalHost(std::string_view name);

}  // namespace egalaxyd
