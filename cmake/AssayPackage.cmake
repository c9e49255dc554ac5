# SPDX-License-Identifier: Apache-2.0
# find_package(assay): targets assay::formats, assay::golden, ...
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/assay)
install(EXPORT assayTargets NAMESPACE assay:: DESTINATION ${package_dir})
configure_package_config_file(cmake/assayConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/assayConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/assayConfigVersion.cmake
                                 COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/assayConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/assayConfigVersion.cmake DESTINATION ${package_dir})
