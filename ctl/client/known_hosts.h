// The public keys of hosts, trusted on first use and remembered in a file. For egalaxyctl alone:
// blocks. One line for each host and port:
//   example.org 1965 SHA256:4f1c… 4096-01-01T00:00:00Z 2026-01-31T08:00:00Z
// is the key, the end of the certificate that showed it last, and since when it is known. Empty
// lines and those that begin with '#' are left as they are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/result.h"

namespace egalaxyd::ctl {

/// What a host shows of itself. It is the key that is trusted: a certificate that is renewed with
/// it, one that has expired and one of an authority are all the same host.
struct HostKey {
  std::string sha256;  ///< of the public key, 64 lower-case hex digits
  std::string until;   ///< the end of its certificate, for people: "4096-01-01T00:00:00Z"
};

struct KnownKey {
  HostKey key;
  std::string since;  ///< "2026-01-31T08:00:00Z"
};

class KnownHosts {
 public:
  /// Host, as Uri has it, and port.
  using Name = std::pair<std::string, std::uint16_t>;

  /// egalaxyctl/known_hosts in $XDG_STATE_HOME, else in ~/.local/state; "" when the environment
  /// names neither.
  static std::filesystem::path usualFile();

  /// Knows nobody, and keeps nothing.
  KnownHosts() = default;
  /// One that is not there knows nobody. An error when it is there and cannot be read, or has a
  /// line that is none: whoever went on would trust a stranger.
  static Result<KnownHosts> read(std::filesystem::path file);

  /// nullptr: nobody knows it.
  const KnownKey* find(const Name& host) const;

  /// kPermission, with all that is known, when `host` has another key; nothing else fails.
  Result<void> judge(const Name& host, const HostKey& shown) const;

  /// Remembers what a handshake has proved, in the file and in this object; instead of another key
  /// if it `replaces`. kPermission: another process has remembered another key meanwhile. Any other
  /// error: this object alone knows the key, for the file cannot be written.
  Result<void> remember(const Name& host, const HostKey& shown, bool replaces);

 private:
  using Keys = std::map<Name, KnownKey>;

  explicit KnownHosts(std::filesystem::path file) : file_(std::move(file)) {}
  static Result<Keys> parse(const std::filesystem::path& file, std::string_view text);
  Result<void> save(const Name& host, bool replaces);

  std::filesystem::path file_;
  Keys keys_;
};

}  // namespace egalaxyd::ctl
