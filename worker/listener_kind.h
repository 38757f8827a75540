// What a listening socket speaks.
#pragma once

namespace egalaxyd {

enum class ListenerKind {
  kGemini,   ///< TLS: Gemini, and Titan beside it
  kTitan,    ///< TLS: Titan alone
  kSpartan,  ///< plain
};

}  // namespace egalaxyd
