# Phases of a run, their times, and the table of them. Sourced by tests/run.sh and .ci/run.
times=$(mktemp)

phase() { # NAME COMMAND...: runs it, and notes how long it took and how it ended
  local began=$SECONDS status=0
  "${@:2}" || status=$?
  printf '%s\t%d\t%s\n' "$1" $((SECONDS - began)) "$([ $status = 0 ] && echo ok || echo "FAILED ($status)")" >>"$times"
  return $status
}

table() { # prints what phase has noted
  echo
  awk -F'\t' '{ printf "%-36s %6d s  %s\n", $1, $2, $3 }' "$times"
}
