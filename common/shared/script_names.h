// The names of the variables that scripts and applications may get from a worker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace egalaxyd {

/// A worker names a variable by its place here, so that it can set no other one.
inline constexpr std::array<std::string_view, 47> kScriptVariables = {
    "GATEWAY_INTERFACE",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
    "SERVER_NAME",
    "HOSTNAME",
    "SERVER_PORT",
    "REQUEST_METHOD",
    "GEMINI_URL",
    "TITAN_URL",
    "SPARTAN_URL",
    "GEMINI_URL_PATH",
    "SCRIPT_NAME",
    "SCRIPT_FILENAME",
    "GEMINI_SCRIPT_FILENAME",
    "SCRIPT_PATH",
    "DOCUMENT_ROOT",
    "GEMINI_DOCUMENT_ROOT",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "QUERY_STRING",
    "GEMINI_SEARCH_STRING",
    "REMOTE_ADDR",
    "REMOTE_HOST",
    "REMOTE_PORT",
    "AUTH_TYPE",
    "REMOTE_USER",
    "REMOTE_IDENT",
    "TLS_CLIENT_HASH",
    "TLS_CLIENT_HASH_B64",
    "TLS_CLIENT_KEY_HASH",
    "TLS_CLIENT_SUBJECT",
    "TLS_CLIENT_ISSUER",
    "TLS_CLIENT_SUBJECT_CN",
    "TLS_CLIENT_ISSUER_CN",
    "TLS_CLIENT_NOT_BEFORE",
    "TLS_CLIENT_NOT_AFTER",
    "TLS_CLIENT_SERIAL_NUMBER",
    "TLS_CLIENT_AUTHORISED",
    "TLS_VERSION",
    "TLS_CIPHER",
    "TLS_CIPHER_STRENGTH",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "TITAN_TOKEN",
    "TITAN_EDIT",
    "EGALAXYD_USER",
    "SCGI",
};

/// Those that the launcher sets itself.
inline constexpr std::array<std::string_view, 5> kAccountVariables = {"PATH", "LANG", "HOME",
                                                                      "USER", "LOGNAME"};

/// The place of `name` in kScriptVariables.
constexpr std::optional<std::uint8_t> scriptVariable(std::string_view name) {
  for (std::size_t i = 0; i < kScriptVariables.size(); ++i) {
    if (kScriptVariables[i] == name) return static_cast<std::uint8_t>(i);
  }
  return std::nullopt;
}

/// The most that all variables of a request may take, names, '=' and ends included.
inline constexpr std::size_t kMostVariableBytes = 32 * 1024;

/// In the state folder: the files, named "<worker id>-…", that scripts get as their input.
inline constexpr const char* kSpoolFolder = "spool";

}  // namespace egalaxyd
