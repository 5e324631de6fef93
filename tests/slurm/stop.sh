#!/usr/bin/env bash
# Stop the cluster that start.sh started in a folder, and its jobs. The folder is kept, so that its logs can be read.
#   tests/slurm/stop.sh FOLDER
set -uo pipefail

folder="$(cd "$1" && pwd)" || exit 1
export SLURM_CONF="$folder/slurm.conf"

# A zombie has ended too: its parent has not read its exit status yet
ended() { ! grep -qs '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status"; }

scancel --quiet --user=root || true
for _ in $(seq 50); do
  [ -z "$(squeue --noheader 2>/dev/null)" ] && break
  sleep 0.2
done
for daemon in slurmd-n1 slurmd-n2 slurmctld munged; do
  [ -e "$folder/$daemon.pid" ] || continue
  pid="$(cat "$folder/$daemon.pid")"
  kill "$pid"
  for _ in $(seq 100); do
    ended "$pid" && continue 2
    sleep 0.1
  done
  echo "stop.sh: $daemon did not stop within 10 seconds, so it is killed" >&2
  kill -KILL "$pid"
done
