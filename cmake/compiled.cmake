# rwkv::compiled: the same headers, with what takes long to compile compiled once. See include/rwkv/core/linkage.hpp.
# Link it in place of rwkv::rwkv, in all of a program.
file(GLOB rwkv_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/compiled/*.cpp)
add_library(rwkv_compiled STATIC ${rwkv_sources})
add_library(rwkv::compiled ALIAS rwkv_compiled)
set_target_properties(rwkv_compiled PROPERTIES OUTPUT_NAME rwkv EXPORT_NAME compiled POSITION_INDEPENDENT_CODE ON)
target_compile_definitions(rwkv_compiled PUBLIC RWKV_COMPILED PRIVATE RWKV_DEFINITIONS=1)
target_link_libraries(rwkv_compiled PUBLIC rwkv)
