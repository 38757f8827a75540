// Notices when the files of certificates that serve hold others: tls.watch.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/tls/certificate.h"

namespace egalaxyd {

/// What is known of the files that the generation which serves was made from. A look is done by a
/// process of its own, a copy of the master, since it waits for the disk; what it found is judged
/// in the master. A change counts when two looks found the same files: whoever renews
/// writes certificate and key one after the other.
class CertificateWatch {
 public:
  /// What the master does about a look.
  struct Outcome {
    bool renew = false;  ///< certificates are to be read anew
    bool again = false;  ///< something has just changed: look again soon
    std::vector<std::string> warnings;
    std::vector<std::string> news;
  };

  /// Opens the files that are not as they were when they were last found whole, and gives a text
  /// for judge(). Symbolic links are followed. Blocking.
  std::string look(const std::vector<ServedCertificate>& served,
                   const std::filesystem::path& stateDir) const;
  /// `served` as look() had it. A fault is told once, until it is another or has gone. Pure.
  Outcome judge(std::string_view found, const std::vector<ServedCertificate>& served);

  /// Another generation serves, or the last attempt failed: all files are compared again.
  void startOver();
  /// What cannot be taken up now, a line for each file.
  std::vector<std::string> troubles() const;

 private:
  // By index into `served`: the state of the files, as a text.
  std::map<std::size_t, std::string> judged_;
  std::map<std::size_t, std::string> changing_;  ///< seen, and not judged to be whole
  std::map<std::string, std::string> told_;      ///< by file: the fault
};

}  // namespace egalaxyd
