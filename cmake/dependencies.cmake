# Eigen and threads for the library; CLI11 for the program; doctest for the tests; nlohmann_json for both of these.
#
# By default each must be installed (find_package). With RWKV_FETCH_DEPS=ON the missing ones are downloaded, at pinned
# versions with pinned hashes.
include(FetchContent)
set(BUILD_TESTING OFF)  # of the dependencies
set(EIGEN_BUILD_DOC OFF)
set(DOCTEST_WITH_TESTS OFF)
set(CLI11_BUILD_TESTS OFF)

function(rwkv_dependency package target url sha256)
  find_package(${package} QUIET)
  # Eigen 3.4 and 5 refuse each other's version ranges in find_package, so its version is compared here.
  if(package STREQUAL "Eigen3" AND DEFINED Eigen3_VERSION AND Eigen3_VERSION VERSION_LESS 3.4)
    message(FATAL_ERROR "rwkv: Eigen 3.4 or later is needed, found ${Eigen3_VERSION} in ${Eigen3_DIR}")
  endif()
  if(TARGET ${target})
    return()
  endif()
  if(NOT RWKV_FETCH_DEPS)
    message(FATAL_ERROR "rwkv: ${package} is not installed.\n"
      "On Debian and Ubuntu: apt-get install libeigen3-dev nlohmann-json3-dev libcli11-dev doctest-dev\n"
      "Elsewhere: install it with your package manager, or configure with -DRWKV_FETCH_DEPS=ON to download it.")
  endif()
  string(TOLOWER ${package} name)
  FetchContent_Declare(${name} URL ${url} URL_HASH SHA256=${sha256} DOWNLOAD_EXTRACT_TIMESTAMP OFF)
  set(CMAKE_POLICY_VERSION_MINIMUM 3.5)  # CMake 4 refuses those that still ask for less
  FetchContent_MakeAvailable(${name})
  message(STATUS "rwkv: ${package} was downloaded, so that there are no install rules: others could not find it")
  set(RWKV_INSTALL OFF PARENT_SCOPE)
endfunction()

# The name for find_package, the target it must define, then where to download it.
rwkv_dependency(Eigen3 Eigen3::Eigen
  https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
  8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
if(RWKV_BUILD_PROGRAM OR RWKV_BUILD_TESTS OR RWKV_BUILD_FUZZ)
  rwkv_dependency(nlohmann_json nlohmann_json::nlohmann_json
    https://github.com/nlohmann/json/releases/download/v3.11.3/json.tar.xz
    d6c65aca6b1ed68e7a182f4757257b107ae403032760ed6ef121c9d55e81757d)
endif()
if(RWKV_BUILD_PROGRAM)
  rwkv_dependency(CLI11 CLI11::CLI11
    https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.2.tar.gz
    f2d893a65c3b1324c50d4e682c0cdc021dd0477ae2c048544f39eed6654b699a)
endif()
if(RWKV_BUILD_TESTS)
  rwkv_dependency(doctest doctest::doctest
    https://github.com/doctest/doctest/archive/refs/tags/v2.4.11.tar.gz
    632ed2c05a7f53fa961381497bf8069093f0d6628c5f26286161fbd32a560186)
endif()
