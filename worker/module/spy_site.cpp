#include "worker/module/spy_site.h"

#include <spdlog/fmt/fmt.h>

#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "common/base/path.h"
#include "common/base/units.h"
#include "common/system/log.h"
#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"
#include "worker/site/client_certificate.h"

namespace egalaxyd {
namespace {

constexpr std::size_t kShownBytes = 4096;  ///< of one value

using Facts = std::map<std::string, std::string>;  ///< sorted for the reader

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = printableLength(text);
    if (length > 0) {
      out += text[0] == '\\' ? std::string("\\\\") : printable(text.substr(0, length));
    } else if (text[0] == '\n') {
      out += "\\n";
    } else if (text[0] == '\t') {
      out += "\\t";
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    }
    text.remove_prefix(length > 0 ? length : 1);
  }
  return out;
}

std::string section(std::string_view title, const Facts& facts) {
  std::string text = fmt::format("\n## {}\n\n```{}\n", title, title);
  for (const auto& [name, value] : facts) text += factLine(name, value);
  return text + "```\n";
}

std::string_view protocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kGemini:
      return "gemini";
    case Protocol::kTitan:
      return "titan";
    case Protocol::kSpartan:
      return "spartan";
  }
  return "";
}

std::string requestSection(const Request& request) {
  Facts facts{{"client", request.client.text()},
              {"host", request.host},
              {"mount", request.path.substr(0, request.mountLength)},
              {"path", request.path},
              {"port", std::to_string(request.port)},
              {"protocol", std::string(protocolName(request.protocol))},
              {"site path", std::string(request.sitePath())},
              {"url", request.url}};
  facts["TLS"] = request.tls.version.empty()
                     ? "none"
                     : fmt::format("{}, {}", request.tls.version, request.tls.cipher);
  if (request.query) facts["query"] = *request.query;
  if (request.input) facts["input"] = *request.input;
  return section("Request", facts);
}

std::string certificateSection(const ClientIdentity& identity) {
  std::string_view fault = dateFault(identity, std::chrono::system_clock::now());
  if (fault.empty()) fault = signatureFault(identity);
  Facts facts{{"certificate SHA-256", identity.fingerprint},
              {"common name", identity.commonName},
              {"public key SHA-256", identity.keyFingerprint},
              {"readable id", identity.readableId()},
              {"subject", identity.subject},
              {"verdict", fault.empty() ? "valid" : std::string(fault)}};
  if (const X509* certificate = identity.certificate.get()) {
    facts["not before"] = certificateNotBeforeText(certificate);
    facts["not after"] = certificateNotAfterText(certificate);
  }
  return section("Certificate", facts);
}

std::string userSection(const std::optional<User>& user) {
  if (!user) return "\n## User\n\nNot known yet.\n";
  return section("User", {{"first seen", timeText(user->firstSeen)},
                          {"id", user->id},
                          {"last seen", timeText(user->lastSeen)},
                          {"public keys", std::to_string(user->keys.size())},
                          {"visits", std::to_string(user->visits)}});
}

std::string metadataSection(const Users::Metadata& metadata) {
  return metadata.empty() ? "\n## Metadata\n\nNone.\n" : section("Metadata", metadata);
}

Response failure(const Error& error) {
  spdlog::error("answered 40: a user was not read: {}", error.message);
  return Response::failure(Status::kTemporaryFailure, "Your data cannot be read now, try again");
}

}  // namespace

std::string factLine(std::string_view name, std::string_view value) {
  if (value.size() <= kShownBytes) return fmt::format("  {}: {}\n", escaped(name), escaped(value));
  return fmt::format("  {}: {}… ({} bytes)\n", escaped(name), escaped(value.substr(0, kShownBytes)),
                     value.size());
}

void SpySite::handle(Request request, Responder reply, Services& services) {
  std::string page = "# What this server knows of you\n" + requestSection(request);
  if (!request.identity) {
    page += "\n## Certificate\n\nNone.\n";
    return std::move(reply).send(Response::gemtext(std::move(page)));
  }
  page += certificateSection(*request.identity);
  const RequestUser user(services.users, request.identity);
  services.tasks.start(answer(user, std::move(page), std::move(reply)), request.cancellation);
}

Task<void> SpySite::answer(RequestUser user, std::string page, Responder reply) {
  const auto found = co_await user.find();
  if (!found) co_return std::move(reply).send(failure(found.error()));
  const auto metadata = co_await user.readAll();
  if (!metadata) co_return std::move(reply).send(failure(metadata.error()));
  page += userSection(*found) + metadataSection(*metadata);
  std::move(reply).send(Response::gemtext(std::move(page)));
}

}  // namespace egalaxyd
