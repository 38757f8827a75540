#include "ctl/client/identity.h"

#include <spdlog/fmt/fmt.h>

namespace egalaxyd::ctl {

Result<KeyedCertificate> readIdentity(const std::filesystem::path& certificate,
                                      const std::optional<std::string>& key) {
  if (key) return readKeyedCertificate(certificate, *key);
  auto whole = readKeyedCertificate(certificate, certificate);
  if (whole || !readCertificates(certificate)) return whole;
  auto beside = certificate;
  beside.replace_extension(".key");
  auto both = readKeyedCertificate(certificate, beside);
  if (both) return both;
  return Error{both.error().code,
               fmt::format("no key for this certificate, neither in its own file nor beside it: "
                           "{}; {}; --key names the file",
                           whole.error().message, both.error().message)};
}

}  // namespace egalaxyd::ctl
