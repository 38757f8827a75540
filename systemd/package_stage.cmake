# cpack runs this on what is installed in CPACK_TEMPORARY_DIRECTORY, before it makes an archive of
# it: the same files as `cmake --install` gives, in the shape that Debian wants or with the libraries
# that a bare system lacks.

# The same commit makes the same packages.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
  execute_process(COMMAND git -C ${CPACK_EGALAXYD_SOURCE_DIR} log -1 --format=%ct
    OUTPUT_VARIABLE committed OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  if(NOT failed)
    set(ENV{SOURCE_DATE_EPOCH} ${committed})
  endif()
endif()

# Packages for another architecture: dpkg-shlibdeps and what looks for libraries have to know.
if(CPACK_EGALAXYD_HOST_ARCH)
  set(ENV{DEB_HOST_ARCH} ${CPACK_EGALAXYD_HOST_ARCH})
  set(CMAKE_OBJDUMP ${CPACK_EGALAXYD_OBJDUMP})
endif()

function(compress)
  execute_process(COMMAND gzip -9nf ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(compress_manuals prefix)
  file(GLOB manuals ${prefix}/share/man/man?/*.?)
  compress(${manuals})
endfunction()

function(write_copyright file)
  file(READ ${CPACK_EGALAXYD_SOURCE_DIR}/LICENSE text)
  string(REGEX REPLACE "^.*authors\n\n" "" text "${text}")
  string(REGEX REPLACE "\n\n" "\n.\n" text "${text}")
  string(REGEX REPLACE "\n(.)" "\n \\1" text "\n${text}")
  file(WRITE ${file} "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: egalaxyd

Files: *
Copyright: 2026 the egalaxyd authors
License: Expat${text}")
endfunction()

function(write_debian_changelog file)
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(WRITE ${file} "egalaxyd (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * What changed is told in /usr/share/doc/egalaxyd/CHANGELOG.md.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
  compress(${file})
endfunction()

function(stage_debian usr)
  compress_manuals(${usr})
  write_copyright(${usr}/share/doc/egalaxyd/copyright)
  write_debian_changelog(${usr}/share/doc/egalaxyd/changelog)
  file(REMOVE ${usr}/share/doc/egalaxyd/LICENSE)
  foreach(program ${usr}/sbin/egalaxyd ${usr}/sbin/egalaxyd-launcher ${usr}/bin/egalaxyctl)
    file(RPATH_REMOVE FILE ${program})
  endforeach()
  # Debian's habit is another; why it is so stands where the program is installed.
  set(launcher "[usr/sbin/egalaxyd-launcher]")
  file(WRITE ${usr}/share/lintian/overrides/egalaxyd
    "egalaxyd: executable-is-not-world-readable 0711 ${launcher}
egalaxyd: non-standard-executable-perm 0711 != 0755 ${launcher}
")
  file(RPATH_REMOVE
    FILE ${CPACK_TEMPORARY_DIRECTORY}/postgresql/usr/lib/egalaxyd/modules/libegalaxyd_postgresql.so)
  # The default configuration becomes the machine's own.
  file(READ ${usr}/share/egalaxyd/egalaxyd.toml configuration)
  string(REPLACE "root = \"capsule\"" "root = \"/usr/share/egalaxyd/capsule\"" configuration
    "${configuration}")
  file(WRITE ${usr}/../etc/egalaxyd/egalaxyd.toml "${configuration}")
  file(REMOVE ${usr}/share/egalaxyd/egalaxyd.toml)
  file(MAKE_DIRECTORY ${usr}/../etc/logrotate.d)
  file(RENAME ${usr}/share/egalaxyd/egalaxyd.logrotate ${usr}/../etc/logrotate.d/egalaxyd)
endfunction()

# That of the Debian package which `library` comes from; its name and version join `described`.
function(copy_licence library folder described)
  file(REAL_PATH ${library} file)
  # /lib or /usr/lib: dpkg knows a file by one of them.
  string(REGEX REPLACE "^(/usr)?/lib/" "*/lib/" pattern ${file})
  execute_process(COMMAND dpkg-query -S ${pattern} OUTPUT_VARIABLE owner ERROR_QUIET)
  string(REGEX REPLACE ":.*" "" owner "${owner}")
  if(owner AND EXISTS /usr/share/doc/${owner}/copyright)
    file(COPY_FILE /usr/share/doc/${owner}/copyright ${folder}/${owner}.copyright)
  endif()
  if(owner)
    execute_process(COMMAND dpkg-query -W -f "\${Package} \${Version}\\n" ${owner}
      OUTPUT_VARIABLE package OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    string(REGEX REPLACE "\n.*" "" package "${package}")
    set(${described} ${${described}} ${package} PARENT_SCOPE)
  endif()
endfunction()

function(write_tarball_readme prefix packages)
  list(REMOVE_DUPLICATES packages)
  list(SORT packages)
  list(JOIN packages "\n  " lines)
  file(WRITE ${prefix}/README "egalaxyd ${CPACK_PACKAGE_VERSION} for any Debian 12, from wherever this folder lies.

  sbin/egalaxyd         the server; in a folder it serves that folder
  sbin/egalaxyd-launcher  runs scripts for it
  bin/egalaxyctl        talks to it
  share/man             their manuals: man -l share/man/man8/egalaxyd.8.gz
  share/doc/egalaxyd    more to read, examples, the libraries' licences

The libraries in lib/egalaxyd are this folder's own and do not get the system's updates: when OpenSSL
or SQLite is mended, a new tarball is needed. `bin/egalaxyctl status` tells which versions a running
server uses. With the Debian package the system's libraries are used, and its updates reach them after
a restart of the service.

They are copies of what these packages had when the tarball was made:
  ${lines}
")
endfunction()

# All but glibc goes along; the programs look for it in their own tree (RPATH).
function(stage_tarball prefix)
  compress_manuals(${prefix})
  file(GET_RUNTIME_DEPENDENCIES
    EXECUTABLES ${prefix}/sbin/egalaxyd ${prefix}/sbin/egalaxyd-launcher ${prefix}/bin/egalaxyctl
    RESOLVED_DEPENDENCIES_VAR libraries
    POST_EXCLUDE_REGEXES "/ld-linux[^/]*$" "/lib(c|m|dl|rt|pthread|resolv)\\.so\\.[0-9]+$")
  file(INSTALL ${libraries} DESTINATION ${prefix}/lib/egalaxyd FOLLOW_SYMLINK_CHAIN)
  file(MAKE_DIRECTORY ${prefix}/share/doc/egalaxyd/libraries)
  foreach(library IN LISTS libraries)
    copy_licence(${library} ${prefix}/share/doc/egalaxyd/libraries packages)
  endforeach()
  write_tarball_readme(${prefix} "${packages}")
endfunction()

if(CPACK_GENERATOR STREQUAL DEB)
  stage_debian(${CPACK_TEMPORARY_DIRECTORY}/server/usr)
  foreach(component dev postgresql)
    set(doc ${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/share/doc/egalaxyd-${component})
    write_copyright(${doc}/copyright)
    write_debian_changelog(${doc}/changelog)
  endforeach()
else()
  stage_tarball(${CPACK_TEMPORARY_DIRECTORY})
endif()
