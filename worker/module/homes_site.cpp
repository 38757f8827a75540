#include "worker/module/homes_site.h"

#include <utility>

#include "common/shared/home_places.h"
#include "worker/base/lane.h"
#include "worker/site/answers.h"

namespace egalaxyd {
namespace {

/// "alice" where the request's mount is "/~alice".
std::string userNamedBy(const Request& request) {
  const std::string_view mount = std::string_view(request.path).substr(0, request.mountLength);
  const std::size_t segment = mount.rfind("/~");
  return std::string(segment == std::string_view::npos ? "" : mount.substr(segment + 2));
}

/// "cgi-bin" of "/cgi-bin/x".
std::string_view firstSegment(std::string_view sitePath) {
  if (sitePath.empty()) return sitePath;
  sitePath.remove_prefix(1);
  return sitePath.substr(0, sitePath.find('/'));
}

}  // namespace

HomesSite::HomesSite(HomesArgs args, HomeFolders folders, std::unique_ptr<DirectorySite> pages,
                     Scripts scripts, std::unique_ptr<ApplicationSite> applications)
    : args_(std::move(args)),
      folders_(std::move(folders)),
      pages_(std::move(pages)),
      scripts_(std::move(scripts)),
      applications_(std::move(applications)) {}

bool HomesSite::isOfScripts(std::string_view sitePath) const {
  return !args_.cgi.empty() && firstSegment(sitePath) == args_.cgi;
}

bool HomesSite::isOfApplication(std::string_view sitePath) const {
  return applications_ && firstSegment(sitePath) == kHomeApplication;
}

void HomesSite::handle(Request request, Responder reply, Services& services) {
  std::string user = userNamedBy(request);
  const bool isOurs =
      isUserName(user) && (isListed(args_.users, user) || isListed(args_.users, kAnyUser));
  if (!isOurs) return std::move(reply).send(Response::notFound());
  if (isOfApplication(request.sitePath())) {
    request.mountLength += 1 + kHomeApplication.size();
    return applications_->handleOf(std::move(user), std::move(request), std::move(reply), services);
  }
  if (auto folder = folders_.known(user)) {
    return answer(user, std::move(folder), std::move(request), std::move(reply), services);
  }
  auto cancellation = request.cancellation;
  services.tasks.start(
      openAndAnswer(std::move(user), std::move(request), std::move(reply), services),
      std::move(cancellation));
}

Task<void> HomesSite::openAndAnswer(std::string user, Request request, Responder reply,
                                    Services& services) {
  const auto open = [&] { return folders_.open(user); };
  auto folder = co_await services.pool.run(open);
  if (!folder) {
    const ErrorCode code = folder.error().code;
    const bool isBusy = code == ErrorCode::kNoSpace || code == ErrorCode::kBusy;
    co_return std::move(reply).send(isBusy ? busyFailure() : Response::notFound());
  }
  folders_.remember(user, *folder);
  answer(user, std::move(*folder), std::move(request), std::move(reply), services);
}

void HomesSite::answer(const std::string& user, HomeFolders::Folder folder, Request request,
                       Responder reply, Services& services) {
  if (isOfScripts(request.sitePath())) {
    return run(user, std::move(request), std::move(reply), services);
  }
  pages_->handleIn(std::move(folder), std::move(request), std::move(reply), services);
}

void HomesSite::run(const std::string& user, Request request, Responder reply, Services& services) {
  request.mountLength += 1 + args_.cgi.size();
  if (const auto own = scripts_.find(user); own != scripts_.end()) {
    return own->second->handle(std::move(request), std::move(reply), services);
  }
  const auto anyones = scripts_.find(std::string(kAnyUser));
  if (anyones == scripts_.end()) return std::move(reply).send(Response::notFound());
  anyones->second->handleOf(user, std::move(request), std::move(reply), services);
}

}  // namespace egalaxyd
