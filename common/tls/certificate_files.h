// Where a host's automatic certificate and its key are kept.
#pragma once

#include <filesystem>
#include <string>

#include "common/tls/certificate_names.h"

namespace egalaxyd {

/// In the state folder.
inline constexpr const char* kCertificatesFolder = "certificates";

struct AutomaticFiles {
  AutomaticFiles(const std::filesystem::path& stateDir, const std::string& host)
      : folder(stateDir / kCertificatesFolder),
        certificate(folder / (certificateFileStem(host) + ".crt")),
        key(folder / (certificateFileStem(host) + ".key")) {}

  std::filesystem::path folder;
  std::filesystem::path certificate;
  std::filesystem::path key;
};

}  // namespace egalaxyd
