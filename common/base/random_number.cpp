#include "common/base/random_number.h"

#include <sys/random.h>

namespace egalaxyd {

std::uint64_t randomNumber() {
  for (;;) {
    std::uint64_t number = 0;
    // So few bytes come whole, or not at all: when a signal interrupts the wait for entropy.
    if (::getrandom(&number, sizeof number, 0) != sizeof number) continue;
    number >>= 1;
    if (number != 0) return number;
  }
}

}  // namespace egalaxyd
