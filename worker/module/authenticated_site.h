// module = "authenticated".
#pragma once

#include <optional>
#include <string>
#include <unordered_set>

#include "common/config/config.h"
#include "worker/module/nested_sites.h"
#include "worker/site/client_certificate.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Admits clients whose certificate is valid and listed: in `fingerprints` (of the certificate or
/// its key), or signed by one of `authorities`. With neither, any valid certificate is admitted.
/// The certificate is checked before the path, so that strangers do not learn which paths exist.
class AuthenticatedSite final : public Site {
 public:
  AuthenticatedSite(const AuthenticatedArgs& args,
                    std::optional<CertificateAuthorities> authorities, PathMap sites);
  void handle(Request request, Responder reply, Services& services) override;
  AcceptedBody takes(std::string_view sitePath) const override { return sites_.takes(sitePath); }
  /// Within an area for chosen certificates, what is open to all of them is granted.
  UploadRight uploadRight(const Request& request, std::string_view sitePath) const override;
  std::string_view tokenName(const Request& request, std::string_view sitePath) const override {
    return sites_.tokenName(request, sitePath);
  }
  bool keepsTime(std::string_view sitePath) const override { return sites_.keepsTime(sitePath); }
  bool takesEncodedSlash(std::string_view sitePath) const override {
    return sites_.takesEncodedSlash(sitePath);
  }
  bool hidesQuery(std::string_view sitePath) const override;

 private:
  /// `isSigned` says whether one of the authorities has signed the certificate.
  std::optional<Response> refuse(const Request& request, bool& isSigned) const;

  const std::string prompt_;
  bool takesAnyCertificate() const;

  const std::unordered_set<std::string> fingerprints_;
  const std::optional<CertificateAuthorities> authorities_;
  const NestedSites sites_;
};

}  // namespace egalaxyd
