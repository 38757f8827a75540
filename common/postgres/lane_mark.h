// What tells whether a commit without an answer has happened. Each connection that writes has a row
// of its own in the database, its lane; each of its transactions sets the row's number to one more
// than that of the last. Whoever connects anew raises the row's epoch, which waits for, or shuts
// out, the transaction that was under way, and finds the number as that has left it. Pure.
#pragma once

#include <cstdint>

namespace egalaxyd::postgres {

struct LaneMark {
  std::int64_t epoch = 0;
  std::int64_t number = 0;  ///< of the last transaction that is known to have been committed
};

enum class MarkVerdict {
  kHappened,   ///< the transaction under way was committed
  kDidNot,     ///< it was not, and never will be
  kForgotten,  ///< the database is not the one that had acknowledged what we know of
};

/// `known`: by this lane, before it raised the epoch; `found`: what it was told then.
inline MarkVerdict judge(const LaneMark& known, const LaneMark& found) {
  const bool later = found.epoch > known.epoch;
  if (later && found.number == known.number) return MarkVerdict::kDidNot;
  if (later && found.number == known.number + 1) return MarkVerdict::kHappened;
  return MarkVerdict::kForgotten;
}

}  // namespace egalaxyd::postgres
