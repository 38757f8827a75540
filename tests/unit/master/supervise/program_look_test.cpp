#include "master/supervise/program_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "common/config/config_check.h"
#include "common/config/config_loader.h"
#include "common/system/script_account.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificates.h"

namespace egalaxyd {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// An account that is there everywhere, and of nobody.
uid_t somebody() {
  const passwd* entry = ::getpwnam("bin");
  return entry == nullptr ? 1 : entry->pw_uid;
}

class ProgramLook : public testing::Test {
 protected:
  ProgramLook() {
    ::chmod(dir_.path().c_str(), 0755);
    dir_.makeDir("bin");
    dir_.write("bin/a", "#!/bin/sh\n");
    mode("bin/a", 0755);
  }

  void mode(const std::string& name, mode_t mode) const {
    ASSERT_EQ(::chmod((dir_ / name).c_str(), mode), 0);
  }

  /// "WHERE: TEXT" of each, the folder of the test being DIR.
  std::vector<std::string> said(const Complaints& complaints) const {
    std::vector<std::string> all;
    for (const Complaint& each : complaints) {
      std::string text = each.where + ": " + each.text;
      const std::string folder = dir_.path().string();
      for (std::size_t at; (at = text.find(folder)) != std::string::npos;) {
        text.replace(at, folder.size(), "DIR");
      }
      all.push_back(std::move(text));
    }
    return all;
  }

  /// As a master of another account sees it that is not root.
  Findings look(const std::string& toml, uid_t master = somebody()) const {
    LoadedConfig loaded = parseConfig(toml, dir_ / "e.toml");
    EXPECT_THAT(loaded.complaints, IsEmpty()) << toml;
    EXPECT_THAT(checkConfig(loaded.config), IsEmpty()) << toml;
    loaded.config.server.runtimeDir = dir_.path();
    Findings found;
    lookAtPrograms(loaded.config, found, master);
    return found;
  }
  std::vector<std::string> complaints(const std::string& toml) const {
    return said(look(toml).complaints);
  }
  /// But the one of scripts that share an account.
  std::vector<std::string> warnings(const std::string& toml) const {
    std::vector<std::string> all = said(look(toml).warnings);
    std::erase_if(all, [](const std::string& each) {
      return each.find("the workers' account") != std::string::npos;
    });
    return all;
  }

  TempDir dir_;
};

const std::string kBin = "[sites.a.\"/bin\"]\nmodule = \"cgi\"\nroot = \"bin\"\n";
const std::string kOne = "[sites.a.\"/one\"]\nmodule = \"cgi\"\nscript = \"bin/a\"\n";
std::string folderAt(const std::string& site, const std::string& path, const std::string& more) {
  return "[sites." + site + ".\"" + path + "\"]\nmodule = \"directory\"\n" + more + "\n";
}

TEST_F(ProgramLook, HasNothingToSayWhereThereAreNone) {
  const Findings found = look("dynamic.account = \"root\"\n[sites.a]\nroot = \"bin\"");
  EXPECT_THAT(found.complaints, IsEmpty());
  EXPECT_THAT(found.warnings, IsEmpty());
}

TEST_F(ProgramLook, TakesScriptsThatNobodyElseMayChange) {
  for (const std::string& toml : {kBin, kOne, kBin + "cwd = \"bin\"\n"}) {
    EXPECT_THAT(complaints(toml), IsEmpty()) << toml;
    EXPECT_THAT(warnings(toml), IsEmpty()) << toml;
  }
}

// ---- accounts ----

TEST_F(ProgramLook, RefusesAccountsThatCannotBeHad) {
  EXPECT_THAT(complaints(kBin + "account = \"no-such\"\n"),
              ElementsAre("DIR/e.toml:4: sites.a.\"/bin\".account: there is no account \"no-such\" "
                          "on this machine"));
  EXPECT_THAT(complaints(kBin + "[dynamic]\naccount = \"root\"\n"),
              ElementsAre("DIR/e.toml:5: dynamic.account: \"root\" is root, which scripts never "
                          "are"));
  EXPECT_THAT(
      complaints(kBin + "account = \"daemon\"\n"),
      ElementsAre("DIR/e.toml:4: sites.a.\"/bin\".account: the account \"daemon\" cannot be "
                  "had: this server is not root, and systemd offers it no "
                  "DIR/launcher-daemon.sock; systemctl enable --now "
                  "egalaxyd-launcher@daemon.socket"));
}

TEST_F(ProgramLook, WarnsOfScriptsWithTheWorkersAccount) {
  if (::getpwnam(kScriptAccount) != nullptr) GTEST_SKIP() << "scripts have their own here";
  const auto shared = said(look(kBin).warnings);
  ASSERT_EQ(shared.size(), 1U);
  EXPECT_THAT(shared[0], testing::StartsWith("DIR/e.toml: dynamic.account: scripts run as bin, the "
                                             "workers' account: "));
  EXPECT_THAT(shared[0], HasSubstr("Landlock"));
  EXPECT_THAT(shared[0], testing::EndsWith("; better give them an account of their own, such as "
                                           "egalaxyd-cgi"));
  EXPECT_THAT(complaints("server.sandbox = \"off\"\n" + kBin),
              ElementsAre("DIR/e.toml: dynamic.account: scripts would run as bin, the workers' "
                          "account, and with server.sandbox = \"off\" nothing keeps the server's "
                          "own files from them: name another account, or set sandbox = \"auto\""));
  EXPECT_THAT(said(look("[sites.a.\"/x\"]\nmodule = \"scgi\"\nto = [\"unix:/dev/log\"]\n"
                        "[server]\nsandbox = \"off\"")
                       .complaints),
              IsEmpty())
      << "applications have their own account";
}

TEST_F(ProgramLook, SaysOfAnAccountThatItMayNotEnter) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has others' eyes";
  mode("bin", 0700);
  const std::string toml = "server.user = \"nobody\"\n" + kBin + "account = \"daemon\"\n";
  EXPECT_THAT(said(look(toml, 0).warnings),
              ElementsAre("DIR/e.toml:4: sites.a.\"/bin\".root: DIR/bin: the scripts' account may "
                          "not enter it; its requests fail meanwhile"));
  mode("bin", 0755);
  mode("bin/a", 0700);
  EXPECT_THAT(
      said(look("server.user = \"nobody\"\n" + kOne + "account = \"daemon\"\n", 0).warnings),
      ElementsAre("DIR/e.toml:4: sites.a.\"/one\".script: DIR/bin/a: the scripts' account "
                  "may not run it; its requests fail meanwhile"));
}

// ---- scripts ----

TEST_F(ProgramLook, WarnsOfProgramsAndFoldersThatAreNotThere) {
  EXPECT_THAT(
      warnings("[sites.a.\"/x\"]\nmodule = \"cgi\"\nscript = \"none\"\n"),
      ElementsAre("DIR/e.toml:3: sites.a.\"/x\".script: DIR/none: there is no such program; "
                  "its requests fail meanwhile"));
  if (::geteuid() != 0) return;
  EXPECT_THAT(
      warnings(kBin + "cwd = \"none\"\n"),
      ElementsAre("DIR/e.toml:4: sites.a.\"/bin\".cwd: DIR/none: the scripts' account finds "
                  "no folder that it may enter; requests fail meanwhile"));
}

TEST_F(ProgramLook, RefusesWhatEverybodyMayWrite) {
  dir_.makeDir("bin/sub/.git");
  dir_.write("bin/sub/b", "");
  dir_.write("bin/sub/page", "");
  mode("bin/sub/page", 0666);  // is no script
  mode("bin/sub/.git", 0777);  // is hidden
  EXPECT_THAT(complaints(kBin), IsEmpty());
  mode("bin/sub", 0777);
  mode("bin/sub/b", 0757);
  const std::vector<std::string> found = complaints(kBin);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0], testing::StartsWith("DIR/e.toml:3: sites.a.\"/bin\".root: everybody may "
                                            "write to DIR/bin/sub"));
  EXPECT_THAT(found[0], HasSubstr("DIR/bin/sub/b"));
  EXPECT_THAT(found[0], testing::EndsWith("and with that say what this server runs: chmod o-w"));
  mode("bin", 01777);
  EXPECT_THAT(complaints(kOne), IsEmpty()) << "the sticky bit keeps others from replacing it";
  EXPECT_THAT(complaints(kBin), Contains(HasSubstr("write to DIR/bin, DIR/bin/sub")));
  mode("bin/a", 0757);
  EXPECT_THAT(
      complaints(kOne),
      ElementsAre("DIR/e.toml:3: sites.a.\"/one\".script: everybody may write to DIR/bin/a, "
                  "and with that say what this server runs: chmod o-w"));
}

TEST_F(ProgramLook, RefusesScriptsWhereUploadsCome) {
  const std::string above = folderAt("b", "/", "root = \".\"\nupload.anyone = true");
  EXPECT_THAT(
      complaints(kBin + above),
      ElementsAre("DIR/e.toml:3: sites.a.\"/bin\".root: DIR/bin: uploads come into DIR/, see "
                  "DIR/e.toml:6: sites.b.\"/\".root; whoever may upload would say what this "
                  "server runs: move one of them"));
  dir_.makeDir("bin/sub");
  EXPECT_THAT(complaints(kBin + folderAt("b", "/", "root = \"bin/sub\"\nupload.anyone = true")),
              Contains(HasSubstr("uploads come into DIR/bin/sub")));
  EXPECT_THAT(complaints(kOne + above), Contains(HasSubstr("DIR/bin/a: uploads come into DIR/")));
  dir_.makeDir("up");
  EXPECT_THAT(complaints(kBin + folderAt("b", "/", "root = \"up\"\nupload.anyone = true")),
              IsEmpty());
}

TEST_F(ProgramLook, WarnsOfADirectoryThatShowsSources) {
  EXPECT_THAT(warnings(kBin + folderAt("b", "/", "root = \".\"")),
              ElementsAre("DIR/e.toml:3: sites.a.\"/bin\".root: DIR/bin is served by a directory "
                          "too, which shows the scripts' sources, see DIR/e.toml:6: "
                          "sites.b.\"/\".root"));
  EXPECT_THAT(warnings(kBin + folderAt("a", "/", "root = \".\"")), IsEmpty())
      << "the scripts answer for the path where the directory would show them";
  EXPECT_THAT(warnings(kBin + folderAt("a", "/all", "root = \".\"")),
              Contains(HasSubstr("see DIR/e.toml:6: sites.a.\"/all\".root")));
  EXPECT_THAT(warnings(kOne + folderAt("a", "/", "root = \".\"")),
              Contains(HasSubstr("DIR/bin/a is served by a directory too")));
  dir_.makeDir(".cgi");
  EXPECT_THAT(warnings("[sites.a.\"/bin\"]\nmodule = \"cgi\"\nroot = \".cgi\"\n" +
                       folderAt("b", "/", "root = \".\"")),
              IsEmpty())
      << "hidden names are not served";
}

// ---- applications and capsules ----

std::string applicationAt(const std::string& to) {
  return "[sites.a.\"/x\"]\nmodule = \"scgi\"\nto = [\"" + to + "\"]\n";
}

TEST_F(ProgramLook, WarnsOfSocketsThatAreNotThere) {
  const std::string folder = dir_.path().string();
  EXPECT_THAT(warnings(applicationAt("unix:" + folder + "/none/a.sock")),
              ElementsAre("DIR/e.toml:3: sites.a.\"/x\".to: DIR/none/a.sock: there is no such "
                          "folder; requests fail meanwhile"));
  EXPECT_THAT(
      warnings(applicationAt("unix:" + folder + "/a.sock")),
      ElementsAre("DIR/e.toml:3: sites.a.\"/x\".to: DIR/a.sock: there is no such socket yet; "
                  "requests fail meanwhile"));
  EXPECT_THAT(warnings(applicationAt("unix:" + folder + "/bin/a")),
              ElementsAre("DIR/e.toml:3: sites.a.\"/x\".to: DIR/bin/a: it is no socket; requests "
                          "fail meanwhile"));
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = folder + "/a.sock";
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_THAT(warnings(applicationAt("unix:" + path)), IsEmpty());
}

TEST_F(ProgramLook, WarnsOfNamesThatNobodyKnows) {
  const std::vector<std::string> found = warnings(applicationAt("no-such-host.invalid:7"));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0],
              testing::StartsWith("DIR/e.toml:3: sites.a.\"/x\".to: no-such-host.invalid:7: "));
  EXPECT_THAT(warnings(applicationAt("localhost:7")), IsEmpty());
  EXPECT_THAT(warnings(applicationAt("[::1]:7")), IsEmpty());
}

TEST_F(ProgramLook, WarnsOfAnAddressOfThisMachineWhereTheServerListens) {
  // 127.1 is an address that no rule knows by its text.
  EXPECT_THAT(warnings(applicationAt("127.1:1965")),
              ElementsAre("DIR/e.toml:3: sites.a.\"/x\".to: 127.1:1965: that is this machine, and "
                          "this server itself listens there; requests fail meanwhile"));
}

TEST_F(ProgramLook, RefusesCertificatesThatCannotBeShown) {
  const TestCertificate one = makeTestCertificate({});
  const TestCertificate other = makeTestCertificate({});
  one.writePem(dir_ / "one.crt", dir_ / "one.key");
  other.writePem(dir_ / "other.crt", dir_ / "other.key");
  const std::string proxy = "[sites.a.\"/x\"]\nmodule = \"proxy\"\nto = [\"127.0.0.1:7\"]\n";
  EXPECT_THAT(
      complaints(proxy + "ca = \"one.crt\"\ncertificate = \"one.crt\"\nkey = \"one.key\"\n"),
      IsEmpty());
  const auto mixed = complaints(proxy + "certificate = \"one.crt\"\nkey = \"other.key\"\n");
  ASSERT_EQ(mixed.size(), 1U);
  EXPECT_THAT(mixed[0], testing::StartsWith("DIR/e.toml:4: sites.a.\"/x\".certificate: "));
  EXPECT_THAT(mixed[0], HasSubstr("key"));
  const auto none = complaints(proxy + "ca = \"bin/a\"\n");
  ASSERT_EQ(none.size(), 1U);
  EXPECT_THAT(none[0], testing::StartsWith("DIR/e.toml:4: sites.a.\"/x\".ca: "));
}

}  // namespace
}  // namespace egalaxyd
