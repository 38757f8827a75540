#include "common/base/memory_use.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace egalaxyd {

MemoryUse::MemoryUse() : rollup_(::open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC)) {}

std::optional<std::uint64_t> MemoryUse::kib() const {
  std::array<char, 4096> bytes;
  const ssize_t got = rollup_ ? ::pread(rollup_.get(), bytes.data(), bytes.size(), 0) : -1;
  if (got <= 0) return std::nullopt;
  std::string_view text(bytes.data(), static_cast<std::size_t>(got));
  constexpr std::string_view kName = "\nPss:";
  const std::size_t name = text.find(kName);
  if (name == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name + kName.size());
  text.remove_prefix(std::min(text.find_first_of("0123456789"), text.size()));
  std::uint64_t kib = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), kib);
  if (read.ec != std::errc()) return std::nullopt;
  return kib;
}

}  // namespace egalaxyd
