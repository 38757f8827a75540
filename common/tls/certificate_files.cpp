#include "common/tls/certificate_files.h"

#include <system_error>

namespace egalaxyd {

CertificateFiles AutomaticFiles::inUse() const {
  std::error_code ignored;
  if (std::filesystem::exists(installed, ignored)) {
    return {installed, installed, CertificateOrigin::kInstalled};
  }
  return {certificate, key, CertificateOrigin::kAutomatic};
}

}  // namespace egalaxyd
