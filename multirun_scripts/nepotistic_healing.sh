#!/usr/bin/env bash
# Run the healing experiment with three seeds: five contaminated iterations, then five on real images. ratio=0 is the
# chain of the same length that never saw its own images. Healing is compared with its generation 10, and not with
# generation 0, which was trained on all ten digits.
#   multirun_scripts/nepotistic_healing.sh [local|slurm]
# 9 cells of ten iterations and 3 fits of generation 0: about forty minutes on two cores, an estimated quarter of an
# hour on one GPU with trainer.pack=9 (not measured).
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic_healing ratio=0,0.5,1 seed=0,1,2 "${@:2}"
