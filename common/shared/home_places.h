// Whose pages, scripts and applications the module "homes" finds where. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace egalaxyd {

/// Stands for a user's name in the path of homes.
inline constexpr std::string_view kUserPlace = "%user%";
/// Stands for a user's home at the begin of the path of a socket.
inline constexpr std::string_view kHomePlace = "%home%";
/// A user's application is below "/~NAME/app".
inline constexpr std::string_view kHomeApplication = "app";
/// Among names of users: any of them.
inline constexpr std::string_view kAnyUser = "*";

/// [a-z_][a-z0-9_-]{0,31}: so a name has neither '/' nor '.'.
bool isUserName(std::string_view name);
bool isListed(const std::vector<std::string>& users, std::string_view name);

/// `pattern` with `user` in place of kUserPlace.
std::string placeOfUser(std::string pattern, std::string_view user);
/// `pattern`: below kHomePlace, or with kUserPlace.
std::string socketOfUser(const std::string& pattern, std::string_view user, std::string_view home);
/// The folder that holds those of all users: "/home" of "/home/%user%/pages".
std::string folderOfUsers(std::string_view pattern);

}  // namespace egalaxyd
