// The operator's names for certificates and tokens. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"

namespace egalaxyd {

/// What isName() takes, in words.
inline constexpr std::string_view kNameRule = R"(1 to 64 letters, digits, "-", "_" and ".")";
bool isName(std::string_view text);
/// The name nearest to `text`, with "-" for what no name may hold.
std::string nameLike(std::string_view text);

/// Each once, sorted.
std::vector<std::string> namesOf(const People& people);
/// Empty for a name that is not known.
std::vector<std::string> fingerprintsOf(const People& people, std::string_view name);
/// The name of a certificate, or else of its public key, by their fingerprints; "" without one. It
/// stays as long as `people`.
std::string_view nameOf(const People& people, const std::string& certificate,
                        const std::string& key);
/// A list of fingerprints with "@NAME" in place of those of people who are in it with all of
/// theirs.
std::vector<std::string> withNames(const People& people, const std::vector<std::string>& listed);

}  // namespace egalaxyd
