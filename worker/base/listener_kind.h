// What a listening socket speaks.
#pragma once

#include <string_view>

namespace egalaxyd {

enum class ListenerKind {
  kGemini,   ///< TLS: Gemini, and Titan beside it
  kTitan,    ///< TLS: Titan alone
  kSpartan,  ///< plain
};

/// For people: "Gemini and Titan".
constexpr std::string_view protocolsOf(ListenerKind kind) {
  switch (kind) {
    case ListenerKind::kGemini:
      return "Gemini and Titan";
    case ListenerKind::kTitan:
      return "Titan";
    case ListenerKind::kSpartan:
      return "Spartan";
  }
  return "";
}

}  // namespace egalaxyd
