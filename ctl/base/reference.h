// URI references, resolved as text. Pure.
#pragma once

#include <string>

namespace egalaxyd::ctl {

/// What `reference` means on the page `base` (RFC 3986, section 5.2). `base` is absolute and has an
/// authority. Nothing is decoded or encoded: Poco::URI does both, and makes "/" of "%2F".
std::string resolveReference(const std::string& base, const std::string& reference);

}  // namespace egalaxyd::ctl
