#include "worker/module/authenticated_site.h"

#include <utility>

#include "worker/site/answers.h"

namespace egalaxyd {
AuthenticatedSite::AuthenticatedSite(const AuthenticatedArgs& args,
                                     std::optional<CertificateAuthorities> authorities,
                                     PathMap sites)
    : prompt_(args.prompt),
      fingerprints_(args.fingerprints.begin(), args.fingerprints.end()),
      authorities_(std::move(authorities)),
      sites_(std::move(sites)) {}

std::optional<Response> AuthenticatedSite::refuse(const Request& request, bool& isSigned) const {
  using Verdict = CertificateAuthorities::Verdict;
  if (auto refusal = refuseCertificate(request, prompt_)) return refusal;
  const Verdict verdict =
      authorities_ ? authorities_->judge(*request.identity) : Verdict::kStranger;
  isSigned = verdict == Verdict::kSigned;
  if (isSigned || takesAnyCertificate() ||
      fingerprints_.count(request.identity->fingerprint) != 0 ||
      fingerprints_.count(request.identity->keyFingerprint) != 0) {
    return std::nullopt;
  }
  if (verdict == Verdict::kForged)
    return certificateNotValid("Your certificate's signature is wrong");
  return Response::failure(Status::kCertificateNotAuthorised,
                           "Your certificate is not admitted here");
}

bool AuthenticatedSite::takesAnyCertificate() const {
  return fingerprints_.empty() && !authorities_;
}

UploadRight AuthenticatedSite::uploadRight(const Request& request,
                                           std::string_view sitePath) const {
  bool isSigned = false;
  if (refuse(request, isSigned)) return UploadRight::kNone;
  const UploadRight right = sites_.uploadRight(request, sitePath);
  const bool isChosen = right == UploadRight::kOpen && !takesAnyCertificate();
  return isChosen ? UploadRight::kGranted : right;
}

void AuthenticatedSite::handle(Request request, Responder reply, Services& services) {
  bool isSigned = false;
  if (auto refusal = refuse(request, isSigned)) return std::move(reply).send(std::move(*refusal));
  request.certificateSigned = request.certificateSigned || isSigned;
  services.users.admit(*request.identity);
  sites_.handle(std::move(request), std::move(reply), services);
}

bool AuthenticatedSite::hidesQuery(std::string_view sitePath) const {
  return sites_.hidesQuery(sitePath);
}

}  // namespace egalaxyd
