# Code shown on a page is code that compiles. Every ```c block of docs/add-*.md begins with a comment
# that names a file:
#
#     ```c
#     /* ops/elu.c   y = x > 0 ? x : alpha (exp(x) - 1) ... */
#
# and is written to <build>/docs/add-an-operator/ops/elu.c; blocks that name the same file are
# appended. tests/docs/test_add_an_operator.c includes "add-an-operator/ops/elu.c" and tests it.
# A ```yaml block that begins with "# spaces/tiny.yaml" is written too; tests find it below
# LODE_DOCS_DIR. Blocks in other languages (text, sh, diff) are prose.
set(LODE_DOCS_DIR ${PROJECT_BINARY_DIR}/docs)

# The file named in the first line of `body`; empty when there is none.
function(lode_docs_block_file body out)
  set(${out} "" PARENT_SCOPE)
  if("${body}" MATCHES "^(/\\*|//|#) *([A-Za-z0-9_-]+/[A-Za-z0-9_./-]+\\.[a-z]+)")
    set(${out} ${CMAKE_MATCH_2} PARENT_SCOPE)
  endif()
endfunction()

# Writes only what changed, so that nothing is compiled again for nothing.
function(lode_docs_write path text)
  set(old "")
  if(EXISTS "${path}")
    file(READ "${path}" old)
  endif()
  if(NOT "${old}" STREQUAL "${text}")
    file(WRITE "${path}" "${text}")
  endif()
endfunction()

function(lode_docs_extract page)
  get_filename_component(name ${page} NAME_WE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
  file(READ ${page} rest)
  set(files)
  while(TRUE)
    string(FIND "${rest}" "\n```" open)
    if(open LESS 0)
      break()
    endif()
    math(EXPR open "${open} + 4")
    string(SUBSTRING "${rest}" ${open} -1 rest)
    string(FIND "${rest}" "\n" eol)
    string(FIND "${rest}" "\n```" close)
    if(close LESS 0)
      message(FATAL_ERROR "${page}: a block of code is not closed")
    endif()
    string(SUBSTRING "${rest}" 0 ${eol} language)
    math(EXPR begin "${eol} + 1")
    math(EXPR length "${close} - ${eol}")
    string(SUBSTRING "${rest}" ${begin} ${length} body)
    math(EXPR close "${close} + 4")
    string(SUBSTRING "${rest}" ${close} -1 rest)
    set(file "")
    if(language MATCHES "^(c|yaml)$")
      lode_docs_block_file("${body}" file)
    endif()
    if(language STREQUAL "c" AND NOT file)
      message(FATAL_ERROR "${page}: a block of C does not begin with a comment that names its file "
                          "(tests/docs/extract.cmake)")
    endif()
    if(file)
      string(MAKE_C_IDENTIFIER ${file} id)
      string(APPEND text_${id} "${body}")
      list(APPEND files ${file})
    endif()
  endwhile()
  list(REMOVE_DUPLICATES files)
  foreach(file IN LISTS files)
    string(MAKE_C_IDENTIFIER ${file} id)
    lode_docs_write("${LODE_DOCS_DIR}/${name}/${file}" "${text_${id}}")
  endforeach()
endfunction()

file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/add-*.md)
foreach(page IN LISTS pages)
  lode_docs_extract(${page})
endforeach()
