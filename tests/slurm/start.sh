#!/usr/bin/env bash
# Start a SLURM cluster of two nodes on this one machine, for the tests. It writes only into the given folder.
#   tests/slurm/start.sh FOLDER && export SLURM_CONF=FOLDER/slurm.conf && sbatch …
#   tests/slurm/stop.sh FOLDER
# The slots of a node do not depend on the machine's cores: no job is bound to a core, and no memory is counted.
set -euo pipefail

slots=2
give_up() {
  echo "start.sh: $*" >&2
  exit 1
}

[ $# = 1 ] || give_up "give one argument, the folder of the cluster"
[ "$(id -u)" = 0 ] || give_up "the daemons start jobs for other users, so only root can run them"
for program in munged slurmctld slurmd sbatch srun scontrol; do
  command -v "$program" >/dev/null || give_up "$program is missing: apt-get install slurm-wlm munge"
done
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
[ ! -e "$folder/slurm.conf" ] || give_up "$folder already holds a cluster; give a new folder"
[ "${#folder}" -le 80 ] || give_up "the path $folder is too long for a socket; give one of 80 characters at most"
mkdir "$folder/state" "$folder/n1" "$folder/n2"

# Several clusters may run side by side, so look for three free ports in a row
port=$((20000 + $$ % 1000 * 10))
answered() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
while answered "$port" || answered $((port + 1)) || answered $((port + 2)); do port=$((port + 10)); done

host="$(uname -n)"
host="${host%%.*}"
cat >"$folder/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
JobRequeue=1
KillWait=5
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=$slots
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=$slots
PartitionName=tests Nodes=n1,n2 Default=YES MaxTime=60
CONF

export SLURM_CONF="$folder/slurm.conf"
(umask 077 && head -c 128 /dev/urandom >"$folder/munge.key")
trap '"$(dirname "$0")/stop.sh" "$folder"' ERR
# --force: munged otherwise wants a folder that other users can enter, and here only root uses it
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
  --log-file="$folder/munged.log" --seed-file="$folder/munged.seed" 2>"$folder/munged.warnings"
slurmctld
slurmd -N n1
slurmd -N n2

for _ in $(seq 150); do
  [ "$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | wc -l)" = 2 ] && exit 0
  sleep 0.2
done
sinfo >&2 || true
tail -n 20 "$folder"/*.log >&2
echo "start.sh: the nodes did not come up" >&2
false
