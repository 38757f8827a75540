// A client's certificate and key as people name them: by one file.
#pragma once

#include <optional>
#include <string>

#include "common/tls/certificate.h"

namespace egalaxyd::ctl {

/// The certificate of a file with its key: that of the file `key`; if nullopt the one in the same
/// file, else that of the file beside it with the ending ".key". An error says where it was looked
/// for.
Result<KeyedCertificate> readIdentity(const std::filesystem::path& certificate,
                                      const std::optional<std::string>& key);

}  // namespace egalaxyd::ctl
