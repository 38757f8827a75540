#include "worker/site/authenticated_site.h"

#include <chrono>
#include <utility>

namespace egalaxyd {
namespace {

Response notValid(std::string_view why) {
  return Response::failure(Status::kCertificateNotValid, std::string(why));
}

}  // namespace

std::optional<Response> refuseCertificate(const Request& request, const std::string& prompt) {
  if (!request.identity) return Response::failure(Status::kCertificateRequired, prompt);
  std::string_view fault = dateFault(*request.identity, std::chrono::system_clock::now());
  if (fault.empty()) fault = signatureFault(*request.identity);
  if (fault.empty()) return std::nullopt;
  return notValid(fault);
}

AuthenticatedSite::AuthenticatedSite(const AuthenticatedArgs& args,
                                     std::optional<CertificateAuthorities> authorities,
                                     PathMap sites)
    : prompt_(args.prompt),
      fingerprints_(args.fingerprints.begin(), args.fingerprints.end()),
      authorities_(std::move(authorities)),
      sites_(std::move(sites)) {}

std::optional<Response> AuthenticatedSite::refuse(const Request& request) const {
  using Verdict = CertificateAuthorities::Verdict;
  if (auto refusal = refuseCertificate(request, prompt_)) return refusal;
  const bool anyone = fingerprints_.empty() && !authorities_;
  if (anyone || fingerprints_.count(request.identity->fingerprint) != 0 ||
      fingerprints_.count(request.identity->keyFingerprint) != 0) {
    return std::nullopt;
  }
  const Verdict verdict =
      authorities_ ? authorities_->judge(*request.identity) : Verdict::kStranger;
  if (verdict == Verdict::kSigned) return std::nullopt;
  if (verdict == Verdict::kForged) return notValid("Your certificate's signature is wrong");
  return Response::failure(Status::kCertificateNotAuthorised,
                           "Your certificate is not admitted here");
}

void AuthenticatedSite::handle(Request request, Responder reply, Services& services) {
  if (auto refusal = refuse(request)) return std::move(reply).send(std::move(*refusal));
  services.users.admit(*request.identity);
  sites_.handle(std::move(request), std::move(reply), services);
}

bool AuthenticatedSite::hidesQuery(std::string_view sitePath) const {
  return sites_.hidesQuery(sitePath);
}

}  // namespace egalaxyd
