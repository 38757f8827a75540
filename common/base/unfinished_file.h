// Files that are being written: whatever stops that leaves none behind.
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace egalaxyd {

/// A file that goes with this object unless keep() is called; in a program that has called
/// removeUnfinishedFilesAtSignals(), with the process, too. Any thread.
class UnfinishedFile {
 public:
  /// Nobody else may have a file of that name: it is removed.
  explicit UnfinishedFile(std::string name);
  ~UnfinishedFile();
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

  /// Makes it, mode 0600, to be written and read; on an error it is nobody's to remove.
  Result<UniqueFd> make();
  const std::string& name() const { return name_; }
  /// It is finished, or has another name now.
  void keep();

 private:
  std::string name_;
  bool kept_ = false;
};

/// `before` and what no other file's name ends with.
std::string unfinishedName(const std::string& before);
/// For a file of `program` that nobody looks for: in $TMPDIR, else in /tmp.
std::string temporaryName(const std::string& program);

/// From then on signals that end the process (Ctrl-C, a pipe without reader, a limit on file sizes)
/// remove the files first. Those that are ignored stay so. For programs that handle none of them.
void removeUnfinishedFilesAtSignals();

}  // namespace egalaxyd
