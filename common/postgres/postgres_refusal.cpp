#include "common/postgres/postgres_refusal.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "common/base/path.h"

namespace egalaxyd::postgres {
namespace {

struct Mend {
  std::string_view sign;
  const char* words;
};

/// By the server's code, whatever language it speaks.
constexpr std::array kByCode{
    Mend{"28P01",
         "it refuses the password; write that of the role in storage.url into the file of "
         "storage.password"},
    Mend{"28000",
         "it does not let this role in; look at the role in storage.url, and at pg_hba.conf there"},
    Mend{"3D000",
         "it has no such database; make it: CREATE DATABASE ... OWNER (the role) ENCODING 'UTF8' "
         "LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"},
    Mend{"42501", "the role may not connect; GRANT CONNECT ON DATABASE ... TO it"},
    Mend{"53300",
         "it has no connection left; each host takes three for each worker, and one more: raise "
         "max_connections there, or set server.workers"},
    Mend{"57P03", "it is not ready yet; it says in its own log why"},
};

/// By what the client library says, which is English here. The first that fits counts.
constexpr std::array kByWord{
    Mend{"SSL",
         "no TLS with it; look at sslmode and sslrootcert in storage.url, and at its certificate"},
    Mend{"certificate",
         "no TLS with it; look at sslmode and sslrootcert in storage.url, and at its certificate"},
    Mend{"read-only", "it is a standby; let storage.url name each machine that may be the primary"},
    Mend{"translate host name", "its name has no address; look at storage.url and the name server"},
};

constexpr const char* kNobody =
    "nobody answers; look at host and port in storage.url, and whether PostgreSQL listens there";

/// The five characters of "FATAL:  28P01: ...", taken out of `detail`; "" for none.
std::string takeCode(std::string& detail) {
  const auto isCode = [](std::string_view text) {
    return std::ranges::all_of(
        text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
  };
  const auto at = detail.find(":  ");
  if (at == std::string::npos || detail.size() < at + 10 || detail[at + 8] != ':') return "";
  std::string code = detail.substr(at + 3, 5);
  if (!isCode(code)) return "";
  detail.erase(0, at + 10);
  return code;
}

/// Without what the words before it tell: which server it is, and that it failed.
std::string detailOf(std::string_view message) {
  constexpr std::string_view kFailed = " failed: ";
  message = message.substr(0, message.find('\n'));
  const auto at = message.find(kFailed);
  if (at != std::string_view::npos) message.remove_prefix(at + kFailed.size());
  return printable(message);
}

template <std::size_t Size>
const Mend* mendBy(const std::array<Mend, Size>& mends, const auto& fits) {
  const auto found = std::ranges::find_if(mends, fits, &Mend::sign);
  return found == mends.end() ? nullptr : &*found;
}

const char* wordsFor(std::string_view code, std::string_view detail) {
  const Mend* mend = mendBy(kByCode, [&](auto sign) { return sign == code; });
  if (mend == nullptr && code.empty()) {
    mend = mendBy(kByWord, [&](auto sign) { return detail.find(sign) != std::string_view::npos; });
    if (mend == nullptr) return kNobody;
  }
  return mend == nullptr ? "it refuses the connection" : mend->words;
}

}  // namespace

Error refusal(std::string_view server, std::string_view message, bool wantsPassword) {
  std::string detail = detailOf(message);
  const std::string code = takeCode(detail);
  // What PgBouncer says to settings that it does not pass on; PostgreSQL knows all of ours.
  if (code == "08P01" && detail.find("startup parameter") != std::string::npos) {
    return poolerBetween(server);
  }
  const char* words =
      wantsPassword
          ? "it asks for a password; name the file that has the role's in storage.password"
          : wordsFor(code, detail);
  if (!code.empty()) detail += ", " + code;
  return {ErrorCode::kBusy, fmt::format("{}: {} ({})", server, words, detail)};
}

Error poolerBetween(std::string_view server) {
  return {
      ErrorCode::kInvalid,
      fmt::format("{}: a pooler (PgBouncer) is between; let storage.url name PostgreSQL itself, "
                  "or a proxy that only passes on",
                  server)};
}

}  // namespace egalaxyd::postgres
