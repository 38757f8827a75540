// How a client's connection is encrypted.
#pragma once

#include <string_view>

namespace egalaxyd {

/// Both are "" without TLS. Names of OpenSSL's, which stay for as long as the process.
struct TlsFacts {
  std::string_view version = {};  ///< "TLSv1.3"
  std::string_view cipher = {};   ///< "TLS_AES_128_GCM_SHA256"
};

}  // namespace egalaxyd
