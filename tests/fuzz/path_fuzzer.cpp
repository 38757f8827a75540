// A raw path: its normal form is normal, stable, and survives encoding.
#include "common/base/path.h"

#include <string>

#include "tests/fuzz/support.h"

namespace egalaxyd::fuzz {

void path(std::string_view input) {
  require(percentDecode(percentEncodePath(input)) == input, "encoding a path round trips");
  require(percentDecode(percentEncodeSegment(input)) == input, "encoding a segment round trips");

  const auto normalised = normalisePath(input);
  const auto* normal = std::get_if<std::string>(&normalised);
  if (normal == nullptr) return;
  requireNormalPath(*normal);
  const auto again = normalisePath(percentEncodePath(*normal));
  require(std::holds_alternative<std::string>(again) && std::get<std::string>(again) == *normal,
          "normalising twice changes nothing");
}

}  // namespace egalaxyd::fuzz
