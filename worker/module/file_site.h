// module = "file".
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"
#include "common/file/private_files.h"
#include "common/file/site_root.h"
#include "common/loop/event_loop.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// Largest file whose content is kept in memory.
inline constexpr std::size_t kMaxCachedBytes = 1024 * 1024;

/// One file, opened anew by its path for every request. 51 for paths below its own, and when the
/// file is gone; 41 while it, or the folder that it is in, is closed or out of the sandbox, and
/// while that folder is away. With `args.cache`, each worker keeps the content in memory for that
/// time and answers without a system call. A file that is too large for that is served as without.
class FileSite final : public Site {
 public:
  /// `args.path` is absolute; `lang` is for text/gemini, "" for none. `atRoot`: mounted at the "/"
  /// of a map. If that map is itself mounted, this path has two spellings: "/area" and "/area/".
  FileSite(const FileArgs& args, std::string_view lang, bool atRoot = false,
           std::shared_ptr<const PrivateFiles> neverServed = std::make_shared<PrivateFiles>());
  void handle(Request request, Responder reply, Services& services) override;

 private:
  using Content = std::shared_ptr<const std::string>;  ///< nullptr: too large, or no file

  using Keys = std::shared_ptr<const PrivateFiles>;

  static Result<Content> read(const std::filesystem::path& path, const Keys& keys);
  bool isFresh() const;
  void load(Responder reply, Services& services);
  Task<void> loadForAll(Services& services);
  void answerFromMemory(Responder reply, Services& services) const;
  void answerFromFile(Responder reply, Services& services) const;
  Task<void> answerLate(Responder reply, Services& services) const;
  Response responseOf(Result<OpenFile> opened, Services& services) const;
  Response failureOf(const Error& error) const;

  const std::filesystem::path path_;
  const std::string mediaType_;
  const OptionalDuration cache_;
  const bool atRoot_;
  const Keys neverServed_;

  // Loop thread only.
  Content content_;
  std::optional<Clock::time_point> loaded_;  ///< when content_ was loaded; nullopt: not yet
  std::vector<Responder> waiting_;           ///< while the pool reads the content
};

}  // namespace egalaxyd
