# Makes a file part of the program: `cmake -DINPUT=FILE -DOUTPUT=FILE.inc -P EmbedFile.cmake` writes its bytes as the inside
# of an array, since a literal of that length is more than some compilers take. With -DCOMPRESSED=FILE.gz they are packed first.
if(COMPRESSED)
  file(ARCHIVE_CREATE OUTPUT "${COMPRESSED}" PATHS "${INPUT}" FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9 MTIME 1970-01-01)
  set(INPUT "${COMPRESSED}")
endif()
file(READ "${INPUT}" bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUTPUT}" "${bytes}\n")
