// Whether a file's content is a private key, whatever the file is called. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace egalaxyd {

/// A key that begins further behind in a file is not looked for.
inline constexpr std::size_t kKeySearchBytes = 64 * 1024;

/// `head`: the first bytes of a file. True for a PEM block of a private key anywhere in it,
/// whatever stands before (text, certificates, the quotes of JSON), when base64 follows: a page
/// that only talks about such a block is none. True for DER where the file begins so: PKCS#8,
/// encrypted or not, PKCS#1, SEC1, the old form of DSA, and PKCS#12. What is behind a zero byte is
/// no PEM.
bool isPrivateKey(std::string_view head);

/// Whether the bytes behind `head` can matter to isPrivateKey() at all.
bool mayBecomePrivateKey(std::string_view head);

}  // namespace egalaxyd
