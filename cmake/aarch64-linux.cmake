# For AArch64 on another Linux machine: Debian's cross compiler, and an emulator that runs what it makes. What has only
# headers (Eigen, doctest, ...) is that of the machine itself, in /usr/include, which this compiler searches last.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)  # the emulator needs no libraries then
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
