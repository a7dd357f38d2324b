# `cmake --install` and `find_package(rwkv)`.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS rwkv EXPORT rwkv FILE_SET HEADERS FILE_SET texts)
set(architecture ARCH_INDEPENDENT)
if(RWKV_COMPILED)
  install(TARGETS rwkv_compiled EXPORT rwkv)
  set(architecture "")
endif()
install(EXPORT rwkv NAMESPACE rwkv:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rwkv)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rwkvConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ${architecture})  # before 1.0 every minor version may break
install(FILES ${CMAKE_CURRENT_LIST_DIR}/rwkvConfig.cmake ${PROJECT_BINARY_DIR}/rwkvConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rwkv)
