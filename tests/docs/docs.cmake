# The tests of README.md and all other pages: one program, with a function for each block of C++ in them.
file(GLOB_RECURSE pages CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     ${PROJECT_SOURCE_DIR}/bench/*.md ${PROJECT_SOURCE_DIR}/docs/*.md ${PROJECT_SOURCE_DIR}/examples/*.md
     ${PROJECT_SOURCE_DIR}/tests/*.md)
file(GLOB top_pages CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/*.md)
list(PREPEND pages ${top_pages})
list(TRANSFORM pages PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE page_files)

add_executable(docs_write_tests docs/write_tests.cpp)
target_compile_features(docs_write_tests PRIVATE cxx_std_20)
target_include_directories(docs_write_tests PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(docs_write_tests PRIVATE rwkv_strict)
set(page_tests ${CMAKE_CURRENT_BINARY_DIR}/page_tests.cpp)
add_custom_command(OUTPUT ${page_tests} COMMAND docs_write_tests ${PROJECT_SOURCE_DIR} ${page_tests} ${pages}
                   DEPENDS docs_write_tests ${page_files} VERBATIM)

set_source_files_properties(${page_tests} PROPERTIES COMPILE_OPTIONS -O0)
add_executable(docs_pages ${page_tests} docs/workplace.cpp docs/wrong_commands.cpp support/count_allocations.cpp)
target_link_libraries(docs_pages PRIVATE rwkv_test_main)
target_compile_definitions(docs_pages PRIVATE
  RWKV_PROGRAM="${PROJECT_BINARY_DIR}/bin/rwkv" RWKV_TREE="${PROJECT_SOURCE_DIR}" RWKV_BUILD="${PROJECT_BINARY_DIR}"
  RWKV_CMAKE_OPTIONS="-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER} -DEigen3_DIR=${Eigen3_DIR}")
add_dependencies(docs_pages rwkv_cli)
set_target_properties(docs_pages PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
doctest_discover_tests(docs_pages TEST_PREFIX "docs/" ADD_LABELS 0
                       PROPERTIES FAIL_REGULAR_EXPRESSION "test cases: +0 " TIMEOUT ${test_seconds})
