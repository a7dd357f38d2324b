# The tests of consumers: the library as a subproject, installed, and each of its headers by itself.
set(consumer_source ${CMAKE_CURRENT_LIST_DIR})
set(consumer_build ${PROJECT_BINARY_DIR}/consumer)
set(consumer_options -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} -DEigen3_DIR=${Eigen3_DIR}
    -DCONSUMER_LIBRARY=${rwkv_library} -DRWKV_COMPILED=${RWKV_COMPILED})

function(rwkv_add_consumer name)  # further arguments: configure options
  add_test(NAME consumer/${name}
    COMMAND ${CMAKE_CTEST_COMMAND} --build-and-test ${consumer_source} ${consumer_build}/${name}
            --build-generator ${CMAKE_GENERATOR} --build-options ${consumer_options} ${ARGN} --test-command consumer)
  set_tests_properties(consumer/${name} PROPERTIES TIMEOUT 600)
endfunction()

rwkv_add_consumer(add_subdirectory -DRWKV_SOURCE=${PROJECT_SOURCE_DIR} -DCONSUMER_STANDARD=23)
if(RWKV_INSTALL)
  add_test(NAME consumer/install
    COMMAND ${CMAKE_COMMAND} --install ${PROJECT_BINARY_DIR} --prefix ${consumer_build}/prefix)
  rwkv_add_consumer(find_package -DCMAKE_PREFIX_PATH=${consumer_build}/prefix)
  set_tests_properties(consumer/install PROPERTIES FIXTURES_SETUP installed)
  set_tests_properties(consumer/find_package PROPERTIES FIXTURES_REQUIRED installed)
endif()

# Each header alone: a translation unit that includes nothing else compiles.
foreach(header IN LISTS rwkv_headers)
  file(RELATIVE_PATH header ${PROJECT_SOURCE_DIR}/include ${header})
  string(REPLACE ".hpp" ".cpp" unit ${header})
  file(CONFIGURE OUTPUT headers/${unit} CONTENT "#include \"${header}\"\n")
  list(APPEND header_units ${CMAKE_CURRENT_BINARY_DIR}/headers/${unit})
endforeach()
add_library(rwkv_headers_alone OBJECT ${header_units})
target_link_libraries(rwkv_headers_alone PRIVATE ${rwkv_library} rwkv_strict)
target_compile_options(rwkv_headers_alone PRIVATE -O0)  # nothing is run
