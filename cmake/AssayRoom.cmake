# SPDX-License-Identifier: Apache-2.0
# assay_room(NAME SOURCES ... HEADERS ... [LINK ...] [PRIVATE_LINK ...])
#
# Declares the library of one room: target assay_NAME, alias assay::NAME, the project's warning and
# floating-point flags, and its install rules. HEADERS are the public ones.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

add_library(assay_flags INTERFACE)
target_compile_features(assay_flags INTERFACE cxx_std_20)
# Contraction would fuse a*b+c into one rounding behind our back; the bits are the product.
target_compile_options(assay_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>
  $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra>>
  $<BUILD_INTERFACE:$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${ASSAY_WERROR}>>:-Werror>>)
# GCC 12 warns about its own std::string (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(assay_flags INTERFACE $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>>)
endif()
if(ASSAY_SANITIZE)
  target_compile_options(assay_flags INTERFACE $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${ASSAY_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>>)
  target_link_options(assay_flags INTERFACE $<BUILD_INTERFACE:-fsanitize=${ASSAY_SANITIZE}>)
endif()
if(ASSAY_COVERAGE)
  target_compile_options(assay_flags INTERFACE $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:--coverage>>)
  target_link_options(assay_flags INTERFACE $<BUILD_INTERFACE:--coverage>)
endif()
install(TARGETS assay_flags EXPORT assayTargets)
set_target_properties(assay_flags PROPERTIES EXPORT_NAME flags)

function(assay_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;HEADERS;LINK;PRIVATE_LINK" ${ARGN})
  if(ROOM_SOURCES)
    add_library(assay_${name} STATIC ${ROOM_SOURCES})
    set(visibility PUBLIC)
  else()
    add_library(assay_${name} INTERFACE)
    set(visibility INTERFACE)
  endif()
  add_library(assay::${name} ALIAS assay_${name})
  set_target_properties(assay_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_include_directories(assay_${name} ${visibility}
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/assay>)
  target_link_libraries(assay_${name} ${visibility} assay_flags ${ROOM_LINK})
  if(ROOM_SOURCES)
    target_link_libraries(assay_${name} PRIVATE ${ROOM_PRIVATE_LINK})
  endif()
  install(TARGETS assay_${name} EXPORT assayTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  foreach(header ${ROOM_HEADERS})
    get_filename_component(folder ${name}/${header} DIRECTORY)
    install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/assay/${folder})
  endforeach()
endfunction()
