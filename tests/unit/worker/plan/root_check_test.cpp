#include "worker/plan/root_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/temp_dir.h"

namespace egalaxyd {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

class RootCheck : public testing::Test {
 protected:
  RootCheck() {
    config_.file = dir_.write("etc/egalaxyd.toml", "x");
    config_.log.target = dir_ / "log/egalaxyd.log";
    config_.server.stateDir = dir_ / "state";
    config_.server.runtimeDir = dir_ / "run";
    dir_.makeDir("site");
  }
  void serve(const fs::path& root, bool uploads = false) {
    DirectoryArgs args;
    args.root = root;
    if (uploads) args.upload.emplace();
    mount(args);
  }
  void mount(ModuleArgs args) {
    SiteConfig site;
    site.mounts.push_back({"/", "e.toml:7: /", std::move(args)});
    config_.sites.push_back(std::move(site));
  }
  Findings check() const {
    Findings findings;
    checkServerFiles(config_, findings);
    return findings;
  }

  const TempDir dir_;
  Config config_;
};

TEST_F(RootCheck, WhatIsTheServersOwnIsNoPartOfARootThatTakesUploads) {
  serve(dir_ / "site", true);
  EXPECT_THAT(check().complaints, IsEmpty());
  EXPECT_THAT(check().warnings, IsEmpty());
  for (const char* root : {"etc", "log", "state", "run", "", "state/db", "state/certificates"}) {
    config_.sites.clear();
    serve(dir_ / root, true);
    EXPECT_THAT(check().complaints,
                ElementsAre(Field(&Complaint::text, HasSubstr("takes uploads"))))
        << root;
    config_.sites.clear();
    serve(dir_ / root);
    EXPECT_THAT(check().complaints, IsEmpty());
    EXPECT_THAT(check().warnings, ElementsAre(Field(&Complaint::where, "e.toml:7: /"))) << root;
  }
}

TEST_F(RootCheck, LinksHideNothing) {
  fs::create_directory_symlink(dir_ / "etc", dir_ / "link");
  serve(dir_ / "link", true);
  EXPECT_THAT(check().complaints,
              ElementsAre(Field(&Complaint::text, HasSubstr("the configuration file"))));
}

TEST_F(RootCheck, ARootWithinTheStateFolderIsFine) {
  serve(dir_ / "state/notes", true);
  EXPECT_THAT(check().complaints, IsEmpty());
}

TEST_F(RootCheck, NestedSitesAreLookedAtToo) {
  DirectoryArgs inner;
  inner.root = dir_ / "etc";
  inner.upload.emplace();
  AuthenticatedArgs outer;
  outer.sites.push_back({"/", "e.toml:9: /", inner});
  mount(outer);
  EXPECT_THAT(check().complaints, ElementsAre(Field(&Complaint::where, "e.toml:9: /")));
}

TEST_F(RootCheck, ARootThatIsAwayIsTold) {
  serve(dir_ / "site");
  EXPECT_THAT(rootsOutOfReach(config_), IsEmpty());
  serve(dir_ / "nowhere");
  serve(dir_.write("file", "x"));
  mount(FileArgs{dir_ / "nothing.gmi", ""});
  mount(FileArgs{dir_ / "site", ""});
  EXPECT_THAT(rootsOutOfReach(config_),
              ElementsAre(Field(&Complaint::text, HasSubstr("no such folder")),
                          Field(&Complaint::text, HasSubstr("it is no folder")),
                          Field(&Complaint::text, HasSubstr("no such file")),
                          Field(&Complaint::text, HasSubstr("no regular file"))));
}

TEST_F(RootCheck, AFolderOfScriptsThatIsAwayIsTold) {
  CgiArgs args;
  args.root = dir_ / "site";
  mount(args);
  EXPECT_THAT(rootsOutOfReach(config_), IsEmpty());
  args.root = dir_ / "away";
  mount(args);
  EXPECT_THAT(rootsOutOfReach(config_),
              ElementsAre(Field(&Complaint::text, (dir_ / "away").string() +
                                                      ": there is no such folder; its requests "
                                                      "fail meanwhile")));
}

}  // namespace
}  // namespace egalaxyd
