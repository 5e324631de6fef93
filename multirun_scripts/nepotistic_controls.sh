#!/usr/bin/env bash
# Run two controls at ratio 1: does it prevent collapse to match intensities to the real images, or to drop the worst
# images? "Does not prevent" compares with the uncurated chain and with ratio 0, so these cells are run too.
#   multirun_scripts/nepotistic_controls.sh [local|slurm]
# 18 cells, of which 12 are chains of their own: at ratio 0 no generated image is trained on, and the three curations
# share their fits. With 3 fits of generation 0 about half an hour on two cores, an estimated ten minutes on one GPU with
# `basic trainer.pack=9` (not measured). The uncurated cells are those of nepotistic_dose_response.sh, and are not run twice.
source "$(dirname "$0")/launch.sh"
launch "${1:-local}" +experiment=nepotistic ratio=0,1 curation=none,histogram,drop_worst seed=0,1,2 "${@:2}"
