// module = "file".
#pragma once

#include <string>
#include <string_view>

#include "common/config.h"
#include "worker/site/site.h"

namespace egalaxyd {

/// One file, opened anew by its path for every request; 51 below its own path, and when it is gone.
class FileSite final : public Site {
 public:
  /// `args.path` is absolute; `lang` is for text/gemini, "" for none.
  FileSite(FileArgs args, std::string_view lang);
  void handle(Request request, Responder reply, Services& services) override;

 private:
  const std::filesystem::path path_;
  const std::string mediaType_;
};

}  // namespace egalaxyd
