# Installs egalaxyd into WORK/prefix and builds the installed example plug-in as its reader would:
# against the package alone.
#   cmake -DBUILD=… -DWORK=… -DDOCDIR=… -DCOMPILER=… -DGENERATOR=… -P install_example_plugin.cmake
function(run)
  execute_process(COMMAND ${CMAKE_COMMAND} ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${WORK}/prefix)
run(--install ${BUILD} --prefix ${WORK}/prefix)
run(-S ${WORK}/prefix/${DOCDIR}/examples/plugin -B ${WORK}/build
  -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${COMPILER})
run(--build ${WORK}/build)
