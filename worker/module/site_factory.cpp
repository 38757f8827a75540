#include "worker/module/site_factory.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "common/config/dynamic_mounts.h"
#include "common/wire/media_type.h"
#include "worker/file/served_root.h"
#include "worker/module/application_site.h"
#include "worker/module/authenticated_site.h"
#include "worker/module/cgi_site.h"
#include "worker/module/directory_site.h"
#include "worker/module/file_site.h"
#include "worker/module/homes_site.h"
#include "worker/module/info_site.h"
#include "worker/module/input_site.h"
#include "worker/module/proxy_site.h"
#include "worker/module/redirect_site.h"
#include "worker/module/reply_site.h"
#include "worker/module/spy_site.h"
#include "worker/plugin/plugin_loader.h"

namespace egalaxyd {
namespace {

/// Whether a required argument is missing; the check of the configuration complains of that.
bool isIncomplete(const ModuleArgs& args) {
  if (const auto* directory = std::get_if<DirectoryArgs>(&args)) return directory->root.empty();
  if (const auto* file = std::get_if<FileArgs>(&args)) return file->path.empty();
  if (const auto* homes = std::get_if<HomesArgs>(&args)) return homes->root.empty();
  const auto* plugin = std::get_if<PluginArgs>(&args);
  return plugin != nullptr && (plugin->library.empty() || plugin->className.empty());
}

/// Makes the sites of one host.
struct SiteBuilder {
  const Config& config;
  const SiteConfig& host;
  std::shared_ptr<const PrivateFiles> neverServed;
  ServedRoots& roots;
  Findings& findings;
  std::string_view path = {};  ///< of the mount that is being built

  PathMap map(const std::vector<MountConfig>& mounts) const {
    PathMap sites;
    for (const MountConfig& mount : mounts) {
      if (isIncomplete(mount.args)) continue;
      const SiteBuilder builder{config, host, neverServed, roots, findings, mount.path};
      auto site = std::visit(builder, mount.args);
      if (!site) {
        findings.complaints.push_back(complaintOf(whereOf(config, mount), site.error()));
      } else if (std::holds_alternative<HomesArgs>(mount.args)) {
        sites.addHomes(mount.path, std::move(site).value());
      } else {
        sites.add(mount.path, std::move(site).value());
      }
    }
    return sites;
  }

  // One for each module; an Error's message is the complaint.

  using Built = Result<std::shared_ptr<Site>>;

  Built operator()(const DirectoryArgs& args) const {
    auto root = roots.open(args.root, args.symlinks, neverServed, args.upload.has_value());
    if (!root) return std::move(root).error();
    DirectoryArgs complete = args;
    if (complete.lang.empty()) complete.lang = host.lang;
    return std::shared_ptr<Site>(std::make_shared<DirectorySite>(
        host.host, std::move(complete), std::move(root).value(), neverServed));
  }

  Built operator()(const FileArgs& args) const {
    roots.watchFile(args.path);
    return std::shared_ptr<Site>(
        std::make_shared<FileSite>(args, host.lang, path == "/", neverServed));
  }

  Built operator()(const AuthenticatedArgs& args) const {
    PathMap sites = map(args.sites);
    std::optional<CertificateAuthorities> authorities;
    if (!args.ca.empty()) {
      auto read = CertificateAuthorities::read(args.ca);
      if (!read) return std::move(read).error();
      authorities = std::move(read).value();
    }
    return std::shared_ptr<Site>(
        std::make_shared<AuthenticatedSite>(args, std::move(authorities), std::move(sites)));
  }

  Built operator()(const InputArgs& args) const {
    return std::shared_ptr<Site>(std::make_shared<InputSite>(args, map(args.sites)));
  }

  Built operator()(const SpyArgs&) const {
    return std::shared_ptr<Site>(std::make_shared<SpySite>());
  }

  Built operator()(const InfoArgs&) const {
    return std::shared_ptr<Site>(std::make_shared<InfoSite>());
  }

  Built operator()(const PluginArgs& args) const { return loadSite(args); }

  Built operator()(const CgiArgs& args) const {
    for (const CgiMount& mount : dynamicMounts(config).scripts) {
      if (mount.args.get() == &args) return std::shared_ptr<Site>(scripts(mount));
    }
    return Error{ErrorCode::kInvalid, "is no mount of this configuration"};
  }

  std::unique_ptr<CgiSite> scripts(const CgiMount& mount) const {
    const auto accounts = scriptAccounts(config);
    const auto account = std::ranges::find(accounts, mount.args->account);
    // The mount's "" is the first, whatever [dynamic] says.
    const auto launcher = mount.args->account.empty() ? 0 : account - accounts.begin();
    return std::make_unique<CgiSite>(*mount.args, mount.number, static_cast<std::size_t>(launcher));
  }

  Built operator()(const HomesArgs& args) const {
    DirectoryArgs pages;
    pages.index = args.index;
    pages.listing = args.listing;
    pages.symlinks = args.symlinks;
    pages.charset = args.charset;
    pages.lang = args.lang.empty() ? host.lang : args.lang;
    HomesSite::Scripts programs;
    for (const CgiMount& mount : dynamicMounts(config).scripts) {
      if (std::get_if<HomesArgs>(&mount.mount->args) != &args) continue;
      programs.emplace(mount.user, scripts(mount));
    }
    return std::shared_ptr<Site>(std::make_shared<HomesSite>(
        args, HomeFolders(args, neverServed),
        std::make_unique<DirectorySite>(host.host, std::move(pages), nullptr, neverServed),
        std::move(programs), applicationsOf(args)));
  }

  /// nullptr: users have none.
  std::unique_ptr<ApplicationSite> applicationsOf(const HomesArgs& args) const {
    for (const UpstreamMount& upstream : dynamicMounts(config).upstreams) {
      if (std::get_if<HomesArgs>(&upstream.mount->args) != &args) continue;
      return std::make_unique<ApplicationSite>(ScgiArgs{args.program, *upstream.args, std::nullopt},
                                               upstream.number, config.dynamic.queueTimeout);
    }
    return nullptr;
  }

  Built operator()(const ScgiArgs& args) const { return application(args); }
  Built operator()(const FastcgiArgs& args) const { return application(args); }

  template <class Args>
  Built application(const Args& args) const {
    const auto first = firstUpstream(args.upstream);
    if (!first) return first.error();
    return std::shared_ptr<Site>(
        std::make_shared<ApplicationSite>(args, *first, config.dynamic.queueTimeout));
  }

  Built operator()(const ProxyArgs& args) const {
    std::shared_ptr<const DialledContext> context;
    if (args.tls) {
      auto made = DialledContext::make({args.fingerprints, args.ca, args.certificate, args.key});
      if (!made) return std::move(made).error();
      context = std::move(*made);
    }
    const auto first = firstUpstream(args.upstream);
    if (!first) return first.error();
    return std::shared_ptr<Site>(
        std::make_shared<ProxySite>(args, std::move(context), *first, config.dynamic.queueTimeout));
  }

  /// The number of its first address.
  Result<std::uint32_t> firstUpstream(const UpstreamArgs& args) const {
    for (const UpstreamMount& upstream : dynamicMounts(config).upstreams) {
      if (upstream.args.get() == &args) return upstream.number;
    }
    return Error{ErrorCode::kInvalid, "to is missing or empty"};
  }

  Built operator()(const RedirectArgs& args) const {
    return std::shared_ptr<Site>(std::make_shared<RedirectSite>(args));
  }

  Built operator()(const ReplyArgs& args) const {
    return std::shared_ptr<Site>(std::make_shared<ReplySite>(args));
  }
};

}  // namespace

HostMap<std::shared_ptr<PathMap>> buildSites(const Config& config, ServedRoots& roots,
                                             Findings& findings) {
  const auto neverServed = std::make_shared<const PrivateFiles>(PrivateFiles::of(config));
  roots.keepFresh(neverServed);
  HostMap<std::shared_ptr<PathMap>> hosts;
  for (const SiteConfig& host : config.sites) {
    const SiteBuilder builder{config, host, neverServed, roots, findings};
    const auto sites = std::make_shared<PathMap>(builder.map(host.mounts));
    hosts.add(host.host, sites);
    for (const std::string& alias : host.aliases) hosts.add(alias, sites);
  }
  return hosts;
}

}  // namespace egalaxyd
