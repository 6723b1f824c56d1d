# Manual pages, written by the command itself from its option tables: lode.1, lode-search.1, ...
set(LODE_VERBS search train extract eval "space list" "space show" "space check" "space sample" "cost build"
               "cost show" "cost verify" "cost import" "cost devices" "cost calibrate" "bench ops" "bench step" "bench memory" "bench infer" "bench rank" ops info)
set(pages ${CMAKE_CURRENT_BINARY_DIR}/man/lode.1)
add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/man/lode.1 DEPENDS lode_command
                   COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/man
                   COMMAND lode_command manual > ${CMAKE_CURRENT_BINARY_DIR}/man/lode.1)
foreach(verb IN LISTS LODE_VERBS)
  string(REPLACE " " "-" file "lode-${verb}.1")
  separate_arguments(words UNIX_COMMAND "${verb}")
  add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/man/${file}
                     DEPENDS lode_command ${CMAKE_CURRENT_BINARY_DIR}/man/lode.1
                     COMMAND lode_command manual ${words} > ${CMAKE_CURRENT_BINARY_DIR}/man/${file})
  list(APPEND pages ${CMAKE_CURRENT_BINARY_DIR}/man/${file})
endforeach()
add_custom_target(lode_manual ALL DEPENDS ${pages})
install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
