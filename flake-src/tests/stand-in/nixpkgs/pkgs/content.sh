# Makes the files of a stand-in package. POSIX sh, and nothing but what
# busybox and coreutils both have with the same results, so that a package is
# the same bytes wherever it is built. Nix puts this text before each package's
# own lines; it is not run by itself. A process costs more here than a file of
# 64 KiB, so it starts few.
#
# Set by the package: corpus (a folder, see corpus.sh), seed (a number).

LC_ALL=C
export LC_ALL

# octal N: sets `byte` to a byte as tr wants it.
octal() {
  byte="\\$(($1 / 64))$(($1 / 8 % 8))$(($1 % 8))"
}

# emit KIND BYTES: so many bytes of that kind on standard output. Each chunk is
# a slice of the corpus with its letters moved, so that two chunks have nothing
# in common that a compressor could use, and each compresses as the corpus does.
#   text    prose                                  about 3:1
#   binary  the same as bytes with NULs in between about 3:1
#   table   records, as in character tables        about 7:1
#   packed  what is compressed already             1:1
emit() {
  left=$2
  while [ "$left" -gt 0 ]; do
    seed=$((seed * 16807 % 2147483647))
    slice=$corpus/$1.$((seed / 256 % 4))
    case $1 in
      binary)
        slice=$corpus/text.$((seed / 256 % 4))
        octal $((33 + seed % 190))
        to="\\000\\001$byte"
        octal $((58 + seed % 190))
        from=' \012a-z'
        to="$to-$byte"
        ;;
      packed)
        octal $((1 + seed % 254))
        to="$byte-\\377\\000"
        octal $((seed % 254))
        from='\000-\377'
        to="$to-$byte"
        ;;
      *)
        octal $((98 + seed % 24))
        to="$byte-za"
        octal $((97 + seed % 24))
        from='a-z'
        to="$to-$byte"
        ;;
    esac
    if [ "$left" -ge 65536 ]; then
      tr "$from" "$to" <"$slice"
    else
      tr "$from" "$to" <"$slice" | head -c "$left"
    fi
    left=$((left - 65536))
  done
}

# spread KIND COUNT KIB STEM SUFFIX: that many files, STEM<number>SUFFIX; a half
# of them small, a third middling, the rest large. Of one file the stem is the
# name.
spread() {
  if [ "$2" -eq 1 ]; then
    emit "$1" $(($3 * 1024)) >"$4$5"
    return
  fi
  large=$((($2 + 5) / 6))
  middle=$((($2 - large) / 2))
  small=$(($2 - large - middle))
  emit "$1" $(($3 * 1024)) >"$TMPDIR/spread"
  number=0
  while [ "$number" -lt "$2" ]; do
    if [ "$number" -lt "$small" ]; then
      size=$(($3 * 1024 / 6 / small))
    elif [ "$number" -lt $((small + middle)) ]; then
      size=$(($3 * 1024 / 3 / middle))
    else
      size=$(($3 * 1024 / 2 / large))
    fi
    dd bs="$size" count=1 of="$4$number$5" 2>/dev/null
    number=$((number + 1))
  done <"$TMPDIR/spread"
}

# refer FILE PATH...: what the dynamic linker's search path is to a real one.
refer() {
  file=$1
  shift
  if [ $# -gt 0 ]; then
    printf 'RUNPATH' >>"$file"
    for path in "$@"; do
      printf ':%s/lib' "$path" >>"$file"
    done
    printf '\n' >>"$file"
  fi
}

# program FILE NAME VERSION: something to run that says what it is.
program() {
  printf '#!/bin/sh\ncase ${1-} in\n--version) echo "%s %s (stand-in)" ;;\n*) echo "%s: a stand-in from tests/stand-in, it does nothing" >&2; exit 1 ;;\nesac\n' \
    "$2" "$3" "$2" >"$1"
}
