// A program that is started in a folder that has been removed.
#pragma once

#include <filesystem>
#include <iostream>
#include <string_view>

namespace egalaxyd {

/// Whether this process has a working directory; says so on standard error when it has none. First
/// thing in main(): POCO's Application throws where there is none.
inline bool hasWorkingFolder(std::string_view program) {
  std::error_code error;
  static_cast<void>(std::filesystem::current_path(error));
  if (!error) return true;
  std::cerr << program << ": the working directory cannot be found: " << error.message()
            << "; go to one that exists\n";
  return false;
}

}  // namespace egalaxyd
