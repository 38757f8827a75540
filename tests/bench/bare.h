// What the bare servers have in common. Each function ends the process when it fails.
#pragma once

#include <openssl/ssl.h>

namespace egalaxyd {

/// Says why and leaves with 1.
[[noreturn]] void die(const char* doing);

/// On 127.0.0.1. `flags`: SOCK_NONBLOCK or 0.
int openListener(int port, int flags);

/// The settings of egalaxyd: TLS 1.2 and 1.3, the same ciphers and groups, certificates asked for
/// and never checked, no resumption of any kind.
SSL_CTX* makeContext(const char* certificate, const char* key);

}  // namespace egalaxyd
