# The lines of a #cloud-config's `runcmd:` list as shell commands. Block items ("- echo hi", quoted or not) and flow
# items ("- [touch, /x]", "- ['sh', '-c', 'echo hi']"); no multi-line scalars.
/^runcmd:/ { inside = 1; next }
/^[^ \t#-]/ { inside = 0 }
inside && /^[ \t]*- / {
  sub(/^[ \t]*- +/, "")
  sub(/[ \t]+$/, "")
  if ($0 ~ /^\[.*\]$/) {
    $0 = substr($0, 2, length($0) - 2)
    if ($0 ~ /["']/) { gsub(/", *"/, "\" \""); gsub(/', *'/, "' '") } else gsub(/, */, " ")
  } else if ($0 ~ /^".*"$/) {
    $0 = substr($0, 2, length($0) - 2)
    gsub(/\\"/, "\"")
  } else if ($0 ~ /^'.*'$/) {
    $0 = substr($0, 2, length($0) - 2)
    gsub(/''/, "'")
  }
  print
}
