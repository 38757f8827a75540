// OpenSSL's objects with owners, and its per-thread error queue kept empty.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <spdlog/fmt/fmt.h>

#include <memory>
#include <string>

namespace egalaxyd {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using BignumPtr = std::unique_ptr<BIGNUM, Freer<BN_free>>;
using DecoderPtr = std::unique_ptr<OSSL_DECODER_CTX, Freer<OSSL_DECODER_CTX_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, Freer<GENERAL_NAMES_free>>;
using GeneralNamePtr = std::unique_ptr<GENERAL_NAME, Freer<GENERAL_NAME_free>>;
using Asn1Ptr = std::unique_ptr<ASN1_STRING, Freer<ASN1_STRING_free>>;
using ConstraintsPtr = std::unique_ptr<BASIC_CONSTRAINTS, Freer<BASIC_CONSTRAINTS_free>>;

/// A leftover in the thread's error queue would fail the next healthy TLS connection.
struct ErrorQueue {
  ErrorQueue() { ERR_clear_error(); }
  ~ErrorQueue() { ERR_clear_error(); }
  ErrorQueue(const ErrorQueue&) = delete;
  ErrorQueue& operator=(const ErrorQueue&) = delete;

  /// " (bad base64 decode)", or "" when OpenSSL has nothing to say.
  static std::string reason() {
    const char* text = ERR_reason_error_string(ERR_peek_error());
    return text == nullptr ? "" : fmt::format(" ({})", text);
  }
};

/// What was written to a memory BIO.
inline std::string contentOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? "" : std::string(data, static_cast<std::size_t>(size));
}

}  // namespace egalaxyd
