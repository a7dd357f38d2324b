# The flags of our own programs and tests. Never exported: the library target carries none.
add_library(rwkv_strict INTERFACE)
target_compile_options(rwkv_strict INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)

set(RWKV_SANITIZE "" CACHE STRING "Sanitizers of our own programs and tests: address,undefined or thread")
option(RWKV_WERROR "Treat warnings in our own programs and tests as errors" OFF)
if(RWKV_WERROR)
  target_compile_options(rwkv_strict INTERFACE -Werror)
endif()
if(RWKV_SANITIZE)
  target_compile_definitions(rwkv_strict INTERFACE RWKV_TEST_SANITIZED)
  target_compile_options(rwkv_strict INTERFACE -fsanitize=${RWKV_SANITIZE} -fno-sanitize-recover=all
                                               -fno-omit-frame-pointer)
  target_link_options(rwkv_strict INTERFACE -fsanitize=${RWKV_SANITIZE})
endif()
