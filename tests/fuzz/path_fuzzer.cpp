// A raw path: its normal form is normal, stable, and survives encoding.
#include "common/base/path.h"

#include <algorithm>
#include <string>

#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {

void path(std::string_view input) {
  std::string slashed(input);
  std::replace(slashed.begin(), slashed.end(), kEncodedSlash, '/');
  require(percentDecode(percentEncodePath(input)) == slashed, "encoding a path round trips");
  require(percentDecode(percentEncodeSegment(input)) == input, "encoding a segment round trips");

  const auto keeping = normalisePathKeepingSlashes(input);
  const auto* kept = std::get_if<std::string>(&keeping);
  if (kept != nullptr) {
    std::string path = *kept;
    std::replace(path.begin(), path.end(), kEncodedSlash, 'x');
    requireNormalPath(path);
    const auto again = normalisePathKeepingSlashes(percentEncodePath(*kept));
    require(std::holds_alternative<std::string>(again) && std::get<std::string>(again) == *kept,
            "normalising twice changes nothing, slashes kept");
    for (const char* part : {"/./", "/../"}) {
      std::string closed = *kept + "/";
      std::replace(closed.begin(), closed.end(), kEncodedSlash, '/');
      require(closed.find(part) == std::string::npos, "no encoded slash sets a dot segment apart");
    }
  }

  const auto normalised = normalisePath(input);
  require(
      kept == nullptr || kept->find(kEncodedSlash) != std::string::npos || normalised == keeping,
      "without an encoded slash both are the same");
  const auto* normal = std::get_if<std::string>(&normalised);
  if (normal == nullptr) return;
  requireNormalPath(*normal);
  const auto again = normalisePath(percentEncodePath(*normal));
  require(std::holds_alternative<std::string>(again) && std::get<std::string>(again) == *normal,
          "normalising twice changes nothing");
}

}  // namespace egalaxyd::fuzz
