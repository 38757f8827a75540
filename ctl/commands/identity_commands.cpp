// Client certificates: whom a person is to a server.
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ostream>

#include "common/base/path.h"
#include "common/config/config_schema.h"
#include "common/config/people.h"
#include "common/tls/certificate_json.h"
#include "common/tls/certificate_names.h"
#include "common/tls/client_certificate.h"
#include "ctl/base/command_table.h"
#include "ctl/base/json_output.h"
#include "ctl/client/identity.h"

namespace egalaxyd::ctl {
namespace {

namespace fs = std::filesystem;

/// It becomes the name of a file, and what others read of a visitor.
Result<void> checkName(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= 64 && isPrintable(name) &&
                    !holdsInvisible(name) && name.find('/') == std::string::npos &&
                    !name.starts_with('.') && !name.starts_with('-');
  if (fits) return {};
  return Error{ErrorCode::kInvalid,
               fmt::format("'{}' cannot be the name of an identity: write 1 to 64 bytes of text "
                           "without '/', and no '.' or '-' at the beginning; --dir says where the "
                           "file goes",
                           name)};
}

/// Bytes of a name with which its line is never wider than a terminal.
constexpr std::size_t kShortName = 50;

/// `key` says where the private key is, or why it is nowhere.
void print(const Invocation& invocation, const fs::path& file, const X509* leaf,
           const std::string& key) {
  if (invocation.has("json")) {
    auto object = describeCertificate(leaf);
    object.set("file", file.string());
    printJson(invocation.out, object);
    return;
  }
  const std::string fingerprint = certificateFingerprint(leaf);
  const std::pair<const char*, std::string> rows[] = {{"file", file.string()},
                                                      {"subject", certificateSubject(leaf)},
                                                      {"not after", certificateNotAfterText(leaf)},
                                                      {"SHA-256", fingerprint},
                                                      {"public key", publicKeyFingerprint(leaf)},
                                                      {"private key", key}};
  for (const auto& [name, value] : rows) {
    invocation.out << fmt::format("{:<12}{}\n", name, printable(value));
  }
  const std::string name = nameLike(certificateCommonName(leaf));
  // For a terminal in lines of their own, which may be pasted as they are.
  const std::string cut = invocation.terminal ? "\n  " : "";
  const std::string value = invocation.terminal
                                ? fmt::format("[\n  \"SHA256:{}\"\n  ]", fingerprint)
                                : fmt::format("\"SHA256:{}\"", fingerprint);
  invocation.out << fmt::format(
      "\nAn authenticated site lets it in, and an upload table lets it write, by the line\n"
      "  fingerprints = [{0}\"SHA256:{1}\"{0}]\n"
      "or, where its holder has a name, which lists and the log show, by these\n"
      "  [people]\n"
      "  {2} = {3}\n"
      "and\n"
      "  fingerprints = [{4}\"@{5}\"{4}]\n",
      cut, fingerprint, tomlKey(name), value, name.size() > kShortName ? cut : "", name);
}

}  // namespace

int createIdentity(const Invocation& invocation) {
  const std::string& name = invocation.arguments.front();
  if (const auto fits = checkName(name); !fits) return complain(invocation, fits.error());
  const auto dir = invocation.options.find("dir");
  std::error_code ignored;  // then the path stays as it was given
  const fs::path folder =
      fs::absolute(dir == invocation.options.end() ? "." : dir->second, ignored).lexically_normal();
  const fs::path file = folder / (name + ".pem");
  const auto made = makeClientCertificate(name);
  if (!made) return complain(invocation, made.error());
  if (const auto written = writeIdentity(*made, file); !written) {
    return complain(invocation, written.error());
  }
  print(invocation, file, made->chain.front().get(), "in the same file");
  if (invocation.has("json")) return 0;
  invocation.out << fmt::format(
      "egalaxyctl get and put show it with --cert '{}'.\n"
      "Lagrange takes it by Identity > Import...: drop the file on that window, or paste its "
      "text.\n"
      "Whoever has the file can be you: keep it, and a copy, where nobody else reads it.\n",
      printable(file.string()));
  return 0;
}

int showIdentity(const Invocation& invocation) {
  const std::string& file = invocation.arguments.front();
  const auto chain = readCertificates(file);
  if (!chain) return complain(invocation, chain.error());
  const auto identity = readIdentity(file, std::nullopt);
  print(invocation, file, chain->front().get(),
        identity ? "found, and belongs to it" : identity.error().message);
  return 0;
}

}  // namespace egalaxyd::ctl
