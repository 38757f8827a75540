// What a listening socket speaks.
#pragma once

#include <string_view>

namespace egalaxyd {

enum class ListenerKind {
  kGemini,   ///< TLS: Gemini, and Titan beside it
  kTitan,    ///< TLS: Titan alone
  kSpartan,  ///< plain
  kStatus,   ///< HTTP, by the process of the status page; no worker has it
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
    case ListenerKind::kStatus:
      return "the status page";
  }
  return "";
}

}  // namespace egalaxyd
