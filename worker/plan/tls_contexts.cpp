#include "worker/plan/tls_contexts.h"

#include <Poco/Net/Context.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/base/errno_error.h"
#include "common/base/poco_seam.h"
#include "common/config/site_names.h"
#include "common/tls/certificate_advice.h"
#include "common/tls/certificate_files.h"
#include "common/tls/certificate_names.h"
#include "common/wire/host_name.h"
#include "worker/protocol/handshake_guard.h"

namespace egalaxyd {

struct TlsContexts::State {
  std::vector<Poco::Net::Context::Ptr> contexts;
  std::vector<ServedCertificate> served;  ///< one for each context
  Complaints unnamed;                     ///< of certificates that do not name their hosts
  HostMap<SSL_CTX*> byName;
  std::optional<std::size_t> fallback;  ///< index into contexts

  SSL_CTX* at(std::size_t context) const { return contexts[context]->sslContext(); }
  void add(const SiteConfig& site, std::size_t context) {
    std::vector<std::string> names{site.host};
    names.insert(names.end(), site.aliases.begin(), site.aliases.end());
    for (const std::string& name : names) byName.add(name, at(context));
    auto& hosts = served[context].hosts;
    hosts.insert(hosts.end(), names.begin(), names.end());
  }
};

namespace {

using ContextPtr = Poco::Net::Context::Ptr;

// What to do about a certificate that does not name its host.
constexpr const char* kPinned =
    "it is kept, since clients have pinned it; remove it and its .key to have a new one made";
constexpr const char* kUnnamed =
    "clients may refuse it there; have one made that does, or leave certificate and key out";

/// The signatures that clients may make, with the keys that the handshake guard allows: no DSA, no
/// SHA-224, which cost milliseconds to check even when the signature is garbage.
constexpr const char* kClientSignatures =
    "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:ed448:"
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
    "rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512";

/// SNI callback. Without a name, or with an unknown one, the handshake goes on with the default.
int chooseByName(SSL* ssl, int*, void* argument) {
  const auto* byName = static_cast<const HostMap<SSL_CTX*>*>(argument);
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_OK;
  try {
    const auto host = canonicalHost(name);
    SSL_CTX* const* found = host ? byName->find(*host) : nullptr;
    const bool chosen = found == nullptr || SSL_set_SSL_CTX(ssl, *found) != nullptr;
    return chosen ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
  } catch (const std::bad_alloc&) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // no exception passes through OpenSSL
  }
}

/// SSL_OP_NO_TX_ and NO_RX_CERTIFICATE_COMPRESSION of OpenSSL 3.2 and later; earlier versions
/// ignore them. Nobody decompresses for a stranger, and the guard reads certificates as they are.
constexpr std::uint64_t kNoCertificateCompression = std::uint64_t{3} << 32;

int acceptAnyCertificate(X509_STORE_CTX*, void*) { return 1; }

void applySettings(SSL_CTX* context, TlsVersion minVersion) {
  SSL_CTX_set_min_proto_version(context,
                                minVersion == TlsVersion::k13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context, 0);
  // Requested, never required, never chain-verified: sites decide by fingerprint.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context, acceptAnyCertificate, nullptr);
  SSL_CTX_set_max_cert_list(context, static_cast<long>(kMaxClientCertificates));
  SSL_CTX_set1_client_sigalgs_list(context, kClientSignatures);
  // Resumption could bring an earlier identity back, or hide a new one.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  constexpr std::string_view kSessionContext = "egalaxyd";
  SSL_CTX_set_session_id_context(context,
                                 reinterpret_cast<const unsigned char*>(kSessionContext.data()),
                                 static_cast<unsigned>(kSessionContext.size()));
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF | kNoCertificateCompression);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  // P-521, the slowest, comes last. It is here for client certificates on that curve: TLS 1.2
  // accepts them only on curves of this list.
  SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384:P-521");
  // SHA-256 first: a handshake hashes about a hundred blocks to derive its keys, and SHA-384 takes
  // several times as long for each. AES-128 is as strong as the certificate's P-256.
  SSL_CTX_set_ciphersuites(
      context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20");
}

Result<void> install(SSL_CTX* context, const KeyedCertificate& identity) {
  const bool used = SSL_CTX_use_certificate(context, identity.chain.front().get()) == 1 &&
                    SSL_CTX_use_PrivateKey(context, identity.key.get()) == 1;
  bool chained = used;
  for (std::size_t i = 1; chained && i < identity.chain.size(); ++i) {
    chained = SSL_CTX_add1_chain_cert(context, identity.chain[i].get()) == 1;
  }
  if (chained) return {};
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_peek_last_error(), reason.data(), reason.size());
  ERR_clear_error();
  return Error{ErrorCode::kInvalid, std::string("OpenSSL does not take it: ") + reason.data()};
}

Result<ContextPtr> makeContext(const KeyedCertificate& identity, const TlsConfig& config) {
  auto made = guarded("set up TLS", [] {
    Poco::Net::Context::Params params;
    params.verificationMode = Poco::Net::Context::VERIFY_RELAXED;
    return ContextPtr(new Poco::Net::Context(Poco::Net::Context::TLS_SERVER_USE, params));
  });
  if (!made) return made;
  SSL_CTX* context = (*made)->sslContext();
  applySettings(context, config.minVersion);
  if (auto installed = install(context, identity); !installed) return installed.error();
  return made;
}

/// "a.test and 3 more": those of `names` that a certificate does not have; "" if it has them all.
std::string missingNames(const std::vector<std::string>& names, const NamedHosts& named) {
  std::string first;
  std::size_t more = 0;
  for (const std::string& name : names) {
    if (named.hold(name)) continue;
    if (first.empty()) {
      first = name;
    } else {
      ++more;
    }
  }
  return more == 0 ? first : fmt::format("{} and {} more", first, more);
}

/// The stored certificate of a host, or a new one: not where `isShared` with other hosts, which
/// would make others.
Result<KeyedCertificate> automaticCertificate(const SiteConfig& site, const AutomaticFiles& files,
                                              bool keep, bool isShared) {
  const auto& [folder, certificate, key, installed] = files;
  std::error_code ignored;
  if (std::filesystem::exists(certificate, ignored)) return readKeyedCertificate(certificate, key);
  if (isShared) {
    return Error{ErrorCode::kNotFound,
                 site.host +
                     ": this host has no certificate for it yet; one that all hosts share "
                     "is made, or fetched, by: egalaxyctl certificate sync"};
  }
  auto made = makeSelfSigned(automaticNames(site));
  if (!made || !keep) return made;
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return errnoError("make the folder " + folder.string(), errno);
  }
  if (auto written = writeKeyedCertificate(*made, certificate, key); !written) {
    return written.error();
  }
  spdlog::info("made a self-signed certificate for {}: {}, SHA-256 {}", site.host,
               certificate.string(), certificateFingerprint(made->chain.front().get()));
  return made;
}

/// What is in use in `context`.
KeyedCertificate identityIn(SSL_CTX* context) {
  KeyedCertificate identity;
  const auto add = [&identity](X509* certificate) {
    X509_up_ref(certificate);
    identity.chain.emplace_back(certificate);
  };
  add(SSL_CTX_get0_certificate(context));
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  for (int i = 0; i < sk_X509_num(chain); ++i) add(sk_X509_value(chain, i));
  EVP_PKEY* key = SSL_CTX_get0_privatekey(context);
  EVP_PKEY_up_ref(key);
  identity.key.reset(key);
  return identity;
}

}  // namespace

TlsContexts::TlsContexts() : state_(std::make_unique<State>()) {}
TlsContexts::~TlsContexts() = default;

SSL_CTX* TlsContexts::initial() const {
  return state_->fallback ? state_->at(*state_->fallback) : nullptr;
}

const std::vector<ServedCertificate>& TlsContexts::served() const { return state_->served; }

Complaints TlsContexts::warnings(std::chrono::system_clock::time_point now) const {
  Complaints all;
  for (const ServedCertificate& each : state_->served) {
    for (const std::string& advice : certificateAdvice(each.leaf, now)) {
      all.push_back({each.where, each.file.string() + ": " + advice});
    }
  }
  all.insert(all.end(), state_->unnamed.begin(), state_->unnamed.end());
  return all;
}

std::unique_ptr<TlsContexts> TlsContexts::build(const Config& config, bool makeMissing,
                                                Findings& findings, const TlsContexts* kept) {
  std::unique_ptr<TlsContexts> built(new TlsContexts);
  State& state = *built->state_;
  std::vector<NamedHosts> named;  // by context

  // `owner`: the host whose files in the state folder they are.
  const auto add = [&](Result<KeyedCertificate> identity, const CertificateFiles& files,
                       const std::string& where,
                       const std::string& owner) -> std::optional<std::size_t> {
    if (!identity && kept != nullptr) {
      const auto before = std::ranges::find_if(kept->served(), [&](const ServedCertificate& each) {
        return each.file == files.certificate && each.key == files.key;
      });
      if (before != kept->served().end()) {
        identity =
            identityIn(kept->state_->at(static_cast<std::size_t>(before - kept->served().begin())));
      }
    }
    auto context =
        identity ? makeContext(*identity, config.tls) : Result<ContextPtr>(identity.error());
    if (!context) {
      findings.complaints.push_back(complaintOf(where, context.error()));
      return std::nullopt;
    }
    const X509* leaf = SSL_CTX_get0_certificate((*context)->sslContext());
    state.contexts.push_back(*context);
    state.served.push_back({.file = files.certificate,
                            .where = where,
                            .leaf = leaf,
                            .key = files.key,
                            .origin = files.origin,
                            .owner = owner,
                            .digest = chainDigest(identity->chain)});
    named.emplace_back(leaf);
    return state.served.size() - 1;
  };

  // Complains of that key of `table` which names the file at fault.
  const auto addNamed = [&](const std::string& table, const std::filesystem::path& certificate,
                            const std::filesystem::path& key) {
    auto identity = readKeyedCertificate(certificate, key);
    const bool keyIsAtFault = !identity && readCertificates(certificate).ok();
    return add(std::move(identity), {certificate, key},
               config.where(table + (keyIsAtFault ? ".key" : ".certificate")), "");
  };

  // A certificate without its key, or the reverse, has been complained of already.
  if (!config.tls.certificate.empty() && !config.tls.key.empty()) {
    state.fallback = addNamed("tls", config.tls.certificate, config.tls.key);
  }
  const bool haveDefault = !config.tls.certificate.empty();
  for (const SiteConfig& site : sitesWithCertificates(config)) {
    std::optional<std::size_t> context = state.fallback;
    bool automatic = false;
    if (!site.certificate.empty() && site.key.empty()) continue;
    if (!site.certificate.empty()) {
      context = addNamed(site.dottedKey, site.certificate, site.key);
    } else if (const AutomaticFiles own(config.server.stateDir, site.host);
               !haveDefault && own.inUse().origin == CertificateOrigin::kInstalled) {
      context = add(readKeyedCertificate(own.installed, own.installed), own.inUse(), site.where,
                    site.host);
    } else if (!haveDefault && config.tls.autoCertificates) {
      automatic = true;
      context =
          add(automaticCertificate(site, own, makeMissing,
                                   config.storage.engine == StorageKind::kPostgresql),
              {own.certificate, own.key, CertificateOrigin::kAutomatic}, site.where, site.host);
    } else if (!haveDefault) {
      findings.complaints.push_back({site.where,
                                     "no certificate: set certificate and key here or in [tls], or "
                                     "tls.auto_certificates = true"});
      continue;
    }
    if (!context) continue;
    state.add(site, *context);
    const auto names = automatic ? namesAskedFor(site) : configuredNames(site);
    if (const auto missing = missingNames(names, named[*context]); !missing.empty()) {
      state.unnamed.push_back(
          {site.where, fmt::format("{} does not name {}: {}", state.served[*context].file.string(),
                                   missing, automatic ? kPinned : kUnnamed)});
    }
    if (!state.fallback || (!haveDefault && site.host == "*")) state.fallback = context;
  }
  std::ranges::move(built->warnings(std::chrono::system_clock::now()),
                    std::back_inserter(findings.warnings));
  for (const ContextPtr& context : state.contexts) {
    SSL_CTX_callback_ctrl(context->sslContext(), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                          reinterpret_cast<void (*)()>(chooseByName));
    SSL_CTX_set_tlsext_servername_arg(context->sslContext(), &state.byName);
  }
  return built;
}

}  // namespace egalaxyd
