# SPDX-License-Identifier: Apache-2.0
# assay_bench: the benchmark behind `assay bench codec`. The loops over the CUDA headers are a library of
# their own, at the compiler's best for this machine; the codec is what ships.
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-march=native ASSAY_HAVE_MARCH_NATIVE)
set(baseline_flags -O3 -DNDEBUG)
if(ASSAY_HAVE_MARCH_NATIVE)
  list(APPEND baseline_flags -march=native)
endif()
list(JOIN baseline_flags " " baseline_flags_text)
if(ASSAY_CUDA_HEADERS)
  add_library(assay_cuda_baseline STATIC cuda_baseline.cpp cuda_blocks.cpp)
  target_include_directories(assay_cuda_baseline SYSTEM PRIVATE ${ASSAY_CUDA_HEADERS})
  target_compile_options(assay_cuda_baseline PRIVATE ${baseline_flags})
  target_compile_definitions(assay_cuda_baseline PRIVATE ASSAY_BASELINE_FLAGS="${baseline_flags_text}")
else()
  add_library(assay_cuda_baseline STATIC cuda_baseline_absent.cpp)
endif()
target_include_directories(assay_cuda_baseline PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(assay_cuda_baseline PUBLIC assay_flags)

# Eigen's float GEMM, for this machine and for AVX2. Its functions are inline and the simulator uses Eigen too:
# each baseline renames the namespace, so that the linker cannot take one's code for the other's.
check_cxx_compiler_flag("-mavx2 -mfma" ASSAY_HAVE_AVX2_FLAGS)
set(avx2_flags -O3 -DNDEBUG)
if(ASSAY_HAVE_AVX2_FLAGS)
  list(APPEND avx2_flags -mavx2 -mfma)
endif()
list(JOIN avx2_flags " " avx2_flags_text)
foreach(baseline native avx2)
  add_library(assay_eigen_${baseline} OBJECT eigen_baseline.cpp)
  target_link_libraries(assay_eigen_${baseline} PRIVATE assay_flags Eigen3::Eigen)
  target_include_directories(assay_eigen_${baseline} PRIVATE ${PROJECT_SOURCE_DIR})
  set(flags "${baseline_flags}")
  set(flags_text "${baseline_flags_text}")
  if(baseline STREQUAL "avx2")
    set(flags "${avx2_flags}")
    set(flags_text "${avx2_flags_text}")
  endif()
  target_compile_options(assay_eigen_${baseline} PRIVATE ${flags}
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # of GCC's own header, GCC bug 105593
  target_compile_definitions(assay_eigen_${baseline} PRIVATE Eigen=EigenOf_${baseline}
    ASSAY_EIGEN_ENTRY=eigen_${baseline} ASSAY_EIGEN_FLAGS="${flags_text}")
endforeach()

string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type}}" codec_flags)
add_library(assay_bench STATIC bench_blocks.cpp bench_codec.cpp bench_golden.cpp bench_golden_device.cpp
            bench_golden_rows.cpp bench_mma.cpp bench_device_mma.cpp bench_timing.cpp
            machine.cpp $<TARGET_OBJECTS:assay_eigen_native> $<TARGET_OBJECTS:assay_eigen_avx2>)
target_compile_definitions(assay_bench PRIVATE ASSAY_CODEC_FLAGS="${codec_flags}")
target_link_libraries(assay_bench PUBLIC assay_formats PRIVATE assay_cuda_baseline assay_golden assay_simulator assay_kernels
                      nlohmann_json::nlohmann_json fmt::fmt)
if(OpenMP_CXX_FOUND)
  target_link_libraries(assay_bench PRIVATE OpenMP::OpenMP_CXX)
endif()
