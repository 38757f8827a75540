// The protocols that are spoken here.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace egalaxyd {

enum class Protocol { kGemini, kTitan, kSpartan };

inline constexpr std::array kProtocols{Protocol::kGemini, Protocol::kTitan, Protocol::kSpartan};

/// As in a URL: "gemini".
constexpr std::string_view nameOf(Protocol protocol) {
  constexpr std::array<std::string_view, kProtocols.size()> kNames{"gemini", "titan", "spartan"};
  return kNames[static_cast<std::size_t>(protocol)];
}

}  // namespace egalaxyd
