// libFuzzer's door to the function that EGALAXYD_FUZZ_TARGET names.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  egalaxyd::fuzz::EGALAXYD_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
