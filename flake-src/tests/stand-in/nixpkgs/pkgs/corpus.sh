# Writes the raw material of all stand-in packages to $out: text, table and
# packed, each in four slices of 64 KiB, <kind>.0 to <kind>.3. The numbers come from the Lehmer generator x = 16807 x mod (2^31 - 1),
# which every awk computes exactly, so the bytes are the same everywhere.
LC_ALL=C
export LC_ALL
mkdir "$out"

# slices KIND: cuts standard input.
slices() {
  head -c 262144 >"$TMPDIR/kind"
  for n in 0 1 2 3; do
    dd bs=65536 count=1 of="$out/$1.$n" 2>/dev/null
  done <"$TMPDIR/kind"
}

# Prose: two hundred and fifty words, common ones much more common than others.
awk -v size=262144 '
  function rnd(n) { x = (x * 16807) % 2147483647; return x % n }
  BEGIN {
    x = 42
    for (i = 0; i < 250; i++) {
      word = ""
      for (j = rnd(3); j >= 0; j--)
        word = word substr("bcdfghjklmnpqrstvwz", 1 + rnd(19), 1) substr("aeiouy", 1 + rnd(6), 1)
      words[i] = word
    }
    for (written = 0; written < size; written += length(line) + 1) {
      line = ""
      while (length(line) < 70) {
        x = (x * 16807) % 2147483647
        t = x / 2147483647
        line = line words[int(250 * t * t * t * t * t)] " "
      }
      print line
    }
  }' | slices text

# Records, as in tables of characters, locales, hardware.
awk -v size=262144 '
  function rnd(n) { x = (x * 16807) % 2147483647; return x % n }
  BEGIN {
    x = 4711
    split("lu ll lt lm lo nd nl no pc pd zs sm", class)
    while (written < size) {
      code += 1 + rnd(3)
      line = sprintf("%06d;letter %s;%s;%d;l;;;n;;;;", code, class[1 + rnd(12)], class[1 + rnd(3)], rnd(4))
      print line
      written += length(line) + 1
    }
  }' | slices table

# Noise, as in what is compressed already.
awk -v size=349528 '
  BEGIN {
    x = 2026
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for (i = 0; i < 4096; i++)
      pair[i] = substr(alphabet, 1 + int(i / 64), 1) substr(alphabet, 1 + i % 64, 1)
    for (written = 0; written < size; written += 4) {
      x = (x * 16807) % 2147483647
      y = x % 16777216
      printf "%s%s", pair[int(y / 4096)], pair[y % 4096]
    }
  }' | base64 -d | slices packed
