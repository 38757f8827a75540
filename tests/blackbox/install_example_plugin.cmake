# Installs egalaxyd into WORK/prefix and builds the installed example plug-in as its reader would:
# against the package alone. What an older tree left in WORK does no harm.
#   cmake -DBUILD=… -DWORK=… -DDATADIR=… -DCOMPILER=… -DGENERATOR=… -P install_example_plugin.cmake
function(run)
  execute_process(COMMAND ${CMAKE_COMMAND} ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${WORK}/prefix)
run(--install ${BUILD} --prefix ${WORK}/prefix)
set(example ${WORK}/prefix/${DATADIR}/doc/egalaxyd-dev/examples/plugin)
run(--fresh -S ${example} -B ${WORK}/build
  -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${COMPILER})
run(--build ${WORK}/build)

# What its README says to paste finds the library where the install rule put it, and keeps what visitors write.
file(REMOVE_RECURSE ${WORK}/local)
run(--install ${WORK}/build --prefix ${WORK}/local)
file(READ ${example}/README.md readme)
string(REGEX MATCH "```toml\n([^`]*metadata_ttl = \"off\"[^`]*)```" found "${readme}")
if(NOT found)
  message(FATAL_ERROR "the README has no configuration with metadata_ttl")
endif()
string(REPLACE "/usr/local/" "${WORK}/local/" configuration "${CMAKE_MATCH_1}")
file(WRITE ${WORK}/egalaxyd.toml "${configuration}")
execute_process(COMMAND ${WORK}/prefix/sbin/egalaxyd --check --state-dir ${WORK}/state --runtime-dir ${WORK}/run
  --config ${WORK}/egalaxyd.toml COMMAND_ERROR_IS_FATAL ANY)
