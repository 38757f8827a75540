#include "worker/upload/upload_rules.h"

#include <openssl/crypto.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string>

#include "common/base/ascii.h"
#include "common/base/path.h"
#include "common/base/sha256.h"
#include "common/base/units.h"
#include "common/wire/media_type.h"
#include "worker/site/answers.h"

namespace egalaxyd {
namespace {

Response refused(std::string text) {
  return Response::failure(Status::kPermanentFailure, std::move(text));
}

bool isOver(const UploadArgs& rules, Protocol protocol) {
  const auto wanted =
      protocol == Protocol::kSpartan ? UploadProtocol::kSpartan : UploadProtocol::kTitan;
  return std::find(rules.over.begin(), rules.over.end(), wanted) != rules.over.end();
}

/// nullptr: it is not accepted.
const TokenDigest* acceptedToken(const UploadArgs& rules, const std::string& token) {
  if (token.empty()) return nullptr;
  const std::string digest = sha256Hex(token);
  const TokenDigest* known = nullptr;
  for (const TokenDigest& accepted : rules.tokens) {
    if (CRYPTO_memcmp(digest.data(), accepted.hex.data(), digest.size()) == 0) known = &accepted;
  }
  return known;
}

bool holdsToken(const UploadArgs& rules, const std::string& token) {
  return acceptedToken(rules, token) != nullptr;
}

bool takesAnyCertificate(const UploadArgs& rules) {
  return std::ranges::find(rules.fingerprints, "*") != rules.fingerprints.end();
}

bool isListed(const UploadArgs& rules, const ClientIdentity& identity) {
  return std::any_of(rules.fingerprints.begin(), rules.fingerprints.end(),
                     [&](const std::string& listed) {
                       return listed == identity.fingerprint || listed == identity.keyFingerprint;
                     });
}

/// What a plain request would be shown, an edit is shown too where tokens are taken: clients send
/// no token with it, and none could ask for it.
bool isFreeToRead(const UploadArgs& rules, const Request& request) {
  return request.upload->edit && !rules.tokens.empty();
}

std::optional<Response> refuseWriter(const UploadArgs& rules, const Request& request) {
  if (rules.anyone || isFreeToRead(rules, request) || holdsToken(rules, request.upload->token)) {
    return std::nullopt;
  }
  const bool byCertificate = !rules.fingerprints.empty();
  const std::string wanted = !byCertificate ? "A valid token is required to write here"
                             : rules.tokens.empty()
                                 ? "A client certificate is required to write here"
                                 : "A valid token or a certificate is required to write here";
  if (byCertificate && request.identity) {
    if (auto fault = refuseCertificate(request, wanted)) return fault;
    if (takesAnyCertificate(rules) || isListed(rules, *request.identity)) return std::nullopt;
    return Response::failure(Status::kCertificateNotAuthorised,
                             "Your certificate may not write here");
  }
  const bool mayAsk = byCertificate && request.upload->token.empty();
  return Response::failure(
      mayAsk ? Status::kCertificateRequired : Status::kCertificateNotAuthorised, wanted);
}

bool covers(std::string_view allowed, std::string_view type) {
  if (allowed == "*/*") return true;
  if (allowed.ends_with("/*")) return type.starts_with(allowed.substr(0, allowed.size() - 1));
  return allowed == type;
}

bool isAllowedType(const UploadArgs& rules, const std::string& type) {
  const auto allows = [&](std::string_view wanted) {
    return std::any_of(rules.mime.begin(), rules.mime.end(), [&](const std::string& allowed) {
      return covers(lowerCase(allowed), wanted);
    });
  };
  return allows(type) || (type == "text/plain" && allows("text/gemini"));
}

/// "text/* or image/png", cut where META has no room.
std::string listOf(const std::vector<std::string>& types) {
  constexpr std::size_t kMostBytes = 500;
  std::string list;
  for (const std::string& type : types) {
    if (list.size() + type.size() > kMostBytes) return list + " and others";
    list += (list.empty() ? "" : " or ") + type;
  }
  return list;
}

/// How many folders the file is in, below the mount.
std::size_t foldersOf(const Request& request) {
  const std::string_view path = request.sitePath();
  const auto slashes = static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
  return slashes - std::min<std::size_t>(slashes, 1);
}

}  // namespace

UploadRight uploadRight(const UploadArgs& rules, const Request& request) {
  if (!isOver(rules, request.protocol) || refuseWriter(rules, request)) return UploadRight::kNone;
  if (holdsToken(rules, request.upload->token)) return UploadRight::kGranted;
  const bool isKnown =
      request.identity && isListed(rules, *request.identity) && !refuseCertificate(request, {});
  return isKnown ? UploadRight::kGranted : UploadRight::kOpen;
}

std::string_view tokenName(const UploadArgs& rules, const std::string& token) {
  const TokenDigest* known = acceptedToken(rules, token);
  return known == nullptr ? std::string_view() : known->name;
}

std::uint64_t uploadBlocks(const UploadArgs& rules, const Request& request) {
  return 1 + (rules.createDirectories ? foldersOf(request) : 0);
}

std::string uploadType(const Request& request) {
  if (!request.upload || request.upload->edit) return {};
  if (request.protocol == Protocol::kSpartan) {
    const std::string_view known = mediaTypeOf(request.path.substr(request.path.rfind('/') + 1));
    return std::string(known.empty() ? "text/gemini" : known);
  }
  if (request.upload->mime.empty()) return "text/gemini";
  std::string type = lowerCase(request.upload->mime);
  type.resize(std::min(type.find(';'), type.size()));
  type.resize(type.find_last_not_of(' ') + 1);
  return type;
}

std::optional<Response> refuseUpload(const UploadArgs& rules, const Request& request) {
  if (!isOver(rules, request.protocol)) return refused("Uploads are not enabled here");
  if (auto refusal = refuseWriter(rules, request)) return refusal;
  if (request.upload->edit) return std::nullopt;
  if (request.upload->size == 0) {
    return rules.mayDelete ? std::nullopt : std::optional(refused("Nothing can be deleted here"));
  }
  if (holdsInvisible(request.sitePath())) {
    return Response::failure(Status::kBadRequest, "The name holds characters that nobody can see");
  }
  if (rules.createDirectories && foldersOf(request) > rules.depth) {
    return refused(fmt::format("This is too deep: at most {} folders", rules.depth));
  }
  const std::string type = uploadType(request);
  if (!isMediaType(type)) return refused("The upload's media type cannot be understood");
  if (!isAllowedType(rules, type)) {
    return refused(
        fmt::format("This media type is not accepted here, but {} would be", listOf(rules.mime)));
  }
  if (request.upload->size > rules.maxSize) {
    return refused(fmt::format("The upload is too large: at most {} are accepted here",
                               sizeText(rules.maxSize)));
  }
  return std::nullopt;
}

}  // namespace egalaxyd
