# cmake --install: library, command, headers under lode/, pkg-config and CMake files, spaces and
# recipes, manual pages.
include(CMakePackageConfigHelpers)
install(TARGETS lode Lode_jansson EXPORT lodeTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(room IN ITEMS core tensor autograd data ops supernet hwcost quant train search)
  install(DIRECTORY ${room}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lode/${room}
          FILES_MATCHING PATTERN "*.h" PATTERN "*.def" PATTERN "*_internal.h" EXCLUDE
          PATTERN "native" EXCLUDE PATTERN "onednn" EXCLUDE PATTERN "cuda" EXCLUDE)
endforeach()
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/lode.h)
  install(FILES lode.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lode)
endif()
install(DIRECTORY spaces devices recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/lode)
install(DIRECTORY runners DESTINATION ${CMAKE_INSTALL_DATADIR}/lode USE_SOURCE_PERMISSIONS)
install(EXPORT lodeTargets NAMESPACE lode:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lode)
configure_package_config_file(cmake/lodeConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/lodeConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lode)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/lodeConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
# Relocatable: the prefix is found from where lode.pc lies.
file(RELATIVE_PATH LODE_PC_TO_PREFIX /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
configure_file(cmake/lode.pc.in ${CMAKE_CURRENT_BINARY_DIR}/lode.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lodeConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/lodeConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lode)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lode.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
