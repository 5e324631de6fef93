#!/usr/bin/env bash
# Run the healing experiment with eight seeds: five contaminated iterations, then five on real images. ratio=0 is the
# chain of the same length that never saw its own images. Healing is compared with its generation 10, and not with
# generation 0, which was trained on all ten digits.
#   multirun_scripts/nepotistic_healing.sh [local|slurm]
# Three seeds tell whether images recover; whether healed models differ more among themselves takes eight.
# 24 cells of ten iterations and 8 fits of generation 0: an estimated hour and three quarters on two cores, by the forty
# minutes that three seeds take, and an estimated forty minutes on one GPU with `basic trainer.pack=12` (not measured).
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic_healing ratio=0,0.5,1 'seed=range(8)' "${@:2}"
