# cpack (see `./bootstrap package`): egalaxyd, egalaxyd-postgresql and egalaxyd-dev for Debian, and a
# tarball that runs on any Debian 12 from wherever it is unpacked.
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_VENDOR "egalaxyd")
set(CPACK_PACKAGE_CONTACT "egalaxyd authors <maintainers@egalaxyd.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "server for Gemini, Titan and Spartan")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/package_stage.cmake)
set(CPACK_EGALAXYD_SOURCE_DIR ${PROJECT_SOURCE_DIR})  # for that script

set(CPACK_ARCHIVE_FILE_NAME egalaxyd-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_PACKAGE_FILE_NAME ${CPACK_ARCHIVE_FILE_NAME})

# cpack takes the architecture of the machine that it runs on.
if(CMAKE_CROSSCOMPILING)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -dumpmachine
    OUTPUT_VARIABLE machine OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND dpkg-architecture -f -t ${machine} -q DEB_HOST_ARCH
    OUTPUT_VARIABLE CPACK_DEBIAN_PACKAGE_ARCHITECTURE OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(CPACK_EGALAXYD_HOST_ARCH ${CPACK_DEBIAN_PACKAGE_ARCHITECTURE})  # for package_stage.cmake
  set(CPACK_EGALAXYD_OBJDUMP ${CMAKE_OBJDUMP})
endif()

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL server postgresql dev)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_SERVER_PACKAGE_NAME egalaxyd)
set(CPACK_DEBIAN_SERVER_PACKAGE_SECTION net)
set(CPACK_COMPONENT_SERVER_DESCRIPTION
  "Serves capsules of the small web. A master process binds the sockets and
keeps one worker per CPU; it is reloaded without losing a request and managed
with egalaxyctl.")
set(CPACK_DEBIAN_SERVER_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS
  "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_SERVER_PACKAGE_SUGGESTS "logrotate, egalaxyd-postgresql")
set(control ${CMAKE_CURRENT_LIST_DIR}/debian)
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA
  ${control}/conffiles ${control}/postinst ${control}/prerm ${control}/postrm)

# Apart, so that a host of its own carries neither libpq nor what that brings.
set(CPACK_DEBIAN_POSTGRESQL_PACKAGE_NAME egalaxyd-postgresql)
set(CPACK_DEBIAN_POSTGRESQL_PACKAGE_SECTION net)
set(CPACK_COMPONENT_POSTGRESQL_DESCRIPTION
  "Lets several hosts that run egalaxyd share users, uploads and certificates in
a PostgreSQL database. A host of its own does not need it.")
set(CPACK_DEBIAN_POSTGRESQL_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_POSTGRESQL_PACKAGE_DEPENDS "egalaxyd (= ${PROJECT_VERSION})")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME egalaxyd-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEV_DESCRIPTION
  "Headers, the CMake package and an example for plug-ins: sites, routers and
rate limiters that egalaxyd loads.")
# libpoco-dev is one package for all of POCO: it brings default-libmysqlclient-dev and the libraries of
# PostgreSQL and ODBC, which no plug-in needs.
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
  "egalaxyd (= ${PROJECT_VERSION}), libpoco-dev, libspdlog-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "g++ (>= 4:12), cmake (>= 3.25), ninja-build | make")

include(CPack)
