// How a client's connection is encrypted.
#pragma once

#include <string_view>

namespace egalaxyd {

/// Both texts are "" without TLS. They point to static strings of OpenSSL.
struct TlsFacts {
  std::string_view version = {};  ///< "TLSv1.3"
  std::string_view cipher = {};   ///< "TLS_AES_128_GCM_SHA256"
  int bits = 0;                   ///< of the cipher's key
};

}  // namespace egalaxyd
