// What an operator should hear about a certificate that the server itself uses. Pure.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace egalaxyd {

/// Days before its end from which on a certificate "expires soon".
inline constexpr int kExpiresSoonDays = 30;

/// Why clients may refuse the certificate at `now` or soon after, and what to do: it has expired,
/// expires soon or is not yet valid, or its key is of a kind or on a curve that no client takes.
/// Takes microseconds, so that thousands can be looked at. Leaves the thread's OpenSSL
/// error queue empty.
std::vector<std::string> certificateAdvice(const X509* certificate,
                                           std::chrono::system_clock::time_point now);

/// Why no client takes the certificate's key, in words that end "...that no client takes: make
/// one..."; "": clients do take it.
std::string uselessKeyAdvice(const X509* certificate);

}  // namespace egalaxyd
