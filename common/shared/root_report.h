// Whether a folder or file that is served by its path can be had, and what a worker says of that.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace egalaxyd {

struct Presence {
  enum class Kind {
    kHere,
    kAway,    ///< missing, or closed to the workers' account: it is looked for each second
    kBeyond,  ///< it is there, but the sandbox, which is as old as its worker, does not know it
  } kind = Kind::kHere;
  std::string why = {};  ///< unless it is here

  bool operator==(const Presence&) const = default;
};

/// What a worker tells the master: of the `index`-th path of its generation.
struct RootReport {
  std::size_t index = 0;
  Presence presence;

  /// "3 away there is no such folder".
  std::string encode() const;
  /// nullopt: nonsense.
  static std::optional<RootReport> decode(std::string_view text);
};

}  // namespace egalaxyd
