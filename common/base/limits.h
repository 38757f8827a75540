// Numbers that protocols set, with their source.
#pragma once

#include <cstddef>
#include <cstdint>

namespace egalaxyd {

/// Gemini 0.24.1, "Requests": longest URI in bytes, CRLF not counted. Titan shares it.
inline constexpr std::size_t kMaxUriBytes = 1024;
/// Gemini 0.16.1 capped META at this; clients of that age still do.
inline constexpr std::size_t kMaxMetaBytes = 1024;
/// Gemini 0.24.1, "Overview": the port that a URI without one means.
inline constexpr std::uint16_t kGeminiPort = 1965;
/// The port that a spartan:// URI without one means.
inline constexpr std::uint16_t kSpartanPort = 300;
/// Longest request line of Spartan in bytes, CRLF not counted: what its reference server reads.
inline constexpr std::size_t kMaxSpartanLineBytes = 4096;

}  // namespace egalaxyd
