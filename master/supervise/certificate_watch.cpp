#include "master/supervise/certificate_watch.h"

#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "common/base/path.h"
#include "common/tls/certificate_files.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;

enum class Verdict : char { kSame = 's', kOther = 'o', kBroken = 'b', kForbidden = 'f' };

/// Changes with every write and every replacement of the file; "-" where there is none.
std::string stateOf(const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return "-";
  return fmt::format("{}:{}:{}:{}.{}:{}.{}", info.st_dev, info.st_ino, info.st_size,
                     info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec,
                     info.st_ctim.tv_nsec);
}

CertificateFiles filesOf(const ServedCertificate& served, const fs::path& stateDir) {
  if (served.owner.empty()) return {served.file, served.key, served.origin};
  return AutomaticFiles(stateDir, served.owner).inUse();
}

std::pair<Verdict, std::string> compare(const CertificateFiles& files,
                                        const ServedCertificate& served) {
  const auto identity = readKeyedCertificate(files.certificate, files.key);
  if (identity) {
    return {chainDigest(identity->chain) == served.digest ? Verdict::kSame : Verdict::kOther, ""};
  }
  // A reload makes it anew; nobody is to be bothered because it was moved away.
  if (files.origin == CertificateOrigin::kAutomatic &&
      identity.error().code == ErrorCode::kNotFound) {
    return {Verdict::kSame, ""};
  }
  const bool forbidden = identity.error().code == ErrorCode::kPermission;
  return {forbidden ? Verdict::kForbidden : Verdict::kBroken, printable(identity.error().message)};
}

/// A line of look(): "INDEX VERDICT STATE WHY".
struct Finding {
  std::size_t index = 0;
  Verdict verdict = Verdict::kSame;
  std::string state;
  std::string why;
};

std::string_view takeWord(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(word.size() + 1, text.size()));
  return word;
}

std::optional<Finding> findingIn(std::string_view line) {
  Finding finding;
  const std::string_view index = takeWord(line);
  const auto [end, error] =
      std::from_chars(index.data(), index.data() + index.size(), finding.index);
  const std::string_view verdict = takeWord(line);
  if (error != std::errc() || end != index.data() + index.size() || verdict.size() != 1) {
    return std::nullopt;
  }
  finding.verdict = static_cast<Verdict>(verdict.front());
  finding.state = takeWord(line);
  finding.why = line;
  return finding;
}

std::string adviceFor(Verdict verdict) {
  return verdict == Verdict::kForbidden
             ? "tls.watch cannot follow it: let the account of this server read it, or hand it "
               "over "
               "with egalaxyctl certificate install; the certificate that was read before serves on"
             : "the certificate that was read before serves on: put one there with the key that "
               "belongs to it, and it is taken up";
}

}  // namespace

std::string CertificateWatch::look(const std::vector<ServedCertificate>& served,
                                   const fs::path& stateDir) const {
  std::string found;
  for (std::size_t i = 0; i < served.size(); ++i) {
    const CertificateFiles files = filesOf(served[i], stateDir);
    const std::string state =
        nameOf(files.origin) + ("," + stateOf(files.certificate)) + "," + stateOf(files.key);
    const auto before = judged_.find(i);
    if (before != judged_.end() && before->second == state) continue;
    const auto [verdict, why] = compare(files, served[i]);
    found += fmt::format("{} {} {} {}\n", i, static_cast<char>(verdict), state, why);
  }
  return found;
}

CertificateWatch::Outcome CertificateWatch::judge(std::string_view found,
                                                  const std::vector<ServedCertificate>& served) {
  Outcome outcome;
  while (!found.empty()) {
    const std::string_view line = found.substr(0, found.find('\n'));
    found.remove_prefix(std::min(line.size() + 1, found.size()));
    const auto finding = findingIn(line);
    if (!finding || finding->index >= served.size()) continue;
    const std::size_t i = finding->index;
    const std::string file = printable(served[i].file.string());
    if (finding->verdict != Verdict::kSame && changing_[i] != finding->state) {
      changing_[i] = finding->state;
      outcome.again = true;
      continue;
    }
    const bool whole = finding->verdict == Verdict::kSame || finding->verdict == Verdict::kOther;
    if (whole) {
      changing_.erase(i);
      judged_[i] = finding->state;
    }
    if (whole && told_.erase(file) > 0) outcome.news.push_back(file + ": it is whole again");
    if (finding->verdict == Verdict::kOther) {
      outcome.renew = true;
      outcome.news.push_back(file + ": there is another certificate, which is taken up");
    } else if (!whole && std::exchange(told_[file], finding->why) != finding->why) {
      outcome.warnings.push_back(fmt::format("{}: {}", finding->why, adviceFor(finding->verdict)));
    }
  }
  return outcome;
}

void CertificateWatch::startOver() {
  judged_.clear();
  changing_.clear();
}

std::vector<std::string> CertificateWatch::troubles() const {
  std::vector<std::string> all;
  for (const auto& [file, why] : told_) all.push_back(why);
  return all;
}

}  // namespace egalaxyd
