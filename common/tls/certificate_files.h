// Where the state folder keeps a host's certificate and its key: one that the server made for
// itself, or one that was installed, which wins.
#pragma once

#include <filesystem>
#include <string>

#include "common/tls/certificate.h"
#include "common/tls/certificate_names.h"

namespace egalaxyd {

/// In the state folder.
inline constexpr const char* kCertificatesFolder = "certificates";

struct AutomaticFiles {
  AutomaticFiles(const std::filesystem::path& stateDir, const std::string& host)
      : folder(stateDir / kCertificatesFolder),
        certificate(folder / (certificateFileStem(host) + ".crt")),
        key(folder / (certificateFileStem(host) + ".key")),
        installed(folder / (certificateFileStem(host) + ".pem")) {}

  /// Those that serve the host. Looks at the disk.
  CertificateFiles inUse() const;

  std::filesystem::path folder;
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::filesystem::path installed;  ///< chain and key in one file, so that they change as one
};

}  // namespace egalaxyd
